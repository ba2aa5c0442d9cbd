//! Writes DER: just the forms that certificates and requests need.

use std::net::IpAddr;

use jiff::Timestamp;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// Returns a value with its tag and length.
pub fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=127 => out.push(short as u8),
        long => {
            let bytes = long.to_be_bytes();
            let bytes = &bytes[bytes.iter().position(|b| *b != 0).unwrap_or(0)..];
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(SEQUENCE, &parts.concat())
}

pub fn set(part: &[u8]) -> Vec<u8> {
    tagged(SET, part)
}

/// Returns an explicitly tagged, constructed value.
pub fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    tagged(0xa0 | number, content)
}

/// Returns a non-negative integer of big-endian bytes.
pub fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len().saturating_sub(1));
    let mut content = bytes[start..].to_vec();
    if content.first().is_none_or(|b| b & 0x80 != 0) {
        content.insert(0, 0);
    }
    tagged(INTEGER, &content)
}

pub fn boolean_true() -> Vec<u8> {
    vec![0x01, 0x01, 0xff]
}

pub fn oid(arcs: &[u32]) -> Vec<u8> {
    let mut content = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for arc in &arcs[2..] {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        content.extend(groups.iter().rev());
    }
    tagged(OID, &content)
}

pub fn utf8(text: &str) -> Vec<u8> {
    tagged(UTF8_STRING, text.as_bytes())
}

pub fn octets(content: &[u8]) -> Vec<u8> {
    tagged(OCTET_STRING, content)
}

pub fn bits(content: &[u8], unused: u8) -> Vec<u8> {
    tagged(BIT_STRING, &[&[unused], content].concat())
}

/// Returns the time in whole seconds: UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5).
pub fn time(at: Timestamp) -> Vec<u8> {
    let text = at.strftime("%Y%m%d%H%M%SZ").to_string();
    if text.as_str() < "20500101000000Z" { tagged(UTC_TIME, &text.as_bytes()[2..]) } else { tagged(GENERALIZED_TIME, text.as_bytes()) }
}

/// Returns a name of one common name and organizations, each in a set of its own.
pub fn name(common_name: &str, organizations: &[impl AsRef<str>]) -> Vec<u8> {
    const COMMON_NAME: [u32; 4] = [2, 5, 4, 3];
    const ORGANIZATION: [u32; 4] = [2, 5, 4, 10];
    let attribute = |ty: &[u32], text: &str| set(&sequence(&[oid(ty), utf8(text)]));
    let mut parts: Vec<Vec<u8>> = organizations.iter().map(|o| attribute(&ORGANIZATION, o.as_ref())).collect();
    parts.push(attribute(&COMMON_NAME, common_name));
    sequence(&parts)
}

/// Returns a DNS name or an IP address as a general name.
pub fn general_name(name: &str) -> Vec<u8> {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => tagged(0x87, &ip.octets()),
        Ok(IpAddr::V6(ip)) => tagged(0x87, &ip.octets()),
        Err(_) => tagged(0x82, name.as_bytes()),
    }
}

/// Returns one extension of a certificate.
pub fn extension(id: &[u32], critical: bool, content: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(id)];
    if critical {
        parts.push(boolean_true());
    }
    parts.push(octets(content));
    sequence(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_as_x690_says() {
        assert_eq!(oid(&[1, 2, 840, 10045, 4, 3, 2]), [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
        assert_eq!(integer(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0]), [2, 1, 0]);
        assert_eq!(tagged(4, &[7; 200])[..4], [4, 0x81, 200, 7]);
        assert_eq!(tagged(4, &[7; 300])[..5], [4, 0x82, 1, 44, 7]);
        assert_eq!(time("2049-12-31T23:59:59Z".parse().unwrap()), tagged(0x17, b"491231235959Z"));
        assert_eq!(time("2050-01-01T00:00:00Z".parse().unwrap()), tagged(0x18, b"20500101000000Z"));
        assert_eq!(general_name("10.0.0.1"), [0x87, 4, 10, 0, 0, 1]);
    }
}
