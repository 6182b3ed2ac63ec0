use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use testbed::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A server that says everything back, and a proxy in front of it. The tasks end with the set.
async fn echo() -> (Proxy, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let (mut from, mut to) = client.split();
                tokio::io::copy(&mut from, &mut to).await.ok();
            });
        }
    });
    (Proxy::start(address).await, tasks)
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the proxy listens")
}

async fn says_back(stream: &mut TcpStream, word: &[u8]) -> io::Result<bool> {
    stream.write_all(word).await?;
    let mut answer = vec![0; word.len()];
    match timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await {
        Ok(read) => read.map(|_| answer == word),
        Err(_) => Ok(false),
    }
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = timeout(Duration::from_secs(5), stream.read(&mut [0; 16])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let (proxy, _echo) = echo().await;
    let mut stream = connect(proxy.address()).await;
    assert!(says_back(&mut stream, b"hello").await.unwrap());
}

#[tokio::test]
async fn held_bytes_never_arrive_and_their_connection_is_closed_when_traffic_resumes() {
    let (proxy, _echo) = echo().await;
    for to_client in [true, false] {
        let mut stream = connect(proxy.address()).await;
        assert!(says_back(&mut stream, b"before").await.unwrap());
        if to_client {
            proxy.hold_to_client().await;
        } else {
            proxy.hold_to_server().await;
        }
        assert!(!says_back(&mut stream, b"lost").await.unwrap());
        proxy.resume().await;
        assert!(is_closed(&mut stream).await);
        let mut stream = connect(proxy.address()).await;
        assert!(says_back(&mut stream, b"after").await.unwrap());
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_a_hold() {
    let (proxy, _echo) = echo().await;
    let mut stream = connect(proxy.address()).await;
    assert!(says_back(&mut stream, b"before").await.unwrap());
    proxy.hold_to_server().await;
    proxy.resume().await;
    assert!(says_back(&mut stream, b"after").await.unwrap());
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_lets_new_connections_in() {
    let (proxy, _echo) = echo().await;
    let mut stream = connect(proxy.address()).await;
    assert!(says_back(&mut stream, b"before").await.unwrap());
    proxy.cut().await;
    assert!(is_closed(&mut stream).await);
    let mut stream = connect(proxy.address()).await;
    assert!(says_back(&mut stream, b"after").await.unwrap());
}

#[tokio::test]
async fn a_refusing_proxy_does_not_listen_until_it_resumes() {
    let (proxy, _echo) = echo().await;
    let mut stream = connect(proxy.address()).await;
    proxy.refuse().await;
    assert!(is_closed(&mut stream).await);
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    proxy.resume().await;
    let mut stream = connect(proxy.address()).await;
    assert!(says_back(&mut stream, b"after").await.unwrap());
}
