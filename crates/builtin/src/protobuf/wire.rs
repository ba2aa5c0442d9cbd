//! Protobuf's wire format: keys, varints, lengths.

/// What is wrong with the bytes.
pub type Flaw = &'static str;

/// Wire types.
pub const VARINT: u8 = 0;
pub const FIXED64: u8 = 1;
pub const BYTES: u8 = 2;
const FIXED32: u8 = 5;

const CUT_OFF: Flaw = "the message is cut off";

#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the next field number and wire type, or nothing at the end.
    pub fn key(&mut self) -> Result<Option<(u32, u8)>, Flaw> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| "a field number is out of range")?;
        if number == 0 {
            return Err("a field number is 0");
        }
        Ok(Some((number, (key & 7) as u8)))
    }

    pub fn varint(&mut self) -> Result<u64, Flaw> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(CUT_OFF)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a varint is longer than ten bytes")
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Flaw> {
        let length = usize::try_from(self.varint()?).map_err(|_| CUT_OFF)?;
        self.take(length)
    }

    pub fn fixed64(&mut self) -> Result<[u8; 8], Flaw> {
        self.take(8)?.try_into().map_err(|_| CUT_OFF)
    }

    pub fn skip(&mut self, wire: u8) -> Result<(), Flaw> {
        match wire {
            VARINT => self.varint().map(drop),
            FIXED64 => self.take(8).map(drop),
            BYTES => self.bytes().map(drop),
            FIXED32 => self.take(4).map(drop),
            _ => Err("groups are not supported"),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(taken)
    }
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_key(out: &mut Vec<u8>, number: u32, wire: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

pub fn put_number(out: &mut Vec<u8>, number: u32, value: i64) {
    put_key(out, number, VARINT);
    put_varint(out, value.cast_unsigned());
}

pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_key(out, number, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
