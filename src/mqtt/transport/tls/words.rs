//! Error messages for TLS failures that tell the operator what to do.

use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use mcpmqtt_protocol::topic::Shown;

use super::verifier::Reason;
use crate::clock;

/// Describes `error` in a sentence; `has_certificate` says whether this client has a certificate.
pub(super) fn of(error: &Error, has_certificate: bool) -> String {
    match error {
        Error::InvalidCertificate(fault) => {
            format!(
                "the broker's certificate is not accepted: {}",
                certificate(fault)
            )
        }
        Error::AlertReceived(alert) => refusal(*alert, has_certificate),
        Error::InvalidMessage(_) => {
            "what answers there does not speak TLS (is `mqtt.port` the broker's TLS port?)".into()
        }
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => OLD.into(),
        other => format!("TLS failed: {other}"),
    }
}

fn certificate(fault: &CertificateError) -> String {
    match fault {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "it expired at {} (the clock here says {}); renew it",
            moment(*not_after),
            moment(*time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "it is not valid before {} (the clock here says {}); set the clock",
            moment(*not_before),
            moment(*time)
        ),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                return format!(
                    "it is for no host name at all, so not for `{expected}`; it needs a subjectAltName (a common name does not count)"
                );
            }
            format!(
                "it is for {}, not for `{expected}`; set `mqtt.host` or `mqtt.tls.server_name` to a name in it",
                names(presented)
            )
        }
        CertificateError::UnknownIssuer => {
            "its issuer is not trusted here; set `mqtt.tls.ca_file` to the certificate of the authority that signed it".into()
        }
        CertificateError::BadSignature => {
            "its signature is not by the authority it names; `mqtt.tls.ca_file` may hold another authority of that name".into()
        }
        CertificateError::BadEncoding => "it cannot be read".into(),
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            "it is not made for servers (extendedKeyUsage lacks serverAuth)".into()
        }
        CertificateError::Other(other) if other.0.is::<Reason>() => other.to_string(),
        CertificateError::Other(other) => match other.to_string().as_str() {
            "CaUsedAsEndEntity" => {
                "it is the certificate of an authority; give the broker a certificate that the \
                 authority signed, or put this very certificate into `mqtt.tls.ca_file`".into()
            }
            "UnsupportedCertVersion" => {
                "it is of version 1; make one of version 3 with a subjectAltName, or put this very certificate into `mqtt.tls.ca_file`".into()
            }
            name => odd(name),
        },
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that cannot be verified here (SHA-1, or a key on P-521 or of RSA below 2048 bits)".into()
        }
        CertificateError::Revoked => "it was revoked".into(),
        other => odd(&format!("{other:?}")),
    }
}

/// Names a rare rule as the library names it.
fn odd(name: &str) -> String {
    format!(
        "it breaks a rule for certificates ({}); make another",
        spelled(name)
    )
}

/// Writes `UnsupportedCriticalExtension { … }` as `unsupported critical extension`.
fn spelled(name: &str) -> String {
    let (mut words, mut after_small) = (String::new(), false);
    for letter in name.chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && after_small {
            words.push(' ');
        }
        after_small = letter.is_ascii_lowercase();
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// The names in a certificate; the library formats them as `DnsName("a.example")` and `IpAddress(10.0.0.1)`.
fn names(presented: &[String]) -> String {
    let names = presented.iter().map(|name| {
        let inside = name
            .split_once('(')
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        let name = inside.unwrap_or(name).trim_matches('"');
        Shown(name).to_string()
    });
    names.collect::<Vec<_>>().join(", ")
}

/// The meaning of the broker's alert. Before TLS 1.3 no alert reported a missing certificate.
fn refusal(alert: AlertDescription, has_certificate: bool) -> String {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => WANTED.into(),
        AlertDescription::HandshakeFailure if !has_certificate => {
            format!(
                "the broker refused the TLS handshake; probably {WANTED}; or {NOTHING_IN_COMMON}"
            )
        }
        AlertDescription::HandshakeFailure => {
            format!("the broker refused the TLS handshake; probably {NOTHING_IN_COMMON}")
        }
        AlertDescription::ProtocolVersion => OLD.into(),
        AlertDescription::UnrecognisedName => {
            "the broker does not know the name it was asked for; see `mqtt.tls.server_name`".into()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError
            if has_certificate =>
        {
            format!(
                "the broker does not accept our certificate ({}); see `mqtt.tls.cert_file`",
                alert_words(alert)
            )
        }
        other => format!(
            "the broker ended TLS with the alert `{}`",
            spelled(&format!("{other:?}"))
        ),
    }
}

fn alert_words(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::CertificateExpired => "it expired",
        AlertDescription::UnknownCA => "it does not trust its issuer",
        AlertDescription::UnsupportedCertificate => "it is of a kind it does not take",
        AlertDescription::AccessDenied => "access is denied",
        _ => "it gives no reason",
    }
}

fn moment(time: UnixTime) -> String {
    let text = clock::rfc3339(UNIX_EPOCH + Duration::from_secs(time.as_secs()));
    format!("{}Z", text.get(..19).unwrap_or(&text))
}

/// The broker closed the connection before it sent its certificate.
const NOTHING_IN_COMMON: &str = "its key is of a kind that is not taken here (a key on P-521, or one of RSA below 2048 bits), or no cipher is in common";
pub(super) const CLOSED: &str = "the broker closed the connection during the TLS handshake \
     (is `mqtt.port` its TLS port?)";
const OLD: &str = "the broker speaks neither TLS 1.2 nor TLS 1.3";
const WANTED: &str =
    "the broker wants a client certificate; set `mqtt.tls.cert_file` and `mqtt.tls.key_file`";
