//! What nobody sends who means well, on raw sockets.

use std::time::Duration;

use http::HeaderMap;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::system::{PATIENCE, System};

/// What one connection is answered, and whether the gateway ended it.
#[derive(Debug)]
struct Heard {
    text: String,
    ended: bool,
}

impl Heard {
    /// The statuses of all answers.
    fn statuses(&self) -> Vec<u16> {
        let answers = self.text.split("HTTP/1.1 ").skip(1);
        answers.map(|answer| answer[..3].parse().unwrap()).collect()
    }
}

/// Sends bytes over a new connection and hears what comes back, until nothing has come for a while.
async fn say(system: &System, bytes: &[u8]) -> Heard {
    let mut stream = TcpStream::connect(system.address).await.unwrap();
    // The gateway may have had enough before the end.
    let _it_may_be_closed = stream.write_all(bytes).await;
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    let ended = loop {
        match timeout(Duration::from_millis(700), stream.read(&mut buffer)).await {
            Err(_) => break false,
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(length)) => heard.extend_from_slice(&buffer[..length]),
        }
    };
    Heard {
        text: String::from_utf8_lossy(&heard).into_owned(),
        ended,
    }
}

/// What would be answered by itself, were it taken for a request.
const SMUGGLED: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_length_that_is_not_plain_is_refused_and_the_connection_ends() {
    let system = System::start().await;
    for lengths in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: \r\n",
    ] {
        let head = "POST /auth/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        let heard = say(&system, format!("{head}{lengths}\r\nhello{SMUGGLED}").as_bytes()).await;
        assert_eq!(heard.statuses(), [400], "{lengths}: {heard:?}");
        assert!(heard.ended, "{lengths}");
    }
}

#[tokio::test]
async fn where_a_length_and_chunks_disagree_nothing_behind_them_is_taken_for_a_request() {
    let system = System::start().await;
    let head = "POST /auth/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    for (framing, body) in [
        // By the length the body holds the other request; by the chunks it is over.
        ("Content-Length: 37\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 37\r\n", "0\r\n\r\n"),
        // By the length the body is over; by the chunks it holds the other request.
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "20\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "20\r\n"),
        (
            "Transfer-Encoding: identity, chunked\r\nContent-Length: 37\r\n",
            "0\r\n\r\n",
        ),
        ("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"),
        (
            "Transfer-Encoding: chunked, identity\r\nContent-Length: 5\r\n",
            "0\r\n\r\n",
        ),
        ("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    ] {
        // Where the other request is in the body, that has an end.
        let end = if body.starts_with('2') { "\r\n0\r\n\r\n" } else { "" };
        let heard = say(&system, format!("{head}{framing}\r\n{body}{SMUGGLED}{end}").as_bytes()).await;
        let statuses = heard.statuses();
        assert!(statuses.len() <= 1, "{framing}: {heard:?}");
        assert!(statuses.iter().all(|status| *status == 400), "{framing}: {heard:?}");
        assert!(heard.ended, "{framing}: {heard:?}");
    }
    let old = "POST /auth/signup HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let heard = say(&system, format!("{old}{SMUGGLED}").as_bytes()).await;
    assert!(heard.text.matches("HTTP/1.").count() <= 1 && heard.ended, "{heard:?}");
}

#[tokio::test]
async fn chunks_that_are_not_plain_end_the_connection() {
    let system = System::start().await;
    let head =
        "POST /auth/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "5\nhello\n0\n\n",
        "5\r\nhello0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5;\nx\r\nhello\r\n0\r\n\r\n",
        "\r\n\r\n",
    ] {
        let heard = say(&system, format!("{head}{chunks}{SMUGGLED}").as_bytes()).await;
        assert!(
            heard.statuses().iter().all(|status| *status == 400),
            "{chunks:?}: {heard:?}"
        );
        assert!(heard.statuses().len() <= 1 && heard.ended, "{chunks:?}: {heard:?}");
    }
}

#[tokio::test]
async fn headers_that_are_not_plain_are_refused_and_the_connection_ends() {
    let system = System::start().await;
    for headers in [
        // Folded, as was once allowed.
        "X-One: a\r\n b\r\n",
        "X-One: a\r\n\tb\r\n",
        " X-One: a\r\n",
        "X-One : a\r\n",
        "X-One\t: a\r\n",
        "X One: a\r\n",
        "X-One\r\n",
        ": a\r\n",
        "X-One: a\rX-Two: b\r\n",
        "X-One: a\0b\r\n",
        "X-\u{e4}: a\r\n",
        "X-One: a\x7fb\r\n",
    ] {
        let request = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{headers}\r\n{SMUGGLED}");
        let heard = say(&system, request.as_bytes()).await;
        assert_eq!(heard.statuses(), [400], "{headers:?}: {heard:?}");
        assert!(heard.ended, "{headers:?}");
    }
    for line in [
        "GET  /livez HTTP/1.1",
        "GET /livez  HTTP/1.1",
        "GET /livez HTTP/1.1 ",
        "GET\t/livez\tHTTP/1.1",
        "GET /li vez HTTP/1.1",
        "GET /livez HTTP/9.9",
        "GET /livez",
        "G\u{e4}T /livez HTTP/1.1",
    ] {
        let heard = say(&system, format!("{line}\r\nHost: x\r\n\r\n{SMUGGLED}").as_bytes()).await;
        assert_eq!(heard.statuses(), [400], "{line:?}: {heard:?}");
        assert!(heard.ended, "{line:?}");
    }
}

