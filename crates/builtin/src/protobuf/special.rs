//! Messages whose JSON form is not an object of their fields.

use apimachinery::gvk::split_api_version;
use jiff::Timestamp;

use super::wire::{self, BYTES, Flaw, Reader, VARINT};

/// The envelope around a body.
#[derive(Default)]
pub struct Unknown<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub raw: &'a [u8],
    pub content_type: &'a str,
}

impl<'a> Unknown<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let mut unknown = Self::default();
        for_each(bytes, |number, wire, reader| {
            match (number, wire) {
                (1, BYTES) => for_each(reader.bytes()?, |number, wire, reader| {
                    match (number, wire) {
                        (1, BYTES) => unknown.api_version = text(reader.bytes()?)?,
                        (2, BYTES) => unknown.kind = text(reader.bytes()?)?,
                        _ => reader.skip(wire)?,
                    }
                    Ok(())
                })?,
                (2, BYTES) => unknown.raw = reader.bytes()?,
                (4, BYTES) => unknown.content_type = text(reader.bytes()?)?,
                _ => reader.skip(wire)?,
            }
            Ok(())
        })?;
        Ok(unknown)
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let mut meta = Vec::new();
        wire::put_bytes(&mut meta, 1, self.api_version.as_bytes());
        wire::put_bytes(&mut meta, 2, self.kind.as_bytes());
        wire::put_bytes(out, 1, &meta);
        wire::put_bytes(out, 2, self.raw);
        // Content encoding and type: Go writes both, empty.
        wire::put_bytes(out, 3, b"");
        wire::put_bytes(out, 4, self.content_type.as_bytes());
    }

    pub fn group_version(&self) -> (&'a str, &'a str) {
        split_api_version(self.api_version)
    }
}

pub fn for_each<'a>(bytes: &'a [u8], mut field: impl FnMut(u32, u8, &mut Reader<'a>) -> Result<(), Flaw>) -> Result<(), Flaw> {
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.key()? {
        field(number, wire, &mut reader)?;
    }
    Ok(())
}

pub fn text(bytes: &[u8]) -> Result<&str, Flaw> {
    std::str::from_utf8(bytes).map_err(|_| "the text is not UTF-8")
}

/// Returns the only field of a message of one bytes field; empty without.
pub fn only_bytes(bytes: &[u8]) -> Result<&[u8], Flaw> {
    let mut found: &[u8] = &[];
    for_each(bytes, |number, wire, reader| {
        match (number, wire) {
            (1, BYTES) => found = reader.bytes()?,
            _ => reader.skip(wire)?,
        }
        Ok(())
    })?;
    Ok(found)
}

/// Returns seconds and nanoseconds; nothing for the zero time, which is an empty message.
pub fn timestamp(bytes: &[u8]) -> Result<Option<Timestamp>, Flaw> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0i64, 0i64);
    for_each(bytes, |number, wire, reader| {
        match (number, wire) {
            (1, VARINT) => seconds = reader.varint()?.cast_signed(),
            (2, VARINT) => nanos = reader.varint()?.cast_signed(),
            _ => reader.skip(wire)?,
        }
        Ok(())
    })?;
    let nanos = i32::try_from(nanos).map_err(|_| "the nanoseconds are out of range")?;
    Timestamp::new(seconds, nanos).map(Some).map_err(|_| "the time is out of range")
}

/// A whole number or a text, as ports are.
pub enum IntOrText<'a> {
    Int(i64),
    Text(&'a str),
}

pub fn int_or_text(bytes: &[u8]) -> Result<IntOrText<'_>, Flaw> {
    let (mut is_text, mut int, mut string) = (false, 0i64, "");
    for_each(bytes, |number, wire, reader| {
        match (number, wire) {
            (1, VARINT) => is_text = reader.varint()? == 1,
            (2, VARINT) => int = reader.varint()?.cast_signed(),
            (3, BYTES) => string = text(reader.bytes()?)?,
            _ => reader.skip(wire)?,
        }
        Ok(())
    })?;
    Ok(if is_text { IntOrText::Text(string) } else { IntOrText::Int(int) })
}
