//! The fields of an X.509 certificate (RFC 5280 §4.1) that webpki does not expose: the version, the dates and the
//! public key.
//!
//! Promises: any bytes yield a certificate or `None`; a certificate of version 1 is read like one of version 3.
//! Does not: verify. Webpki verifies extensions and the issuer's signature.

use std::time::Duration;

use rustls::pki_types::UnixTime;

use crate::der::{BIT_STRING, Der, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, VERSION};

/// The fields of a certificate, borrowed from its DER encoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate<'a> {
    /// The certificate's version: 1, 2 or 3.
    pub(super) version: u8,
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
    pub(super) key: PublicKey<'a>,
}

/// A SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PublicKey<'a> {
    /// The whole encoded structure.
    pub(super) der: &'a [u8],
    /// The content of its AlgorithmIdentifier: an object identifier and parameters.
    pub(super) algorithm: &'a [u8],
    /// The content of its bit string.
    pub(super) bits: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads a certificate; `None` when the bytes are not a certificate.
    pub(super) fn read(der: &'a [u8]) -> Option<Certificate<'a>> {
        let mut whole = Der(Der(der).value(SEQUENCE)?);
        let mut fields = Der(whole.value(SEQUENCE)?);
        let version = match fields.value(VERSION) {
            // The default is version 1.
            None => 1,
            Some(explicit) => match Der(explicit).value(INTEGER)? {
                [number @ 0..=2] => number + 1,
                _ => return None,
            },
        };
        fields.value(INTEGER)?;
        let _signature = fields.value(SEQUENCE)?;
        let _issuer = fields.value(SEQUENCE)?;
        let mut validity = Der(fields.value(SEQUENCE)?);
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let _subject = fields.value(SEQUENCE)?;
        Some(Certificate {
            version,
            not_before,
            not_after,
            key: PublicKey::read(fields.element(SEQUENCE)?)?,
        })
    }
}