/// A line feed alone ends a line, as it may (RFC 9112, section 2.2): it is no part of a value that somebody before us took for one.
#[tokio::test]
async fn a_line_feed_alone_ends_a_line_and_is_in_no_value() {
    let mut system = System::start().await;
    let body = r#"{"username": "ada"}"#;
    let head = "POST /auth/signup HTTP/1.1\nHost: x\nContent-Type: application/json\nConnection: close";
    let request = format!(
        "{head}\nIf-Match: \"1\"\nX-A: b\nContent-Length: {}\n\n{body}",
        body.len()
    );
    let heard = say(&system, request.as_bytes()).await;
    assert_eq!(heard.statuses(), [201], "{heard:?}");
    let told = system.peers.metadata().await.into_headers();
    assert_eq!(told["if-match"], "\"1\"");
}

#[tokio::test]
async fn a_request_is_for_one_host() {
    let system = System::start().await;
    let ask = async |line: &str, headers: &str| {
        let heard = say(&system, format!("{line}\r\n{headers}\r\n").as_bytes()).await;
        let told = heard.text.split_whitespace().nth(1).map(str::to_owned);
        (told.unwrap_or_default(), heard.ended)
    };
    for (line, headers) in [
        ("GET http://x/livez HTTP/1.1", "Host: x\r\n"),
        ("GET http://X:80/livez HTTP/1.1", "Host: x\r\n"),
        ("GET /livez HTTP/1.0", ""),
        ("GET /livez HTTP/1.1", "Host: x:8080\r\n"),
    ] {
        assert_eq!(ask(line, headers).await.0, "200", "{line} {headers}");
    }
    for (line, headers) in [
        ("GET http://x/livez HTTP/1.1", "Host: y\r\n"),
        ("GET http://x/livez HTTP/1.1", "Host: x:81\r\n"),
        ("GET http://a@x/livez HTTP/1.1", "Host: a@x\r\n"),
        ("GET /livez HTTP/1.1", ""),
        ("GET /livez HTTP/1.1", "Host: x\r\nHost: x\r\n"),
        ("GET /livez HTTP/1.1", "Host: x, y\r\n"),
        ("GET /livez HTTP/1.1", "Host: x/y\r\n"),
    ] {
        assert_eq!(ask(line, headers).await, ("400".to_owned(), true), "{line} {headers}");
    }
    // Other forms of a target lead nowhere.
    for line in ["CONNECT x:443 HTTP/1.1", "TRACE /livez HTTP/1.1", "GET * HTTP/1.1"] {
        let (status, _) = ask(line, "Host: x:443\r\n").await;
        assert!(["400", "404", "405"].contains(&status.as_str()), "{line}: {status}");
    }
}

