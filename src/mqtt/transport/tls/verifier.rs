//! Verifies a broker's certificate.
//!
//! Promises: the broker proves that it has the private key of its certificate, whatever is trusted; a certificate
//! listed in `ca_file` itself is accepted as that broker's, as long as it is valid by date and its names do not
//! contradict; a refusal carries its reason.
//! Does not: accept a certificate of version 1 signed by an authority, because a certificate without a subjectAltName
//! names no broker.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::certificate::Certificate;

#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    ring: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Trust {
    /// Trusts certificates signed by an authority, and the certificates in `pins`.
    Some {
        authorities: Arc<WebPkiServerVerifier>,
        pins: Vec<CertificateDer<'static>>,
    },
    /// Trusts every certificate (`insecure`).
    Anyone,
}

impl Verifier {
    /// Trusts these authorities, and the certificates in `pins` themselves.
    ///
    /// # Errors
    /// When there is no authority.
    pub(super) fn trusting(
        authorities: RootCertStore,
        pins: Vec<CertificateDer<'static>>,
        ring: Arc<CryptoProvider>,
    ) -> Result<Verifier, String> {
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&ring))
                .build()
                .map_err(|error| error.to_string())?;
        let trust = Trust::Some { authorities, pins };
        Ok(Verifier { trust, ring })
    }

    pub(super) fn trusting_anyone(ring: Arc<CryptoProvider>) -> Verifier {
        let trust = Trust::Anyone;
        Verifier { trust, ring }
    }

    /// The authorities, when one of them has to sign `certificate`; webpki then verifies its signatures as well, so
    /// that both checks use the same parser.
    fn authorities_for(&self, certificate: &CertificateDer<'_>) -> Option<&WebPkiServerVerifier> {
        match &self.trust {
            Trust::Some { authorities, pins } if !pins.contains(certificate) => Some(authorities),
            _ => None,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = Certificate::read(end_entity).ok_or(CertificateError::BadEncoding)?;
        if let Some(words) = certificate.key.is_unusable() {
            return Err(Reason(words).into());
        }
        if let Some(authorities) = self.authorities_for(end_entity) {
            return authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        }
        if let Trust::Some { .. } = self.trust {
            in_date(&certificate, now)?;
            name_does_not_contradict(end_entity, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if let Some(authorities) = self.authorities_for(cert) {
            let verified = authorities.verify_tls12_signature(message, cert, dss);
            return verified.map_err(unproven);
        }
        let key = Certificate::read(cert)
            .ok_or(CertificateError::BadEncoding)?
            .key;
        // TLS 1.2 names the hash and the kind of key, and leaves the curve to the certificate (RFC 5246 §7.4.1.4.1).
        let algorithms = self.ring.signature_verification_algorithms.mapping.iter();
        let algorithms = algorithms.filter(|(scheme, _)| *scheme == dss.scheme);
        let verified = algorithms
            .flat_map(|(_, algorithms)| *algorithms)
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key.algorithm)
            .any(|algorithm| {
                let verified = algorithm.verify_signature(key.bits, message, dss.signature());
                verified.is_ok()
            });
        match verified {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(unproven(CertificateError::BadSignature.into())),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if let Some(authorities) = self.authorities_for(cert) {
            let verified = authorities.verify_tls13_signature(message, cert, dss);
            return verified.map_err(unproven);
        }
        let certificate = Certificate::read(cert).ok_or(CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.key.der);
        let algorithms = &self.ring.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, dss, algorithms).map_err(unproven)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.ring
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn in_date(certificate: &Certificate<'_>, time: UnixTime) -> Result<(), Error> {
    let (not_before, not_after) = (certificate.not_before, certificate.not_after);
    if time < not_before {
        return Err(CertificateError::NotValidYetContext { time, not_before }.into());
    }
    if time > not_after {
        return Err(CertificateError::ExpiredContext { time, not_after }.into());
    }
    Ok(())
}

/// Checks the names of a pinned certificate. The operator has listed this certificate, so a missing subjectAltName is
/// no reason to refuse it: `openssl req -x509` makes such certificates. A certificate with names must have the right
/// one.
fn name_does_not_contradict(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> Result<(), Error> {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else {
        // A certificate of version 1 has no names.
        return Ok(());
    };
    match verify_server_name(&parsed, name) {
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        })) if presented.is_empty() => Ok(()),
        judged => judged,
    }
}

/// An invalid handshake signature, for which the library has no error of its own.
fn unproven(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(_) => {
            Reason("the broker does not prove that it holds its key".into()).into()
        }
        other => other,
    }
}

/// Why a certificate is refused, in the exact words of the error message.
#[derive(Debug)]
pub(super) struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Error {
        CertificateError::Other(OtherError(Arc::new(reason))).into()
    }
}
