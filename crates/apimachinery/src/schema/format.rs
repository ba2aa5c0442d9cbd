//! String formats of OpenAPI, as far as Kubernetes checks them.
//!
//! An unknown format is accepted, as upstream. Which strings pass follows kube-openapi's
//! `validation/strfmt`; what it accepts loosely (an empty date-time) we accept as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;

/// Says whether `text` is a value of the string format `format`.
pub fn is_valid(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.is_empty() || date_time(text),
        "date" => date(text.as_bytes()),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "duration" => duration(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "ip" => text.parse::<IpAddr>().is_ok(),
        "cidr" => cidr(text),
        "uri" => uri(text),
        "uuid" => uuid(text),
        "uuid3" => uuid(text) && version(text, b"3"),
        "uuid4" => uuid(text) && version(text, b"4"),
        "uuid5" => uuid(text) && version(text, b"5"),
        "email" => email(text),
        "hostname" => hostname(text),
        "mac" => mac(text),
        "k8s-short-name" => crate::names::dns1123_label(text).is_empty(),
        "k8s-long-name" => crate::names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

/// Says whether `text` is a RFC 3339 time.
fn date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !date(&bytes[..10]) || !matches!(bytes[10], b'T' | b't') || bytes[13] != b':' || bytes[16] != b':' {
        return false;
    }
    let (Some(hour), Some(minute), Some(second)) = (two(&bytes[11..13]), two(&bytes[14..16]), two(&bytes[17..19])) else { return false };
    if hour > 23 || minute > 59 || second > 59 {
        return false;
    }
    let mut rest = &bytes[19..];
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        rest = &fraction[digits..];
    }
    match rest {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => two(&[*h1, *h2]).is_some_and(|h| h < 24) && two(&[*m1, *m2]).is_some_and(|m| m < 60),
        _ => false,
    }
}

fn date(bytes: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = bytes else { return false };
    let (Some(century), Some(year), Some(month), Some(day)) = (two(&[*y1, *y2]), two(&[*y3, *y4]), two(&[*m1, *m2]), two(&[*d1, *d2]))
    else {
        return false;
    };
    jiff::civil::Date::new(i16::from(century) * 100 + i16::from(year), month as i8, day as i8).is_ok()
}

/// Returns the number two ASCII digits say.
fn two(digits: &[u8]) -> Option<u8> {
    match digits {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some((a - b'0') * 10 + (b - b'0')),
        _ => None,
    }
}

/// Accepts Go durations (`1h30m`, `-1.5s`) and strfmt's own (`2 days`, `1w`).
fn duration(text: &str) -> bool {
    static GO: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[-+]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$").expect("a constant pattern"));
    static WORDS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\s*[0-9]+\s*(ns|nano|us|µs|micro|ms|milli|s|sec|m|min|h|hr|hour|d|day|w|wk|week)s?\s*$").expect("a constant pattern")
    });
    GO.is_match(text) || WORDS.is_match(text)
}

fn cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let bits_max = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) && bits.parse::<u32>().is_ok_and(|n| n <= bits_max)
}

/// Accepts what Go's `url.ParseRequestURI` does: an absolute URI or an absolute path.
fn uri(text: &str) -> bool {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) || text.contains(' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    scheme_ok && !rest.is_empty()
}

fn uuid(text: &str) -> bool {
    let mut digits = 0;
    for byte in text.bytes() {
        match byte {
            b'-' if matches!(digits, 8 | 12 | 16 | 20) => {}
            _ if byte.is_ascii_hexdigit() => digits += 1,
            _ => return false,
        }
    }
    digits == 32 && text.len() <= 36
}

fn version(text: &str, expected: &[u8; 1]) -> bool {
    text.bytes().filter(|b| *b != b'-').nth(12) == Some(expected[0])
}

fn email(text: &str) -> bool {
    let address = match (text.rfind('<'), text.ends_with('>')) {
        (Some(open), true) => &text[open + 1..text.len() - 1],
        _ => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    !local.is_empty() && !local.contains([' ', '@', '<', '>', ',']) && !domain.is_empty() && !domain.contains([' ', '<', '>', ','])
}

fn hostname(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn mac(text: &str) -> bool {
    let separator = if text.contains(':') { ':' } else { '-' };
    let parts: Vec<&str> = text.split(separator).collect();
    matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn formats_accept_and_refuse() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            (
                "date-time",
                &["2024-02-29T23:59:59Z", "2024-01-01T00:00:00.123456+02:00", ""],
                &["2023-02-29T00:00:00Z", "2024-01-01 00:00:00Z", "2024-01-01T24:00:00Z", "x"],
            ),
            ("date", &["2024-02-29"], &["2023-02-29", "2024-1-1", "+024-01-01"]),
            ("byte", &["", "aGk="], &["aGk", "%%"]),
            ("duration", &["1h30m", "0", "-1.5s", "2 days"], &["", "1x", "h"]),
            ("ipv4", &["10.0.0.1"], &["010.0.0.1", "::1", "1.2.3"]),
            ("ipv6", &["::1", "fe80::1"], &["10.0.0.1", "fe80::1%eth0"]),
            ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0/33", "10.0.0.0", "10.0.0.0/+8"]),
            ("uri", &["https://x.io/a?b", "/abs", "mailto:a@b"], &["", "x.io", "http:// x"]),
            ("uuid", &["123e4567-e89b-12d3-a456-426614174000"], &["123e4567-e89b-12d3-a456-42661417400", "x"]),
            ("email", &["a@b.c", "A <a@b.c>"], &["a", "@b", "a@"]),
            ("hostname", &["a.b-c.d", "localhost"], &["-a", "a..b", ""]),
            ("unheard-of", &["anything"], &[]),
        ];
        for (format, yes, no) in rows {
            for text in *yes {
                assert!(is_valid(format, text), "{format} {text:?}");
            }
            for text in *no {
                assert!(!is_valid(format, text), "{format} {text:?}");
            }
        }
    }
}
