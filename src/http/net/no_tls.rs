//! What stands in for HTTPS in a build without the feature `tls`: there never is a connection of it.

use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::task::{Context, Poll};

use async_io::Async;
use mcpmqtt_config::ServerTls;

/// A TLS configuration, which this build cannot have.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Always empty in this build.
    pub warnings: Vec<String>,
    never: TlsSession,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::http) enum TlsSession {}

impl Tls {
    /// Refuses every configuration, because this build has no TLS.
    ///
    /// # Errors
    /// Always.
    pub fn load(_: &ServerTls) -> Result<Tls, String> {
        Err(
            "remote_server.tls: this program was built without TLS; build it with the feature `tls`, \
             or leave the block out and put a proxy with TLS in front"
                .into(),
        )
    }

    pub(in crate::http) async fn handshake(&self, _: Async<TcpStream>) -> io::Result<Handshake> {
        Ok(Handshake::Secure(Box::new(self.never)))
    }
}

/// As in a build with TLS.
pub(in crate::http) enum Handshake {
    Secure(Box<TlsSession>),
    #[allow(dead_code)]
    PlainHttp(Async<TcpStream>),
}

impl TlsSession {
    pub(in crate::http) fn poll_read(
        &self,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(in crate::http) fn poll_write(
        &self,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(in crate::http) fn subject(&self) -> Option<Rc<str>> {
        match *self {}
    }

    pub(in crate::http) fn finish(&self) -> io::Result<()> {
        match *self {}
    }
}
