//! A Redis that answers as a test wants, for what a real one does once in a year.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the connections of a given number say to a command of a given name; nothing is said where it is empty.
type Says = dyn Fn(u32, &str) -> &'static str + Send + Sync;

pub const OK: &str = "+OK\r\n";
/// Counted, and there is room.
pub const COUNTED: &str = "*2\r\n:0\r\n:1\r\n";

pub struct FakeRedis {
    pub address: SocketAddr,
    connections: Arc<AtomicU32>,
    serving: JoinHandle<()>,
}

impl FakeRedis {
    /// Connections are numbered from one on.
    pub async fn start(says: impl Fn(u32, &str) -> &'static str + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU32::new(0));
        let counting = Arc::clone(&connections);
        let says: Arc<Says> = Arc::new(says);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counting.fetch_add(1, Ordering::AcqRel) + 1;
                tokio::spawn(serve(stream, number, Arc::clone(&says)));
            }
        });
        Self {
            address,
            connections,
            serving,
        }
    }

    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Acquire)
    }
}

impl Drop for FakeRedis {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers one command after the other, until the client goes.
async fn serve(stream: TcpStream, number: u32, says: Arc<Says>) {
    let mut stream = BufReader::new(stream);
    while let Some(name) = command(&mut stream).await {
        let answer = says(number, &name);
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The name of the next command, which comes as an array of strings.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let parts = number(stream).await?;
    let mut name = None;
    for _ in 0..parts {
        let length = number(stream).await?;
        let mut text = vec![0; length + 2];
        stream.read_exact(&mut text).await.ok()?;
        text.truncate(length);
        name.get_or_insert(String::from_utf8(text).ok()?.to_ascii_uppercase());
    }
    name
}

/// The one in a line such as `*3` or `$5`.
async fn number(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}
