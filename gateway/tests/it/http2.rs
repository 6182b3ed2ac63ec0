//! A client of HTTP/2 that begins requests and leaves it at that.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

pub struct Http2 {
    address: SocketAddr,
    requests: SendRequest<Bytes>,
    connection: JoinHandle<()>,
}

impl Http2 {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move {
            let _it_ends_as_it_may = connection.await;
        });
        Self {
            address,
            requests,
            connection,
        }
    }

    /// Asks for something without a body. What is returned is not read, beyond what a stream's window holds, unless it is asked.
    pub async fn get(&self, path: &str, accept: &str) -> ResponseFuture {
        self.send(path, accept, true).await.0
    }

    /// The same, with a body that comes, or does not, through what is returned.
    pub async fn get_with_body(&self, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
        self.send(path, "*/*", false).await
    }

    async fn send(&self, path: &str, accept: &str, is_whole: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let url = format!("http://{}{path}", self.address);
        let request = Request::get(url).header("accept", accept).body(()).unwrap();
        let mut requests = self.requests.clone().ready().await.unwrap();
        requests.send_request(request, is_whole).unwrap()
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
