//! The subject of a client's certificate as text: RFC 2253, as `openssl x509 -noout -subject -nameopt RFC2253` prints it.
//!
//! Promises: two different subjects have different texts; a subject with an attribute that has no short name here, or in
//! an encoding other than UTF-8 or ASCII, has none.
//! Does not: verify. The handshake has verified the certificate before.

use std::fmt::Write as _;

use crate::der::{Der, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, VERSION};

/// The subject of a certificate (RFC 5280 §4.1.2.6); `None` for an empty one, too.
pub(super) fn of(certificate: &[u8]) -> Option<String> {
    let mut whole = Der(Der(certificate).value(SEQUENCE)?);
    let mut fields = Der(whole.value(SEQUENCE)?);
    let _version = fields.value(VERSION);
    let _serial = fields.value(INTEGER)?;
    let _signature = fields.value(SEQUENCE)?;
    let _issuer = fields.value(SEQUENCE)?;
    let _validity = fields.value(SEQUENCE)?;
    let text = name(fields.value(SEQUENCE)?)?;
    (!text.is_empty()).then_some(text)
}

/// The parts of a name, the last one first (RFC 2253 §2.1).
fn name(content: &[u8]) -> Option<String> {
    let mut rest = Der(content);
    let mut parts = Vec::new();
    while !rest.0.is_empty() {
        parts.push(part(rest.value(SET)?)?);
    }
    parts.reverse();
    Some(parts.join(","))
}

fn part(content: &[u8]) -> Option<String> {
    let mut rest = Der(content);
    let mut attributes = Vec::new();
    while !rest.0.is_empty() {
        attributes.push(attribute(rest.value(SEQUENCE)?)?);
    }
    // OpenSSL prints the attributes of one part in this order, too.
    attributes.reverse();
    Some(attributes.join("+"))
}

fn attribute(content: &[u8]) -> Option<String> {
    let mut fields = Der(content);
    let kind = fields.value(OBJECT_IDENTIFIER)?;
    let (_, name) = KINDS.iter().find(|(known, _)| *known == kind)?;
    let value = STRINGS.iter().find_map(|tag| fields.value(*tag))?;
    let value = std::str::from_utf8(value).ok()?;
    Some(format!("{name}={}", escaped(value)))
}

/// RFC 2253 §2.4: with a backslash before what would end the value, and every byte that is not printable ASCII in hex.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let is_edge = byte == b' ' && (at == 0 || at == last) || byte == b'#' && at == 0;
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' if is_edge => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => drop(write!(text, "\\{byte:02X}")),
        }
    }
    text
}

const SET: u8 = 0x31;
/// `UTF8String`, `PrintableString` and `IA5String`.
const STRINGS: [u8; 3] = [0x0c, 0x13, 0x16];

/// The attributes with a short name: RFC 2253 §2.3, and those that certificates of machines have beside them.
const KINDS: [(&[u8], &str); 10] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "street"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
        "emailAddress",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn subject(parts: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            let value = DnValue::Utf8String((*value).to_owned());
            params.distinguished_name.push(kind.clone(), value);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_subject_is_written_as_openssl_writes_it() {
        let (name, company) = (DnType::CommonName, DnType::OrganizationName);
        for (parts, expected) in [
            (vec![(name.clone(), "codex")], Some("CN=codex")),
            (
                vec![
                    (DnType::CountryName, "DE"),
                    (company.clone(), "A B"),
                    (name.clone(), "c"),
                ],
                Some("CN=c,O=A B,C=DE"),
            ),
            (vec![(name.clone(), "a,CN=b")], Some("CN=a\\,CN=b")),
            (vec![(name.clone(), " #a ")], Some("CN=\\ #a\\ ")),
            (vec![(name.clone(), "#a")], Some("CN=\\#a")),
            (
                vec![(name.clone(), "\\<>;\"+")],
                Some("CN=\\\\\\<\\>\\;\\\"\\+"),
            ),
            (vec![(name.clone(), "Zoë\n")], Some("CN=Zo\\C3\\AB\\0A")),
            (vec![(company, "")], Some("O=")),
            (vec![], None),
            (
                vec![(DnType::CustomDnType(vec![2, 5, 4, 42]), "x"), (name, "c")],
                None,
            ),
        ] {
            let der = subject(&parts);
            assert_eq!(of(&der).as_deref(), expected, "{parts:?}");
        }
    }

    #[test]
    fn any_bytes_have_a_subject_or_none() {
        let der = subject(&[(DnType::CommonName, "codex")]);
        for end in 0..der.len() {
            assert_eq!(of(&der[..end]), None, "cut at {end}");
        }
        let mut others = 0;
        for place in 0..der.len() {
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = der.clone();
                damaged[place] = byte;
                others += usize::from(of(&damaged).as_deref() != Some("CN=codex"));
            }
        }
        assert!(others > 0);
    }
}
