//! The client state machine in dialogue with a scripted broker: every statement of MQTT 3.1.1 that
//! binds a client or a receiver, and every way in which other clients are known to fail.

#![allow(clippy::unwrap_used)]

mod rig;

mod client {
    mod blame;
    mod closing;
    mod connect;
    mod deadlines;
    mod halting;
    mod hostile;
    mod keepalive;
    mod large;
    mod observe;
    mod presence;
    mod publish;
    mod receive;
    mod resume;
    mod retained;
    mod subscribe;
}
