//! Messages that are encoded already. The descriptors give them their meaning, not a Rust type.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Carries encoded messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self
    }
}

/// A part of what a client sends: a message, or word that there will be no more. Without that word the call has not ended, it
/// broke off.
#[derive(Debug)]
pub enum Piece {
    Message(Bytes),
    End,
}

/// Carries a stream of encoded messages to a service, and its one answer back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pieces;

impl Codec for Pieces {
    type Encode = Result<Bytes, Status>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Encoded;

    fn encoder(&mut self) -> Self::Encoder {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        Encoded
    }
}

impl Encoder for Pieces {
    type Item = Result<Bytes, Status>;
    type Error = Status;

    /// A failure resets the stream, so that the service sees it.
    fn encode(&mut self, message: Result<Bytes, Status>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message?);
        Ok(())
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
