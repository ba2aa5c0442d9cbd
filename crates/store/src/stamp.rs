//! Writes a revision into a value's bytes.
//!
//! The result has no spare capacity: a value lives as long as its object, and fifty thousand
//! half-empty buffers are real memory.

use bytes::Bytes;

use crate::{Revision, Template};

impl Template {
    /// Returns a template that takes no revision.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Template {
        Template { bytes: bytes.into(), revision_at: None }
    }

    /// Returns the bytes with the revision written in at the place left for it.
    pub(crate) fn stamp(self, revision: Revision) -> Bytes {
        let Some(at) = self.revision_at else {
            return Bytes::from(self.bytes.into_boxed_slice());
        };
        let at = at.min(self.bytes.len());
        let mut buffer = [0_u8; 20];
        let digits = decimal(revision, &mut buffer);
        let mut stamped = Vec::with_capacity(self.bytes.len() + digits.len());
        stamped.extend_from_slice(&self.bytes[..at]);
        stamped.extend_from_slice(digits);
        stamped.extend_from_slice(&self.bytes[at..]);
        Bytes::from(stamped.into_boxed_slice())
    }
}

/// Returns the decimal digits of a number, written at the end of the buffer.
fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_written_at_its_place() {
        let check = |bytes: &str, at, revision, expect: &str| {
            let template = Template { bytes: bytes.into(), revision_at: at };
            assert_eq!(template.stamp(revision), expect.as_bytes());
        };
        check(r#"{"rv":""}"#, Some(7), 42, r#"{"rv":"42"}"#);
        check("x", Some(0), 0, "0x");
        check("x", Some(1), u64::MAX, "x18446744073709551615");
        check("x", Some(99), 10, "x10");
        check("as it is", None, 7, "as it is");
    }
}
