//! Sockets handed over by systemd (`sd_listen_fds(3)`).
//!
//! Promises: `LISTEN_PID` names this process and `LISTEN_FDS` counts one, or nothing is touched.

use std::env;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

#[derive(Debug)]
pub(in crate::http) enum Handed {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Takes the socket that was handed over, if one was.
///
/// # Errors
/// Several, or not a listening stream socket.
pub(in crate::http) fn take() -> Result<Option<Handed>, String> {
    // Checked here because listenfd takes a missing LISTEN_PID for ours and reserves room for any LISTEN_FDS.
    let ours = env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let count = env::var("LISTEN_FDS");
    let (true, Ok(count)) = (ours, count) else {
        return Ok(None);
    };
    match count.as_str() {
        "1" => {}
        "0" => return Ok(None),
        _ => return Err("exactly one socket is served, `LISTEN_FDS` says otherwise".into()),
    }
    if env::var_os("LISTEN_FDS_FIRST_FD").is_some() {
        return Err("`LISTEN_FDS_FIRST_FD` is not systemd's".into());
    }
    let mut handed = ListenFd::from_env();
    if let Ok(Some(listener)) = handed.take_unix_listener(0) {
        return Ok(Some(Handed::Unix(listener)));
    }
    match handed.take_tcp_listener(0) {
        Ok(Some(listener)) => Ok(Some(Handed::Tcp(listener))),
        Ok(None) => Err("the socket is gone".into()),
        Err(_) => Err("descriptor 3 is not a stream socket of TCP or Unix".into()),
    }
}
