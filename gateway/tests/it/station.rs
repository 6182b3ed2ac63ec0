//! A charge point's end of a WebSocket: the handshake in plain bytes, so that a refusal can be read to the letter, and
//! yawc for the frames after it.

use futures_util::SinkExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use yawc::frame::OpCode;
use yawc::{Frame, Options, Role, WebSocket, WebSocketError};

use crate::system::{PATIENCE, REQUEST_ID, System};

/// An answer to a handshake.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value.trim()))
    }
}

pub struct Station {
    socket: WebSocket<TcpStream>,
    pub answer: Answer,
}

/// The headers of a handshake.
pub const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Sends a GET with these header lines, and reads the answer's head and, where it is an error, its body.
pub async fn knock(system: &System, path: &str, headers: &str) -> (Answer, TcpStream) {
    let mut stream = TcpStream::connect(system.address).await.unwrap();
    let host = system.address;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {REQUEST_ID}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8())
            .await
            .expect("an answer")
            .expect("an open connection");
        head.push(byte);
    }
    let mut answer = Answer {
        status: std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap(),
        head: String::from_utf8(head).unwrap(),
        body: String::new(),
    };
    if let Some(length) = answer.header("content-length").map(|length| length.parse().unwrap()) {
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
    }
    (answer, stream)
}

impl Station {
    /// Connects as an OCPP 1.6 station.
    pub async fn connect(system: &System, path: &str) -> Self {
        Self::connect_with(system, path, "Sec-WebSocket-Protocol: ocpp1.6\r\n", Options::default()).await
    }

    pub async fn connect_with(system: &System, path: &str, headers: &str, options: Options) -> Self {
        let (answer, stream) = knock(system, path, &format!("{UPGRADE}{headers}")).await;
        assert_eq!(answer.status, 101, "{}{}", answer.head, answer.body);
        let extensions = answer.header("sec-websocket-extensions");
        let socket = WebSocket::from_stream_with_extensions(stream, Role::Client, extensions, options).unwrap();
        Self { socket, answer }
    }

    pub async fn send(&mut self, frame: Frame) {
        timeout(PATIENCE, self.socket.send(frame))
            .await
            .expect("the frame to go out")
            .unwrap();
    }

    pub async fn say(&mut self, text: &str) {
        self.send(Frame::text(text.to_owned())).await;
    }

    /// Sends what may be refused half-way.
    pub async fn try_send(&mut self, frame: Frame) -> Result<(), WebSocketError> {
        self.socket.send(frame).await
    }

    pub async fn next(&mut self) -> Result<Frame, WebSocketError> {
        timeout(PATIENCE, self.socket.next_frame())
            .await
            .expect("a frame to come")
    }

    /// The next text.
    pub async fn hear(&mut self) -> String {
        loop {
            let frame = self.next().await.unwrap();
            match frame.opcode() {
                OpCode::Text => return frame.as_str().to_owned(),
                OpCode::Ping | OpCode::Pong => {}
                other => panic!("{other:?} where a text was expected"),
            }
        }
    }

    /// Code and reason of the close frame that comes next. It is answered.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            let frame = self.next().await.expect("a close frame before the end");
            if frame.opcode() == OpCode::Close {
                let reason = frame.close_reason().unwrap().unwrap_or_default().to_owned();
                // yawc sends its answer when it is asked for more.
                assert!(self.next().await.is_err());
                return (frame.close_code().map_or(1005, u16::from), reason);
            }
        }
    }

    /// Drops the connection without a close frame.
    pub fn vanish(self) {
        drop(self);
    }
}
