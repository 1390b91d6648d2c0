//! TLS to the broker: the settings of a connection.
//!
//! Promises: files are read once, at the start, and an error in a file names its configuration key; no part of a
//! private key reaches a message or `Debug`.

mod certificate;
mod session;
mod verifier;
mod words;

use std::fmt;
use std::sync::Arc;

use mcpmqtt_config::{Identity, Trust};
use mcpmqtt_protocol::topic::{Shown, ShownPath};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use self::certificate::Certificate;
pub(crate) use self::session::TlsStream;
use self::verifier::Verifier;
use crate::pem::Files;

/// The trusted authorities, the client's own certificate, and the expected server name. Clones share all of them.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Loads the files that `tls` names; `host` is the expected server name unless `tls` has one.
    ///
    /// # Errors
    /// The configuration key that cannot be used, and why.
    pub fn load(tls: &mcpmqtt_config::Tls, host: &str) -> Result<Self, String> {
        let name = tls.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            let name = Shown(name);
            format!("mqtt.tls.server_name: {name} cannot stand in a certificate; give the name that does")
        })?;
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&ring))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("mqtt.tls: {error}"))?;
        let verifier = match &tls.trust {
            Trust::System => Verifier::trusting(system_roots()?, Vec::new(), Arc::clone(&ring)),
            Trust::File(path) => Verifier::trusting(
                FILES.roots("ca_file", path)?,
                FILES.certificates("ca_file", path)?,
                Arc::clone(&ring),
            ),
            Trust::Anyone => Ok(Verifier::trusting_anyone(Arc::clone(&ring))),
        };
        let verifier = verifier.map_err(|error| format!("mqtt.tls: {error}"))?;
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some(files) => builder.with_client_cert_resolver(Arc::new(identity(files, &ring)?)),
        };
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls(for {:?})", self.name)
    }
}

/// The client's certificate and private key. The broker judges a certificate of version 1, which mosquitto's manual
/// creates, so only the key is checked here.
fn identity(files: &Identity, ring: &CryptoProvider) -> Result<SingleCertAndKey, String> {
    let chain = FILES.certificates("cert_file", &files.cert_file)?;
    let key = FILES.private_key("key_file", &files.key_file)?;
    let own = chain.first().and_then(|own| Certificate::read(own));
    let own = own.ok_or_else(|| {
        let words = "the first certificate in it cannot be read";
        FILES.fault("cert_file", &files.cert_file, words)
    })?;
    let key = ring.key_provider.load_private_key(key).map_err(|_| {
        let kind = own.key.is_unusable();
        let words = kind.unwrap_or_else(|| "its key is of a kind that cannot be used".into());
        FILES.fault("key_file", &files.key_file, &words)
    })?;
    if key
        .public_key()
        .is_some_and(|it| *it.as_ref() != *own.key.der)
    {
        let path = ShownPath(&files.key_file);
        return Err(format!(
            "mqtt.tls.key_file: {path} does not go with the certificate in `cert_file`"
        ));
    }
    Ok(CertifiedKey::new(chain, key).into())
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A single unusable certificate in the system's store is no reason to distrust the others.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(format!(
            "mqtt.tls: this system has no certificate authorities ({}); install them (ca-certificates) or set `mqtt.tls.ca_file`",
            if why.is_empty() {
                "none found".into()
            } else {
                why.join("; ")
            }
        ));
    }
    Ok(roots)
}

const FILES: Files = Files("mqtt.tls");
