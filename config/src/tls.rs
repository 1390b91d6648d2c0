//! The key `mqtt.tls`: the encryption of the broker connection, and the trusted certificates.

use std::path::PathBuf;

use serde_json::Value;

use crate::host;
use crate::section::Section;

/// The TLS settings of the broker connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificates to trust.
    pub trust: Trust,
    /// The client certificate, if the broker requires one.
    pub identity: Option<Identity>,
    /// The name in the broker's certificate, when it differs from the host.
    pub server_name: Option<String>,
}

/// The certificates that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Certificates of the system's certificate authorities.
    System,
    /// Certificates of the authorities in this PEM file, and no others.
    File(PathBuf),
    /// Every certificate.
    Anyone,
}

/// A certificate and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The PEM file with the certificate first, then any intermediate certificates.
    pub cert_file: PathBuf,
    /// The PEM file with the private key, not encrypted.
    pub key_file: PathBuf,
}

/// The setting of TLS in the file, before the port is known.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Nothing,
    No,
    Yes(Tls),
}

impl Asked {
    pub(crate) fn read(mqtt: &Section<'_>) -> Self {
        match mqtt.value("tls") {
            None => Self::Nothing,
            Some(Value::Bool(false)) => Self::No,
            Some(Value::Bool(true)) => Self::Yes(Tls::system()),
            Some(Value::Object(_)) => Self::Yes(Tls::read(mqtt.section("tls"))),
            Some(other) => {
                mqtt.refuse("tls", other, "an object, true or false");
                Self::Nothing
            }
        }
    }

    /// The port that such a connection has by default (IANA `mqtt` and `secure-mqtt`).
    pub(crate) fn default_port(&self) -> u16 {
        match self {
            Self::Nothing | Self::No => 1883,
            Self::Yes(_) => TLS_PORT,
        }
    }

    /// The TLS settings at this port.
    pub(crate) fn decide(self, mqtt: &Section<'_>, port: u16) -> Option<Tls> {
        match self {
            Self::Yes(tls) => Some(tls),
            Self::Nothing if port == TLS_PORT => {
                mqtt.warn(
                    "port",
                    "8883 is the port of MQTT over TLS, so TLS is used; set `tls` to true, or to \
                     false for no TLS",
                );
                Some(Tls::system())
            }
            Self::Nothing | Self::No => None,
        }
    }
}

impl Tls {
    fn system() -> Self {
        Self {
            trust: Trust::System,
            identity: None,
            server_name: None,
        }
    }

    fn read(section: Section<'_>) -> Self {
        let tls = Self {
            trust: trust(&section),
            identity: identity(&section),
            server_name: server_name(&section),
        };
        section.finish();
        tls
    }
}

fn trust(section: &Section<'_>) -> Trust {
    let file = section.path("ca_file");
    if section.flag("insecure", false) {
        let unused = if file.is_some() {
            ", and `ca_file` is not used"
        } else {
            ""
        };
        section.warn(
            "insecure",
            format!(
                "the broker's certificate is not checked{unused}; anyone on the network path can \
                 read and change everything"
            ),
        );
        return Trust::Anyone;
    }
    file.map_or(Trust::System, Trust::File)
}

fn identity(section: &Section<'_>) -> Option<Identity> {
    match (section.path("cert_file"), section.path("key_file")) {
        (Some(cert_file), Some(key_file)) => Some(Identity {
            cert_file,
            key_file,
        }),
        (Some(_), None) => {
            section.problem("cert_file", "is given without `key_file`; add it");
            None
        }
        (None, Some(_)) => {
            section.problem("key_file", "is given without `cert_file`; add it");
            None
        }
        (None, None) => None,
    }
}

fn server_name(section: &Section<'_>) -> Option<String> {
    let name = section
        .text("server_name")
        .filter(|name| !name.is_empty())?;
    if let Some(allowed) = host::rule(name) {
        section.refuse("server_name", &Value::from(name), allowed);
    }
    Some(name.to_owned())
}

pub(crate) const TLS_PORT: u16 = 8883;
