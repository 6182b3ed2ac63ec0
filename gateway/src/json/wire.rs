//! Reads the encoding of protobuf: the keys and payloads of one message, one after the other.

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub struct Wire<'b>(pub &'b [u8]);

/// What follows a field's key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Payload<'b> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'b [u8]),
}

impl<'b> Wire<'b> {
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next field with its number. Nothing where there is none, where it is a group, or where its encoding is wrong.
    pub fn field(&mut self) -> Option<(u32, Payload<'b>)> {
        let key = u32::try_from(self.varint()?).ok()?;
        let number = key >> 3;
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(self.fixed64()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Payload::Bytes(self.take(length)?)
            }
            5 => Payload::Fixed32(self.fixed32()?),
            _ => return None,
        };
        (number > 0).then_some((number, payload))
    }

    /// Seven bits a byte, the lowest first; ten bytes at the most, and 64 bits.
    pub fn varint(&mut self) -> Option<u64> {
        let (&first, rest) = self.0.split_first()?;
        if first < 0x80 {
            self.0 = rest;
            return Some(first.into());
        }
        let mut value = 0;
        for (index, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return (index < 9 || byte <= 1).then_some(value);
            }
        }
        None
    }

    pub fn fixed64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    pub fn fixed32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

/// Small negative numbers are small on the wire, too.
pub fn zigzag(encoded: u64) -> i64 {
    (encoded >> 1).cast_signed() ^ -((encoded & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding::{decode_varint, encode_varint};

    use super::*;

    proptest! {
        #[test]
        fn varints_are_read_as_prost_reads_them(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut theirs = bytes.as_slice();
            let mut ours = Wire(&bytes);
            prop_assert_eq!(ours.varint(), decode_varint(&mut theirs).ok());
        }

        #[test]
        fn every_number_is_read_as_it_was_written(number in any::<u64>()) {
            let mut written = Vec::new();
            encode_varint(number, &mut written);
            let mut wire = Wire(&written);
            prop_assert_eq!(wire.varint(), Some(number));
            prop_assert!(wire.is_empty());
        }
    }
}
