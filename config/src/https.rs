//! The key `remote_server.tls`: HTTPS on the TCP listener.

use std::path::PathBuf;

use crate::section::Section;
use crate::tls::Identity;

/// HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// What the server proves itself with.
    pub identity: Identity,
    /// PEM file with the authorities whose certificates clients must show; `None`: they need none.
    pub client_ca_file: Option<PathBuf>,
}

impl ServerTls {
    pub(crate) fn read(section: Section<'_>) -> Self {
        let file = |key: &'static str| {
            section.path(key).unwrap_or_else(|| {
                section.problem(key, "is missing; allowed: the path of a PEM file");
                PathBuf::new()
            })
        };
        let identity = Identity {
            cert_file: file("cert_file"),
            key_file: file("key_file"),
        };
        let client_ca_file = section.path("client_ca_file");
        section.finish();
        Self {
            identity,
            client_ca_file,
        }
    }
}
