//! Envoy and our gateway in front of the same service, asked the same.

use std::net::SocketAddr;
use std::sync::LazyLock;

use bytes::Bytes;
use gateway::Application;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::echo;
use super::message;
use super::process::Envoy;
use crate::system::{PATIENCE, settings, shared};

const PROTO: &str = "contract.proto";
const SERVICE: &str = "contract.Contract";

/// The contract, encoded and decoded.
pub static CONTRACT: LazyLock<(Vec<u8>, DescriptorPool)> = LazyLock::new(|| {
    let folders = [
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/envoy"),
        concat!(env!("CARGO_MANIFEST_DIR"), "/../proto"),
    ];
    let mut compiler = protox::Compiler::new(folders).unwrap();
    compiler.include_imports(true).open_file(PROTO).unwrap();
    let encoded = compiler.encode_file_descriptor_set();
    let pool = DescriptorPool::decode(encoded.as_slice()).unwrap();
    (encoded, pool)
});

/// A request, as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub target: String,
    pub content_type: Option<String>,
    pub body: Bytes,
}

impl Ask {
    /// A request with a JSON body, or with none where the text is empty.
    pub fn new(method: &str, target: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self {
            method: method.parse().unwrap(),
            target: target.into(),
            content_type: (!body.is_empty()).then(|| "application/json".to_owned()),
            body,
        }
    }

    pub fn of_type(self, content_type: &str) -> Self {
        Self {
            content_type: Some(content_type.to_owned()),
            ..self
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub status: u16,
    /// The message that the service got.
    pub reached: Option<Value>,
    /// The body of a success: a JSON value, or text with its media type.
    pub answer: Option<Value>,
}

pub struct Both {
    envoy: Envoy,
    gateway: SocketAddr,
    seen: UnboundedReceiver<DynamicMessage>,
    stop: CancellationToken,
}

impl Both {
    pub async fn start() -> Self {
        let (encoded, pool) = &*CONTRACT;
        let (service, seen) = echo::start(pool.clone()).await;
        let upstream = format!("--gateway-upstreams=contract=http://{service}");
        let settings = settings(service, &[&upstream]);
        let application = Application::build_for(pool, settings, shared(service)).await.unwrap();
        let gateway = application.addresses().http.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(application.run(stop.clone()));
        Self {
            envoy: Envoy::start(encoded, &[SERVICE], service).await,
            gateway,
            seen,
            stop,
        }
    }

    /// What becomes of the request at Envoy, and at our gateway.
    pub async fn ask(&mut self, ask: &Ask) -> (Outcome, Outcome) {
        (
            self.ask_one(self.envoy.address, ask).await,
            self.ask_one(self.gateway, ask).await,
        )
    }

    async fn ask_one(&mut self, address: SocketAddr, ask: &Ask) -> Outcome {
        let (status, answer) = timeout(PATIENCE, exchange(address, ask)).await.expect("an answer");
        Outcome {
            status,
            reached: self.seen.try_recv().ok().map(|message| message::show(&message)),
            answer: (status < 300).then_some(answer),
        }
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn exchange(address: SocketAddr, ask: &Ask) -> (u16, Value) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = http::Request::builder()
        .method(&ask.method)
        .uri(&ask.target)
        .header("host", "contract.example");
    if let Some(content_type) = &ask.content_type {
        request = request.header("content-type", content_type);
    }
    let request = request.body(Full::new(ask.body.clone())).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    connection.abort();
    let media_type = head
        .headers
        .get("content-type")
        .map_or("", |value| value.to_str().unwrap());
    let answer = match media_type {
        "application/json" if head.status.is_success() => message::comparable(&body),
        other => json!({other: String::from_utf8_lossy(&body)}),
    };
    (head.status.as_u16(), answer)
}
