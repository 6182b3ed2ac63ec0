//! Frames (RFC 6455, section 5).

use super::SocketError;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn read(bits: u8) -> Option<Self> {
        [
            Self::Continuation,
            Self::Text,
            Self::Binary,
            Self::Close,
            Self::Ping,
            Self::Pong,
        ]
        .into_iter()
        .find(|opcode| *opcode as u8 == bits)
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    /// Whether a frame of this kind may come now (5.4): only a message that has begun is continued, and none begins inside another.
    pub fn may_come(self, inside_message: bool) -> Result<(), SocketError> {
        match self {
            Self::Continuation if !inside_message => Err(SocketError::Protocol("it continues what has not begun")),
            Self::Text | Self::Binary if inside_message => {
                Err(SocketError::Protocol("a message begins inside another"))
            }
            _ => Ok(()),
        }
    }
}

/// What stands before a payload.
#[derive(Debug, Eq, PartialEq)]
pub struct Head {
    pub opcode: Opcode,
    /// Of the frames of its message.
    pub is_last: bool,
    /// Of the head, in bytes.
    pub size: usize,
    /// Of the payload.
    pub length: usize,
}

impl Head {
    /// None where it has not arrived as a whole.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, SocketError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(SocketError::Protocol("it uses an extension that was not agreed on"));
        }
        if second & 0x80 != 0 {
            return Err(SocketError::Protocol("a server does not mask"));
        }
        let opcode = Opcode::read(first & 0x0f).ok_or(SocketError::Protocol("a frame is of an unknown kind"))?;
        if opcode.is_control() && (first & 0x80 == 0 || second > 125) {
            return Err(SocketError::Protocol("a control frame is in parts, or too large"));
        }
        let (size, length) = match (second, rest) {
            (126, &[a, b, ..]) => (4, u64::from(u16::from_be_bytes([a, b]))),
            (127, &[a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            (126 | 127, _) => return Ok(None),
            (length, _) => (2, u64::from(length)),
        };
        Ok(Some(Self {
            opcode,
            is_last: first & 0x80 != 0,
            size,
            length: usize::try_from(length).map_err(|_| SocketError::Protocol("a message is too large"))?,
        }))
    }
}

/// Appends one frame that is a whole message, masked as a client has to.
pub fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode as u8);
    match payload.len() {
        // Up to 125 and 65,535 by the arms.
        length @ ..126 => out.push(0x80 | length as u8),
        length @ ..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    out.extend(masked.map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of section 5.7.
    #[test]
    fn hello_is_masked_as_the_standard_shows_it() {
        let mut out = Vec::new();
        write(&mut out, Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let head = |opcode, size, length| {
            Some(Head {
                opcode,
                is_last: true,
                size,
                length,
            })
        };
        let read = |bytes: &[u8]| Head::read(bytes).expect("the head is good");
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[0x81]), None);
        assert_eq!(read(&[0x81, 0x05]), head(Opcode::Text, 2, 5));
        assert_eq!(read(&[0x81, 126, 1]), None);
        assert_eq!(read(&[0x81, 126, 1, 0]), head(Opcode::Text, 4, 256));
        assert_eq!(read(&[0x89, 0]), head(Opcode::Ping, 2, 0));
        assert_eq!(
            read(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            head(Opcode::Text, 10, 65_536)
        );
    }

    #[test]
    fn what_no_server_may_send_is_refused() {
        for bytes in [[0xc1, 0], [0x81, 0x80], [0x83, 0], [0x09, 0], [0x8a, 126]] {
            assert!(Head::read(&bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn messages_neither_overlap_nor_go_on_without_a_beginning() {
        for (opcode, outside, inside) in [
            (Opcode::Continuation, false, true),
            (Opcode::Text, true, false),
            (Opcode::Binary, true, false),
            (Opcode::Ping, true, true),
            (Opcode::Close, true, true),
        ] {
            assert_eq!(opcode.may_come(false).is_ok(), outside, "{opcode:?}");
            assert_eq!(opcode.may_come(true).is_ok(), inside, "{opcode:?}");
        }
    }

    proptest! {
        #[test]
        fn a_payload_is_itself_again_when_the_mask_is_taken_off(payload: Vec<u8>, mask: [u8; 4]) {
            let mut out = Vec::new();
            write(&mut out, Opcode::Text, &payload, mask);
            let masked = &out[out.len() - payload.len()..];
            let unmasked: Vec<u8> = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            prop_assert_eq!(unmasked, payload);
        }
    }
}