#[tokio::test]
async fn floods_of_headers_are_refused() {
    let system = System::start().await;
    let many: String = (0..5000).map(|number| format!("X-{number}: a\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "a".repeat(64 * 1024));
    let target = "a".repeat(64 * 1024);
    let mut told = 0;
    for request in [
        format!("GET /livez HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!("GET /livez HTTP/1.1\r\nHost: x\r\n{long}\r\n"),
        format!("GET /{target} HTTP/1.1\r\nHost: x\r\n\r\n"),
    ] {
        let heard = say(&system, request.as_bytes()).await;
        assert!(heard.ended, "{heard:?}");
        // What was not read is answered by a reset, which may overtake the words before it.
        assert!(
            heard.statuses().iter().all(|status| [414, 431].contains(status)),
            "{heard:?}"
        );
        told += heard.statuses().len();
    }
    assert!(told > 0, "none of them was told why");
    assert_eq!(system.get("/livez").send().await.unwrap().status(), 200);
}

/// Frames of HTTP/2, as bytes.
mod frame {
    pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    pub fn of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    pub fn settings() -> Vec<u8> {
        of(4, 0, 0, &[])
    }

    /// `GET` of a path of at most 126 bytes, whole.
    pub fn get(stream: u32, path: &str) -> Vec<u8> {
        of(1, 0x05, stream, &head(0x82, path))
    }

    /// `POST` to it, with a body to come.
    pub fn post_without_end(stream: u32, path: &str) -> Vec<u8> {
        of(1, 0x04, stream, &head(0x83, path))
    }

    fn head(method: u8, path: &str) -> Vec<u8> {
        let mut block = vec![method, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend(path.as_bytes());
        // :authority, by its index and as it is.
        block.extend([0x01, 1, b'x']);
        block
    }

    /// The codes of the streams that were reset.
    pub fn resets(mut bytes: &[u8]) -> impl Iterator<Item = u32> {
        std::iter::from_fn(move || {
            loop {
                let (head, rest) = bytes.split_at_checked(9)?;
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let (payload, rest) = rest.split_at_checked(usize::try_from(length).unwrap())?;
                bytes = rest;
                if head[3] == 3 {
                    return Some(u32::from_be_bytes(payload.try_into().unwrap()));
                }
            }
        })
    }

    pub fn reset(stream: u32) -> Vec<u8> {
        of(3, 0, stream, &8_u32.to_be_bytes())
    }
}

/// Sends the bytes for as long as they are taken. Returns how many were, and whether the gateway ended the connection.
async fn pour(system: &System, start: Vec<u8>, again: impl Fn(u32) -> Vec<u8>, times: u32) -> (usize, bool) {
    let stream = TcpStream::connect(system.address).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let drain = tokio::spawn(async move {
        let mut all = Vec::new();
        let _reset_is_an_end_too = timeout(Duration::from_secs(5), from.read_to_end(&mut all)).await.ok()?;
        Some(all)
    });
    let mut sent = start.len();
    to.write_all(&start).await.unwrap();
    for round in 0..times {
        let bytes = again(round);
        match timeout(PATIENCE, to.write_all(&bytes)).await {
            Ok(Ok(())) => sent += bytes.len(),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    (sent, drain.await.unwrap().is_some())
}

/// CVE-2023-44487.
#[tokio::test]
async fn who_resets_each_request_at_once_is_cut_off() {
    let system = System::start().await;
    let start = [frame::PREFACE, &frame::settings()].concat();
    let burst = |round: u32| {
        let streams = (0..500).map(|number| (round * 500 + number) * 2 + 1);
        streams
            .flat_map(|stream| [frame::get(stream, "/health"), frame::reset(stream)].concat())
            .collect()
    };
    let (_, ended) = pour(&system, start, burst, 200).await;
    assert!(ended, "a hundred thousand requests were taken and taken back");
    assert_eq!(system.get("/livez").send().await.unwrap().status(), 200);
}

/// CVE-2024-27316 and its like: headers that never end.
#[tokio::test]
async fn headers_over_http2_that_do_not_end_are_cut_off() {
    let system = System::start().await;
    let open = frame::of(1, 0, 1, &[0x82, 0x86, 0x84]);
    let start = [frame::PREFACE, &frame::settings(), &open].concat();
    // A literal header that is not put into the table, again and again.
    let header = [&[0x00, 1, b'x', 126][..], &[b'y'; 126]].concat();
    let payload = header.repeat(100);
    let (sent, ended) = pour(&system, start, |_| frame::of(9, 0, 1, &payload), 2000).await;
    assert!(ended, "{sent} bytes of headers were taken");
    assert!(sent < 16 * 1024 * 1024, "{sent} bytes of headers were taken");
    assert_eq!(system.get("/livez").send().await.unwrap().status(), 200);
}

/// Frames that cost the sender nothing and want an answer each.
#[tokio::test]
async fn floods_of_pings_and_settings_leave_others_alone() {
    let system = System::start().await;
    for frame in [frame::of(6, 0, 0, &[0; 8]), frame::settings()] {
        let start = [frame::PREFACE, &frame::settings()].concat();
        let (burst, start_length) = (frame.repeat(1000), start.len());
        let flood = async { timeout(PATIENCE, pour(&system, start, |_| burst.clone(), 50)).await };
        let others = async {
            for _ in 0..10 {
                let asked = Instant::now();
                assert_eq!(system.get("/livez").send().await.unwrap().status(), 200);
                assert!(asked.elapsed() < Duration::from_secs(2));
            }
        };
        let (flood, ()) = tokio::join!(flood, others);
        // It was taken in, cut off in the middle, or not read any more; in each case others were served meanwhile.
        if let Ok((sent, ended)) = flood {
            assert!(sent > burst.len(), "it was no flood: {sent} bytes");
            assert!(ended || sent == start_length + 50 * burst.len(), "{sent} bytes");
        }
    }
}

#[tokio::test]
async fn who_opens_more_streams_than_they_may_at_once_is_refused_those() {
    let system = System::start().await;
    let mut stream = TcpStream::connect(system.address).await.unwrap();
    let mut bytes = [frame::PREFACE, &frame::settings()].concat();
    for number in 0..400 {
        bytes.extend(frame::post_without_end(number * 2 + 1, "/auth/signup"));
    }
    stream.write_all(&bytes).await.unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(length)) = timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
        assert!(length > 0, "the connection stays");
        heard.extend_from_slice(&buffer[..length]);
    }
    let refused = frame::resets(&heard).filter(|code| *code == 7).count();
    assert_eq!(refused, 200, "REFUSED_STREAM");
    assert_eq!(system.get("/livez").send().await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn who_sends_headers_a_byte_at_a_time_is_dropped_and_nobody_waits_for_them() {
    let system = System::start().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(system.address).await.unwrap();
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ")
            .await
            .unwrap();
        slow.push(stream);
    }
    let started = Instant::now();
    let mut dropped = 0;
    while dropped < slow.len() {
        assert!(started.elapsed() < Duration::from_secs(60), "{dropped} were dropped");
        sleep(Duration::from_secs(1)).await;
        dropped = 0;
        for stream in &mut slow {
            let mut answer = [0; 512];
            let said = stream.write_all(b"a").await.is_err();
            let heard = timeout(Duration::from_millis(1), stream.read(&mut answer)).await;
            dropped += usize::from(said || heard.is_ok());
        }
    }
    assert_eq!(system.get("/livez").send().await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn who_sends_a_body_a_byte_at_a_time_is_refused() {
    let system = System::start().await;
    let mut stream = TcpStream::connect(system.address).await.unwrap();
    let head =
        "POST /auth/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let trickle = tokio::spawn(async move {
        while to.write_all(b" ").await.is_ok() {
            sleep(Duration::from_millis(500)).await;
        }
    });
    let mut answer = [0; 12];
    timeout(Duration::from_secs(60), from.read_exact(&mut answer))
        .await
        .expect("it does not go on for ever")
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    trickle.abort();
}

/// What a service is told of a request with these headers.
async fn told(system: &mut System, headers: &str) -> HeaderMap {
    let body = json!({"username": "ada"}).to_string();
    let length = body.len();
    let head = "POST /auth/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json";
    let request = format!("{head}\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    let heard = say(system, request.as_bytes()).await;
    assert_eq!(heard.statuses(), [201], "{headers}: {heard:?}");
    system.peers.metadata().await.into_headers()
}

#[tokio::test]
async fn a_header_that_is_for_this_hop_goes_no_further_and_credentials_do() {
    let mut system = System::start().await;
    let headers = "If-Match: \"1\"\r\nIdempotency-Key: a\r\nAuthorization: Bearer x\r\nRange: bytes=0-1\r\n";
    let connection = "Connection: close, If-Match\r\nConnection: authorization,RANGE\r\n";
    let told = told(&mut system, &format!("{headers}{connection}")).await;
    assert!(
        !told.contains_key("if-match") && !told.contains_key("range"),
        "{told:?}"
    );
    assert_eq!(told["idempotency-key"], "a");
    // Whoever has it dropped would have somebody else's request go out without credentials.
    assert_eq!(told["authorization"], "Bearer x");
}

#[tokio::test]
async fn no_name_that_a_service_trusts_comes_in_however_it_is_written() {
    let mut system = System::start().await;
    let lies = [
        "X-FORWARDED-FOR: 203.0.113.9",
        "x-forwarded-proto: https",
        "X-Forwarded-Client-Cert: Hash=a",
        "X-Real-IP: 203.0.113.9",
        "Forwarded: for=203.0.113.9",
        "Client-Cert: :AAAA:",
        "VOLTGATE-PEER: 203.0.113.9",
        "voltgate-caller: gateway",
        "Voltgate-Client-Address: 203.0.113.9",
        "voltgate-method: HEAD",
        "Grpc-Timeout: 1n",
        "grpc-encoding: gzip",
        "grpc-status: 0",
        "grpc-tags-bin: AAAA",
        "Voltgate-Certificate-Bin: AAAA",
        "te: trailers",
        "grpc-accept-encoding: gzip",
    ];
    let headers: String = lies.iter().map(|lie| format!("{lie}\r\n")).collect();
    let told = told(&mut system, &headers).await;
    assert_eq!(told["voltgate-client-address"], "127.0.0.1");
    assert_ne!(
        told.get("grpc-timeout").map(http::HeaderValue::as_bytes),
        Some(&b"1n"[..])
    );
    for name in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-client-cert",
        "x-real-ip",
        "forwarded",
        "client-cert",
        "voltgate-peer",
        "voltgate-caller",
        "voltgate-method",
        "grpc-encoding",
        "grpc-status",
        "grpc-tags-bin",
        "voltgate-certificate-bin",
    ] {
        assert!(!told.contains_key(name), "{name}: {told:?}");
    }
}
