//! As much of RabbitMQ's management API as tests need: one request, one status.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// `guest:guest` in base64: RabbitMQ's own first account, which it accepts on loopback only.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends one request to the API at `base` (`http://127.0.0.1:15672`) and returns the HTTP status. It blocks.
///
/// A whole HTTP client would be the largest dependency of this crate, for three requests that always look alike.
pub fn request(method: &str, base: &str, path: &str, body: &str) -> io::Result<u16> {
    let host = base.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {GUEST}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(1024 * 1024).read_to_end(&mut answer)?;
    status(&answer).ok_or_else(|| io::Error::other(format!("{host} does not speak HTTP")))
}

/// Reads 204 out of `HTTP/1.1 204 No Content`.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n"), Some(204));
        assert_eq!(status(b"AMQP\0\0\x09\x01"), None);
    }
}
