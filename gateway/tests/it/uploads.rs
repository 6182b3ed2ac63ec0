//! Bodies that are too large for one message, and parts of answers that are.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::Body;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

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

#[tokio::test]
async fn the_service_may_refuse_before_anything_is_read_and_after_enough() {
    let watched = Watched::start(&[]).await;
    let refused = watched
        .http
        .put(watched.url("/upload/refused"))
        .body(vec![7; 20 * MEBIBYTE]);
    assert_eq!(problem(refused.send().await.unwrap()).await, (404, "NOT_FOUND".into()));
    assert_eq!(watched.counted(), 0);
    let enough = watched.http.put(watched.url("/upload/at-most-a-megabyte"));
    let enough = enough.body(vec![7; 20 * MEBIBYTE]).send().await.unwrap();
    assert_eq!(problem(enough).await, (413, "PAYLOAD_TOO_LARGE".into()));
    assert!(watched.counted() < 2 * MEBIBYTE);
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
    let offered = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counting = std::sync::Arc::clone(&offered);
    let chunk = Bytes::from(vec![7; 16 * 1024]);
    let counted = stream::repeat(chunk).map(move |chunk| {
        counting.fetch_add(chunk.len(), std::sync::atomic::Ordering::AcqRel);
        chunk
    });
    let request = watched.http.put(watched.url("/upload/slow"));
    let sending = tokio::spawn(request.body(streamed(counted)).send());
    sleep(Duration::from_secs(2)).await;
    let (before, taken) = (offered.load(std::sync::atomic::Ordering::Acquire), watched.counted());
    // What sockets and windows hold, and no more.
    assert!(
        before - taken < 32 * MEBIBYTE,
        "{before} bytes were offered, {taken} taken"
    );
    sleep(Duration::from_millis(500)).await;
    let grown = offered.load(std::sync::atomic::Ordering::Acquire) - before;
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
    let unread = Watched::start(&["--gateway-unread-seconds=1"]).await;
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

    let silent = Watched::start(&["--gateway-unread-seconds=1", "--gateway-heartbeat-seconds=1"]).await;
    let mut answer = silent.get("/download/silent", "*/*").await;
    assert_eq!(answer.status(), 200);
    let waited = timeout(Duration::from_secs(3), async {
        while let Ok(Some(_)) = answer.chunk().await {}
    });
    assert!(waited.await.is_err() && !silent.ended.is_cancelled());
}
