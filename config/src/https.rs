//! The key `remote_server.tls`: HTTPS on the TCP listener.

use std::path::PathBuf;

use crate::section::Section;
use crate::tls::Identity;

/// The settings of HTTPS on the TCP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The server's certificate and private key.
    pub identity: Identity,
    /// The PEM file of the authorities for client certificates; `None` requires no client certificate.
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
