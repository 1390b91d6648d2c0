//! From the files that the configuration names to what handshakes are made with.

use std::sync::Arc;

use mcpmqtt_config::ServerTls;
use mcpmqtt_protocol::topic::ShownPath;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};

use super::Tls;
use crate::pem::Files;

impl Tls {
    /// Reads what `tls` names.
    ///
    /// # Errors
    /// The key of the configuration that cannot be used, and why.
    pub fn load(tls: &ServerTls) -> Result<Tls, String> {
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&ring))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("{}: {error}", FILES.0))?;
        let builder = match &tls.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(FILES.roots("client_ca_file", path)?);
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&ring)).build();
                let fault =
                    |error| FILES.fault("client_ca_file", path, &format!("{error}").to_lowercase());
                builder.with_client_cert_verifier(verifier.map_err(fault)?)
            }
        };
        let identity = &tls.identity;
        let chain = FILES.certificates("cert_file", &identity.cert_file)?;
        let key = FILES.private_key("key_file", &identity.key_file)?;
        let warnings = age(&chain, ring).map(|words| {
            let path = ShownPath(&identity.cert_file);
            format!("{}.cert_file: {path} {words}", FILES.0)
        });
        let config = builder.with_single_cert(chain, key).map_err(|error| {
            let words = format!("it does not go with the certificate in `cert_file`: {error}");
            FILES.fault("key_file", &identity.key_file, &words)
        });
        let mut config = config?;
        // RFC 7301: a client that offers protocols without this one is refused in the handshake.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls {
            config: Arc::new(config),
            warnings: warnings.into_iter().collect(),
        })
    }
}

/// What clients will say of the certificate's dates, if they are not good. It is verified as by a client that trusts
/// nobody else, who looks at the dates first.
fn age(chain: &[CertificateDer<'static>], ring: Arc<CryptoProvider>) -> Option<&'static str> {
    let (own, rest) = chain.split_first()?;
    let mut roots = RootCertStore::empty();
    roots.add(own.clone()).ok()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), ring)
        .build()
        .ok()?;
    let name = ServerName::try_from("localhost").ok()?;
    let verified = verifier.verify_server_cert(own, rest, &name, &[], UnixTime::now());
    match verified.err()? {
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => Some("has expired; clients will refuse it"),
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Some("is not valid yet; clients will refuse it"),
        _ => None,
    }
}

const FILES: Files = Files("remote_server.tls");
