//! Bodies that are too large for one message, and parts of answers that are.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::Body;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::admission::Guarded;
use crate::system::PATIENCE;
use crate::watched::Watched;

const MEBIBYTE: usize = 1024 * 1024;

/// A body whose length nobody knows before its end.
fn streamed(chunks: impl Stream<Item = Bytes> + Send + Sync + 'static) -> Body {
    Body::wrap(StreamBody::new(
        chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk))),
    ))
}

async fn problem(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.unwrap();
    (status, problem["reason"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_body_of_any_size_goes_to_its_service_in_chunks() {
    let watched = Watched::start(&[]).await;
    for (method, path) in [("PUT", "/upload/file"), ("POST", "/upload")] {
        for size in [0, 1, 5 * MEBIBYTE + 1] {
            let request = watched.http.request(method.parse().unwrap(), watched.url(path));
            let request = request.header("content-type", "text/csv").body(vec![7; size]);
            let told: Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(
                (told["id"].as_str(), told["text"].as_str()),
                (Some(&*size.to_string()), Some("text/csv"))
            );
            let messages = told["document"].as_u64().unwrap();
            assert!(
                (size / (64 * 1024)..=size).contains(&usize::try_from(messages).unwrap()),
                "{messages}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_nobody_told_the_length_of_goes_too() {
    let watched = Watched::start(&[]).await;
    let chunks = (0..100).map(|_| Bytes::from(vec![7; 1000]));
    let request = watched.http.put(watched.url("/upload/file"));
    let request = request.body(streamed(stream::iter(chunks)));
    let told: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(told["id"], "100000");
}

/// Asks, by HTTP/2, with a body that has no end and grows by a megabyte a second. Returns the problem, and how much was sent until
/// it was there.
async fn sends_on_and_on(watched: &Watched, path: &str) -> ((u16, String), usize) {
    let offered = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&offered);
    let chunk = Bytes::from(vec![7; MEBIBYTE / 20]);
    let chunks = stream::repeat(chunk).then(move |chunk| {
        counting.fetch_add(chunk.len(), Ordering::AcqRel);
        async {
            sleep(Duration::from_millis(50)).await;
            chunk
        }
    });
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge();
    let request = client.build().unwrap().put(watched.url(path)).body(streamed(chunks));
    let answer = timeout(PATIENCE * 2, request.send()).await.expect("an answer");
    let told = problem(answer.unwrap()).await;
    (told, offered.load(Ordering::Acquire))
}

#[tokio::test]
async fn the_service_may_refuse_before_the_end_and_its_client_is_not_read_for_ever() {
    let watched = Watched::start(&[]).await;
    let (at_once, after_enough) = tokio::join!(
        sends_on_and_on(&watched, "/upload/refused"),
        sends_on_and_on(&watched, "/upload/at-most-a-megabyte"),
    );
    let ((told, offered), (told_later, offered_later)) = (at_once, after_enough);
    assert_eq!(told, (404, "NOT_FOUND".into()));
    assert_eq!(told_later, (413, "PAYLOAD_TOO_LARGE".into()));
    // It is listened to for five seconds more, and its first second was for the megabyte.
    assert!(offered < 7 * MEBIBYTE, "{offered}");
    assert!(offered_later < 9 * MEBIBYTE, "{offered_later}");
    assert!(offered_later > MEBIBYTE, "{offered_later}");
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_sends_everything_first() {
    let watched = Watched::start(&[]).await;
    for (path, expected) in [
        ("/upload/refused", (404, "NOT_FOUND".to_owned())),
        ("/upload/at-most-a-megabyte", (413, "PAYLOAD_TOO_LARGE".to_owned())),
    ] {
        let request = watched.http.put(watched.url(path)).body(vec![7; 20 * MEBIBYTE]);
        assert_eq!(problem(request.send().await.unwrap()).await, expected);
    }
}

/// The head of the next answer.
async fn next_head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, client.read_u8()).await.expect("a head").unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on_where_nothing_is_against_it() {
    let watched = Watched::start(&[]).await;
    let ask = async |path: &str, headers: &str| {
        let mut client = TcpStream::connect(watched.address()).await.unwrap();
        let expect = "expect: 100-continue\r\ncontent-length: 9";
        let head = format!("PUT {path} HTTP/1.1\r\nhost: x\r\n{expect}\r\n{headers}\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        client
    };
    for (path, headers, status) in [
        ("/upload/refused", "", "404"),
        ("/upload/file", "accept: text/html\r\n", "406"),
        ("/upload/file?nope=1", "", "400"),
        ("/nope", "", "404"),
    ] {
        let asked = Instant::now();
        let head = next_head(&mut ask(path, headers).await).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        assert!(asked.elapsed() < Duration::from_secs(4), "{path} was waited for");
    }
    let mut client = ask("/upload/file", "").await;
    let head = next_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
    client.write_all(b"all of it").await.unwrap();
    let head = next_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(watched.counted(), 9);
}

#[tokio::test]
async fn half_a_body_is_none() {
    let watched = Watched::start(&[]).await;
    let mut client = TcpStream::connect(watched.address()).await.unwrap();
    let head = "PUT /upload/file HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nonly this";
    client.write_all(head.as_bytes()).await.unwrap();
    while watched.counted() == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    client.shutdown().await.unwrap();
    let broke_off = timeout(PATIENCE, watched.ended.cancelled()).await;
    broke_off.expect("the service sees it break off");
    let mut answer = String::new();
    let read = timeout(PATIENCE, client.read_to_string(&mut answer)).await;
    assert!(read.is_ok() && !answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_goes_away_breaks_its_call_off() {
    let watched = Watched::start(&[]).await;
    let mut client = TcpStream::connect(watched.address()).await.unwrap();
    let head = "PUT /upload/slow HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    while watched.counted() == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    assert!(!watched.ended.is_cancelled());
    drop(client);
    let broke_off = timeout(PATIENCE, watched.ended.cancelled()).await;
    broke_off.expect("the service sees it break off");
}

#[tokio::test]
async fn a_service_that_is_slow_holds_its_client_back() {
    let watched = Watched::start(&[]).await;
    let offered = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&offered);
    let chunk = Bytes::from(vec![7; 16 * 1024]);
    let counted = stream::repeat(chunk).map(move |chunk| {
        counting.fetch_add(chunk.len(), Ordering::AcqRel);
        chunk
    });
    let request = watched.http.put(watched.url("/upload/slow"));
    let sending = tokio::spawn(request.body(streamed(counted)).send());
    sleep(Duration::from_secs(2)).await;
    let (before, taken) = (offered.load(Ordering::Acquire), watched.counted());
    // What sockets and windows hold, and no more.
    assert!(
        before - taken < 32 * MEBIBYTE,
        "{before} bytes were offered, {taken} taken"
    );
    sleep(Duration::from_millis(500)).await;
    let grown = offered.load(Ordering::Acquire) - before;
    assert!(grown < 4 * MEBIBYTE, "{grown}");
    sending.abort();
}

#[tokio::test]
async fn a_raw_stream_tells_its_length_its_name_and_which_part_it_is() {
    let watched = Watched::start(&[]).await;
    let head = watched.http.head(watched.url("/download/part")).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "24");
    assert_eq!(head.headers()["content-disposition"], "head");
    let get = watched.get("/download/part", "*/*").await;
    assert_eq!((get.status().as_u16(), get.content_length()), (200, Some(24)));
    assert_eq!(get.headers()["content-disposition"], "get");
    assert_eq!(get.text().await.unwrap(), "chunk 1\nchunk 2\nchunk 3\n");
    // Nobody asks a connection for more than was announced, but the service hears that nothing is missing.
    let heard_out = timeout(PATIENCE, watched.heard_out.cancelled()).await;
    heard_out.expect("the service to be heard out");
    let part = watched.request("/download/part", "*/*").header("range", "bytes=0-23");
    let part = part.send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), &part.headers()["content-range"]),
        (206, &"bytes 0-23/99".parse().unwrap())
    );
}

#[tokio::test]
async fn a_download_that_its_client_does_not_read_is_broken_off_and_one_whose_service_is_silent_is_not() {
    let unread = Watched::start(&["--gateway-stall-seconds=1"]).await;
    let mut answer = unread.get("/download/for-ever", "*/*").await;
    assert_eq!(answer.status(), 200);
    let ended = timeout(PATIENCE, unread.ended.cancelled()).await;
    ended.expect("the call to end");
    let broken = loop {
        match answer.chunk().await {
            Ok(Some(_)) => {}
            end => break end.is_err(),
        }
    };
    assert!(broken);

    let silent = Watched::start(&["--gateway-stall-seconds=1", "--gateway-heartbeat-seconds=1"]).await;
    let mut answer = silent.get("/download/silent", "*/*").await;
    assert_eq!(answer.status(), 200);
    let waited = timeout(Duration::from_secs(3), async {
        while let Ok(Some(_)) = answer.chunk().await {}
    });
    assert!(waited.await.is_err() && !silent.ended.is_cancelled());
}

#[tokio::test]
async fn a_gateway_that_leaves_hears_a_service_out_first() {
    let mut watched = Watched::start(&[]).await;
    let answer = watched.get("/download/part-with-a-late-end", "*/*").await;
    assert_eq!(answer.bytes().await.unwrap().len(), 24);
    watched.stop().await;
    assert!(watched.heard_out.is_cancelled());
}

#[tokio::test]
async fn the_document_tells_which_bodies_an_upload_takes() {
    let watched = Watched::start(&[]).await;
    let document: Value = watched.get("/openapi.json", "*/*").await.json().await.unwrap();
    for (path, method, takes, refuses) in [
        ("/upload", "post", &["application/gzip", "text/csv"][..], true),
        ("/upload/{topic}", "put", &["application/octet-stream"], false),
    ] {
        let operation = &document["paths"][path][method];
        let content = operation["requestBody"]["content"].as_object().unwrap();
        let media_types: BTreeSet<_> = content.keys().map(String::as_str).collect();
        assert_eq!(media_types, takes.iter().copied().collect::<BTreeSet<_>>(), "{path}");
        assert_eq!(operation["responses"]["415"].is_object(), refuses, "{path}");
        let request = watched
            .http
            .request(method.to_uppercase().parse().unwrap(), watched.url(path));
        let answer = request
            .header("content-type", "image/png")
            .body("x")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), if refuses { 415 } else { 200 }, "{path}");
    }
}

/// Sends the head of an upload without asking first, and some of the body that it promises. Returns the head of the answer, and how soon
/// it was there.
async fn begins(address: SocketAddr, path: &str, some: usize) -> (String, Duration) {
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let started = Instant::now();
    let (mut from, mut to) = client.split();
    let body = vec![7; some];
    let send_on = async {
        // It may be cut off in the middle.
        let _sent = to.write_all(&body).await;
        std::future::pending::<()>().await
    };
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, from.read_u8()).await.expect("a head").unwrap());
        }
    };
    tokio::select! {
        () = read => {}
        () = send_on => {}
    }
    (String::from_utf8(head).unwrap(), started.elapsed())
}

#[tokio::test]
async fn who_uploads_too_often_is_not_listened_to_whether_they_ask_first_or_not() {
    let watched = Watched::start(&["--gateway-rate-limit-stream=stranger=1/1h"]).await;
    let first = watched.http.put(watched.url("/upload/file")).body(vec![7; 10]);
    assert_eq!(first.send().await.unwrap().status(), 200);
    let (head, after) = begins(watched.address(), "/upload/file", 1000).await;
    assert!(head.starts_with("HTTP/1.1 429"), "{head}");
    assert!(after < Duration::from_secs(3), "it was listened to for {after:?}");
}

#[tokio::test]
async fn who_may_not_upload_is_listened_to_for_a_while_or_until_they_have_sent_enough() {
    let guarded = Guarded::start(&[]).await;
    let (head, after) = begins(guarded.address, "/files/a", MEBIBYTE).await;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    assert!(
        after < Duration::from_secs(3),
        "a megabyte was listened to for {after:?}"
    );
    let (head, after) = begins(guarded.address, "/files/a", 1000).await;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    assert!(after > Duration::from_secs(4), "it might not have heard it");
    assert_eq!(guarded.came(), 0);
}
