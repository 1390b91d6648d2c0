//! Configuration of mcpmqtt.
