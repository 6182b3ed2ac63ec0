//! A client of HTTP/2 that begins requests and leaves it at that.

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
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
        Self::connect_by(address, h2::client::Builder::new()).await
    }

    /// A client that takes no byte of any body, for as long as it is not asked otherwise.
    pub async fn connect_without_window(address: SocketAddr) -> Self {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0);
        Self::connect_by(address, builder).await
    }

    async fn connect_by(address: SocketAddr, builder: h2::client::Builder) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = builder.handshake(stream).await.unwrap();
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

    /// Calls an RPC whose request is a text.
    pub async fn call(&self, rpc: &str, text: &str) -> ResponseFuture {
        let mut message = BytesMut::new();
        prost::Message::encode(&text.to_owned(), &mut message).unwrap();
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap());
        body.put(message);
        let request = Request::post(format!("http://{}/{rpc}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (answer, mut stream) = requests.send_request(request, false).unwrap();
        stream.send_data(body.freeze(), true).unwrap();
        answer
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
