//! What stands in for HTTPS in a build without the feature `tls`: there never is a connection of it.

use std::io;
use std::task::{Context, Poll};

use mcpmqtt_config::ServerTls;

use super::peer::Peer;
use super::seats::Seat;
use super::site::Site;
use super::wire::Stream;

/// Cannot be had in this build.
#[derive(Clone, Debug)]
pub struct Tls {
    /// None.
    pub warnings: Vec<String>,
    never: Session,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Session {}

impl Tls {
    /// Refuses.
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

    pub(super) async fn secure(&self, _: Stream, _: Peer, _: &Seat, _: &Site) -> Option<Stream> {
        Some(Stream::Tls(Box::new(self.never)))
    }
}

impl Session {
    pub(super) fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) fn poll_write(&self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) fn finish(&self) -> io::Result<()> {
        match *self {}
    }
}