impl<'a> PublicKey<'a> {
    fn read(der: &'a [u8]) -> Option<PublicKey<'a>> {
        let mut fields = Der(Der(der).value(SEQUENCE)?);
        let algorithm = fields.value(SEQUENCE)?;
        // The first byte counts the unused bits of the last byte, which is 0 for a key.
        let bits = fields.value(BIT_STRING)?.strip_prefix(&[0])?;
        Some(PublicKey {
            der,
            algorithm,
            bits,
        })
    }

    /// Why no signature of this key can be verified here: a sentence that begins with "its key"; `None` when signatures
    /// can be verified.
    pub(super) fn is_unusable(&self) -> Option<String> {
        const TAKEN: &str = "RSA with 2048 to 8192 bits, P-256, P-384 and Ed25519 are accepted";
        let mut fields = Der(self.algorithm);
        let kind = match fields.value(OBJECT_IDENTIFIER)? {
            RSA => match self.rsa_bits()? {
                2048..=8192 => return None,
                bits => format!("RSA with {bits} bits"),
            },
            EC => match fields.value(OBJECT_IDENTIFIER)? {
                P256 | P384 => return None,
                P521 => "on the curve P-521".into(),
                _ => "on another elliptic curve".into(),
            },
            ED25519 => return None,
            ED448 => "Ed448".into(),
            _ => "of another kind".into(),
        };
        Some(format!(
            "its key is {kind}, whose signatures cannot be verified here; {TAKEN}"
        ))
    }

    /// The length of an RSA modulus (RFC 8017 A.1.1).
    fn rsa_bits(&self) -> Option<usize> {
        let modulus = Der(Der(self.bits).value(SEQUENCE)?).value(INTEGER)?;
        let leading = modulus.iter().take_while(|byte| **byte == 0).count();
        let digits = modulus.get(leading..)?;
        let unused = digits.first()?.leading_zeros() as usize;
        Some(digits.len() * 8 - unused)
    }
}

impl Der<'_> {
    /// Reads a time (RFC 5280 §4.1.2.5): `YYMMDDHHMMSSZ` for the years 1950 to 2049, `YYYYMMDDHHMMSSZ` for others.
    fn time(&mut self) -> Option<UnixTime> {
        let (century, text) = match self.value(UTC_TIME) {
            Some(text) => (true, text),
            None => (false, self.value(GENERALIZED_TIME)?),
        };
        let digits = std::str::from_utf8(text.strip_suffix(b"Z")?).ok()?;
        if digits.len() != (if century { 12 } else { 14 }) || !digits.is_ascii() {
            return None;
        }
        let (year, rest) = digits.split_at(if century { 2 } else { 4 });
        let year = match (year.parse::<u64>().ok()?, century) {
            (year @ 0..50, true) => 2000 + year,
            (year, true) => 1900 + year,
            (year, false) => year,
        };
        let part = |index: usize| rest.get(2 * index..2 * index + 2)?.parse::<u64>().ok();
        let days = days_to(year, part(0)?, part(1)?)?;
        let seconds = ((days * 24 + part(2)?) * 60 + part(3)?) * 60 + part(4)?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// The days from 1970-01-01 to a date; 0 for an earlier date.
fn days_to(year: u64, month: u64, day: u64) -> Option<u64> {
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = lengths.get(..usize::try_from(month).ok()?.checked_sub(1)?)?;
    if !(1..=31).contains(&day) || before.len() == lengths.len() {
        return None;
    }
    let Some(years) = year.checked_sub(1970) else {
        return Some(0);
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let leap_days_before = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let leap_days = leap_days_before(year) - leap_days_before(1970) + u64::from(leap && month > 2);
    Some(years * 365 + leap_days + before.iter().sum::<u64>() + day - 1)
}

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The object identifier 1.2.840.113549.1.1.1.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// The object identifier 1.2.840.10045.2.1.
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// The object identifier 1.2.840.10045.3.1.7.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// The object identifier 1.3.132.0.34.
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
/// The object identifier 1.3.132.0.35.
const P521: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];
/// The object identifier 1.3.101.112.
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// The object identifier 1.3.101.113.
const ED448: &[u8] = &[0x2b, 0x65, 0x71];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_is_read() {
        let der = certificate(|_| {});
        let read = Certificate::read(&der).unwrap();
        assert_eq!(read.version, 3);
        assert_eq!(read.key.is_unusable(), None);
        let whole = der.as_slice().into();
        let parsed = rustls::server::ParsedCertificate::try_from(&whole).unwrap();
        assert_eq!(read.key.der, parsed.subject_public_key_info().as_ref());
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (year, month, day) in [
            (1970, 1, 1),
            (1999, 12, 31),
            (2000, 2, 29),
            (2000, 3, 1),
            (2001, 3, 1),
            (2023, 2, 28),
            (2024, 2, 29),
            (2049, 12, 31),
            (2050, 1, 1),
            (2100, 3, 1),
            (2400, 2, 29),
        ] {
            let date = date_time_ymd(year, month, day);
            let der = certificate(|params| {
                params.not_before = date;
                params.not_after = date;
            });
            let seconds = u64::try_from(date.unix_timestamp()).unwrap();
            let read = Certificate::read(&der).unwrap();
            assert_eq!(read.not_after.as_secs(), seconds, "{year}-{month}-{day}");
            assert_eq!(read.not_before, read.not_after);
        }
    }

    /// Cut anywhere, or with any byte changed: never a panic, and never a key that lies outside of the certificate.
    #[test]
    fn damaged_certificates_are_read_or_refused() {
        let der = certificate(|_| {});
        for end in 0..der.len() {
            assert_eq!(Certificate::read(&der[..end]), None, "cut at {end}");
        }
        let (mut read, mut refused) = (0, 0);
        for place in 0..der.len() {
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = der.clone();
                damaged[place] = byte;
                match Certificate::read(&damaged) {
                    Some(certificate) => {
                        certificate.key.is_unusable();
                        read += 1;
                    }
                    None => refused += 1,
                }
            }
        }
        assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
    }
}
