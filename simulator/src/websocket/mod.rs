//! A WebSocket as a charge point needs it (RFC 6455, the client's side): texts both ways, pings answered, no extensions.
//!
//! Written for this one purpose, so that a message costs one read and one write, and tens of thousands of idle sockets next to nothing:
//! load and what is measured share the processors.

mod frame;
mod handshake;
mod stream;

use std::io;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use self::frame::{Head, Opcode};
pub use self::handshake::Offer;
pub use self::stream::Stream;

/// Bytes that are asked for at once. Most messages are smaller.
const READ: usize = 512;

/// The largest message that is taken, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;

/// The code of a close frame without one.
const NO_STATUS: u16 = 1005;

/// How long it may take to send the answer to a close frame.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why there is no socket, or none any more.
#[derive(Debug, Error)]
pub enum SocketError {
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The answer to the handshake was something else.
    #[error("refused with {status}{}", detail(.body))]
    Refused { status: u16, body: String },
    #[error("the handshake is none: {0}")]
    Handshake(&'static str),
    #[error("closed with {code}{}", detail(.reason))]
    Closed { code: u16, reason: String },
    #[error("the connection is lost: {0}")]
    Lost(#[from] io::Error),
    #[error("the other side breaks the WebSocket protocol: {0}")]
    Protocol(&'static str),
}

fn detail(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    incoming: BytesMut,
    /// What has not been written yet, masked already.
    outgoing: Vec<u8>,
    /// The message that is arriving, or has arrived.
    message: Vec<u8>,
    /// The message is complete, and has been handed out.
    complete: bool,
    /// A message has begun, and its last frame has not come.
    inside_message: bool,
    /// The answer to a close frame has been written.
    is_closing: bool,
}

impl Socket {
    /// Shakes hands over a connection.
    ///
    /// # Errors
    /// The other side does not want to.
    pub async fn open(mut stream: Stream, offer: &Offer<'_>) -> Result<Self, SocketError> {
        let incoming = handshake::shake(&mut stream, offer).await?;
        Ok(Self {
            stream,
            incoming,
            outgoing: Vec::new(),
            message: Vec::new(),
            complete: false,
            inside_message: false,
            is_closing: false,
        })
    }

    /// Sends a text. Where this is dropped half-way, the rest goes out with whatever is next.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn send(&mut self, text: &str) -> Result<(), SocketError> {
        frame::write(&mut self.outgoing, Opcode::Text, text.as_bytes(), rand::random());
        self.flush().await
    }

    /// The next text. Nothing is lost where this is dropped.
    ///
    /// # Errors
    /// The other side has closed, is gone, or breaks the protocol.
    pub async fn receive(&mut self) -> Result<&str, SocketError> {
        if self.complete {
            self.message.clear();
            self.complete = false;
        }
        loop {
            match self.take_frames() {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    if self.is_closing {
                        // It may be gone already.
                        let _ = timeout(FAREWELL, self.flush()).await;
                    }
                    return Err(error);
                }
            }
            self.flush().await?;
            self.incoming.reserve(READ);
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        self.complete = true;
        std::str::from_utf8(&self.message).map_err(|_| SocketError::Protocol("a text is not UTF-8"))
    }

    /// Says goodbye, and does not wait for an answer.
    pub async fn close(mut self) {
        frame::write(
            &mut self.outgoing,
            Opcode::Close,
            &1000_u16.to_be_bytes(),
            rand::random(),
        );
        // The other side may have gone first.
        if self.flush().await.is_ok() {
            let _ = self.stream.shutdown().await;
        }
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        while !self.outgoing.is_empty() {
            let written = self.stream.write(&self.outgoing).await?;
            if written == self.outgoing.len() {
                self.outgoing.clear();
                self.stream.flush().await?;
            } else {
                self.outgoing.drain(..written);
            }
        }
        Ok(())
    }

    /// Goes through the frames that have arrived, up to the end of a message. Whether there was one.
    fn take_frames(&mut self) -> Result<bool, SocketError> {
        while let Some(head) = Head::read(&self.incoming)? {
            if self.message.len().saturating_add(head.length) > LARGEST {
                return Err(SocketError::Protocol("a message is too large"));
            }
            let whole = head.size + head.length;
            if self.incoming.len() < whole {
                self.incoming.reserve(whole - self.incoming.len());
                return Ok(false);
            }
            head.opcode.may_come(self.inside_message)?;
            let payload = &self.incoming[head.size..whole];
            let mut ends_message = false;
            match head.opcode {
                Opcode::Text | Opcode::Continuation => {
                    self.message.extend_from_slice(payload);
                    ends_message = head.is_last;
                    self.inside_message = !head.is_last;
                }
                Opcode::Ping => frame::write(&mut self.outgoing, Opcode::Pong, payload, rand::random()),
                Opcode::Pong => {}
                Opcode::Close => {
                    // A close is answered with a close that has the same code (5.5.1), once.
                    if !std::mem::replace(&mut self.is_closing, true) {
                        let code = payload.get(..2).unwrap_or_default();
                        frame::write(&mut self.outgoing, Opcode::Close, code, rand::random());
                    }
                    return Err(closed(payload));
                }
                Opcode::Binary => return Err(SocketError::Protocol("it sends bytes that are no text")),
            }
            self.incoming.advance(whole);
            if ends_message {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn closed(payload: &[u8]) -> SocketError {
    let (code, reason) = match payload {
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        _ => (NO_STATUS, &[][..]),
    };
    SocketError::Closed {
        code,
        reason: String::from_utf8_lossy(reason).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A socket after its handshake, and the server's end of it.
    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("there are ports");
        let address = listener.local_addr().expect("it has an address");
        let client = TcpStream::connect(address).await.expect("it listens");
        let (server, _) = listener.accept().await.expect("somebody connects");
        let socket = Socket {
            stream: Stream::Tcp(client),
            incoming: BytesMut::new(),
            outgoing: Vec::new(),
            message: Vec::new(),
            complete: false,
            inside_message: false,
            is_closing: false,
        };
        (socket, server)
    }

    #[tokio::test]
    async fn a_close_is_answered_with_its_code() {
        let (mut socket, mut server) = pair().await;
        server.write_all(&[0x88, 2, 0x03, 0xe9]).await.expect("it is sent");
        let closed = socket.receive().await.map(str::to_owned);
        assert!(
            matches!(closed, Err(SocketError::Closed { code: 1001, .. })),
            "{closed:?}"
        );
        let mut answer = [0_u8; 8];
        server.read_exact(&mut answer).await.expect("there is an answer");
        let [head, length, a, b, _, _, high, low] = answer;
        assert_eq!((head, length), (0x88, 0x82));
        assert_eq!(u16::from_be_bytes([high ^ a, low ^ b]), 1001);
    }

    #[tokio::test]
    async fn a_message_may_come_in_parts_with_a_ping_between_them() {
        let (mut socket, mut server) = pair().await;
        let parts = [0x01, 1, b'a', 0x89, 0, 0x80, 1, b'b'];
        server.write_all(&parts).await.expect("it is sent");
        assert_eq!(socket.receive().await.expect("it is a text"), "ab");
        // A part of nothing.
        server.write_all(&[0x80, 0]).await.expect("it is sent");
        let broken = socket.receive().await.map(str::to_owned);
        assert!(matches!(broken, Err(SocketError::Protocol(_))), "{broken:?}");
    }
}
