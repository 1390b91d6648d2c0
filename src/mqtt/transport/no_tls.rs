//! Replaces TLS in a build without the feature `tls`: no TLS connection exists.

use std::net::TcpStream;
use std::task::{Context, Poll};

use async_io::Async;

/// The TLS settings; this type has no values in this build.
#[derive(Clone, Debug)]
pub enum Tls {}

impl Tls {
    /// Refuses every TLS configuration.
    ///
    /// # Errors
    /// Always: this build has no TLS.
    pub fn load(_: &mcpmqtt_config::Tls, _: &str) -> Result<Self, String> {
        Err(
            "mqtt.tls: this program was built without TLS; build it with the feature `tls`, \
             or set `mqtt.tls` to false to connect without"
                .into(),
        )
    }
}

pub(crate) enum TlsStream {}

impl TlsStream {
    pub(crate) async fn open(tls: &Tls, _: Async<TcpStream>) -> Result<Self, String> {
        match *tls {}
    }

    pub(crate) fn poll_read(
        &mut self,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<Result<usize, String>> {
        match *self {}
    }

    pub(crate) fn poll_write(
        &mut self,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<Result<usize, String>> {
        match *self {}
    }

    pub(crate) fn wants_write(&self) -> bool {
        match *self {}
    }

    pub(crate) fn protocol(&self) -> &'static str {
        match *self {}
    }

    pub(crate) fn close(self) -> Async<TcpStream> {
        match self {}
    }

    pub(crate) fn socket(&self) -> &Async<TcpStream> {
        match *self {}
    }
}
