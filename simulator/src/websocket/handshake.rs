//! The opening handshake (RFC 6455, section 4.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, BytesMut};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{SocketError, Stream};

/// What RFC 6455 has every server append to the key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// An answer may have this many bytes before its body.
const LARGEST_HEAD: usize = 16 * 1024;

/// As much of a refusal is kept, in bytes.
const LARGEST_BODY: usize = 400;

/// What is asked for.
#[derive(Debug)]
pub struct Offer<'a> {
    pub host: &'a str,
    /// The path, percent-encoded.
    pub path: &'a str,
    pub subprotocol: &'a str,
    /// The value of `Authorization`.
    pub authorization: Option<&'a str>,
}

/// Asks, and reads the answer. Returns what came behind it.
pub async fn shake(stream: &mut Stream, offer: &Offer<'_>) -> Result<BytesMut, SocketError> {
    let key = STANDARD.encode(rand::random::<[u8; 16]>());
    let authorization = offer
        .authorization
        .map(|value| format!("Authorization: {value}\r\n"))
        .unwrap_or_default();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {}\r\n{authorization}\r\n",
        offer.path, offer.host, offer.subprotocol
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;

    let mut answer = BytesMut::with_capacity(1024);
    let end = loop {
        if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        if answer.len() > LARGEST_HEAD {
            return Err(SocketError::Handshake("the answer has no end"));
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(SocketError::Handshake("the connection ended before the answer"));
        }
    };
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    answer.advance(end + 4);
    let status = status(&head).ok_or(SocketError::Handshake("the answer is no HTTP"))?;
    if status != 101 {
        // What there is of the body is enough for a person.
        let body = &answer[..answer.len().min(LARGEST_BODY)];
        let body = String::from_utf8_lossy(body).into_owned();
        return Err(SocketError::Refused { status, body });
    }
    check(&head, &key, offer.subprotocol).map_err(SocketError::Handshake)?;
    // Not the buffer of the handshake, which an idle socket would keep.
    Ok(BytesMut::from(&answer[..]))
}

/// Whether an answer with 101 is the one to this key. What is wrong with it otherwise.
fn check(head: &str, key: &str, subprotocol: &str) -> Result<(), &'static str> {
    let has = |name, token: &str| {
        let mut tokens = header(head, name).unwrap_or_default().split(',');
        tokens.any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err("the answer does not change to WebSocket");
    }
    if header(head, "sec-websocket-accept") != Some(accept(key).as_str()) {
        return Err("the answer is to another key");
    }
    if header(head, "sec-websocket-protocol") != Some(subprotocol) {
        return Err("another subprotocol was chosen");
    }
    if header(head, "sec-websocket-extensions").is_some() {
        return Err("an extension was chosen that was not offered");
    }
    Ok(())
}

fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{GUID}")))
}

fn status(head: &str) -> Option<u16> {
    let (version, rest) = head.split_once(' ')?;
    version.starts_with("HTTP/1.").then_some(())?;
    rest.get(..3)?.parse().ok()
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.trim())
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of section 1.3.
    #[test]
    fn the_answer_to_a_key_is_the_one_of_the_standard() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn an_answer_is_good_only_with_everything_that_the_standard_wants() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: ocpp1.6";
        assert_eq!(check(good, key, "ocpp1.6"), Ok(()));
        for (part, other) in [
            ("Upgrade: WebSocket", "Upgrade: h2c"),
            ("keep-alive, Upgrade", "keep-alive"),
            ("s3pP", "s3pQ"),
            ("ocpp1.6", "ocpp2.0.1"),
            (
                "Upgrade: WebSocket",
                "Upgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate",
            ),
        ] {
            let bad = good.replace(part, other);
            assert!(check(&bad, key, "ocpp1.6").is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let head = "HTTP/1.1 101 Switching Protocols\r\nSEC-websocket-Protocol:  ocpp1.6 ";
        assert_eq!(status(head), Some(101));
        assert_eq!(header(head, "sec-websocket-protocol"), Some("ocpp1.6"));
        assert_eq!(header(head, "sec-websocket-accept"), None);
        assert_eq!(status("SSH-2.0-OpenSSH"), None);
    }
}
