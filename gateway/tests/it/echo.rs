//! A service with every kind of RPC, which answers with what it was told, behind a gateway that knows it by its proto.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use gateway::Application;
use http::uri::PathAndQuery;
use service_kit::access::AccessLayer;
use service_kit::grpc::Server;
use service_kit::reason::Reason;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::peers::{Keys, Peers};
use crate::system::{PATIENCE, settings, shared};
use crate::test_protos;

pub const SERVICE: &str = "voltgate.test.v1.Echo";

const PROTO: &str = r#"
syntax = "proto3";
package voltgate.test.v1;
import "google/protobuf/wrappers.proto";
import "voltgate/api/v1/options.proto";

service Echo {
  option (voltgate.api.v1.upstream) = "ocpp";
  rpc Say(google.protobuf.StringValue) returns (google.protobuf.StringValue) {
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
  rpc Gather(stream google.protobuf.StringValue) returns (google.protobuf.StringValue) {
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
  rpc Count(google.protobuf.StringValue) returns (stream google.protobuf.StringValue) {
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
  rpc Chat(stream google.protobuf.StringValue) returns (stream google.protobuf.StringValue) {
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
  rpc Operate(google.protobuf.StringValue) returns (google.protobuf.StringValue) {
    option (voltgate.api.v1.endpoint) = {access: ACCESS_ROLE, roles: [ROLE_OPERATOR]};
  }
  rpc Inside(google.protobuf.StringValue) returns (google.protobuf.StringValue) {
    option (voltgate.api.v1.endpoint) = {access: ACCESS_INTERNAL};
  }
}
"#;

/// What each message of an endless count weighs, in bytes.
pub const WEIGHT: usize = 16 * 1024;

type Messages = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

/// What the service saw.
#[derive(Clone)]
struct Behind {
    calls: mpsc::UnboundedSender<MetadataMap>,
    /// Cancelled when a call that would never end has ended.
    ended: CancellationToken,
    counted: Arc<AtomicUsize>,
}

pub struct Echo {
    pub gateway: SocketAddr,
    pub channel: Channel,
    /// Metadata of the calls that came through.
    pub calls: mpsc::UnboundedReceiver<MetadataMap>,
    pub ended: CancellationToken,
    counted: Arc<AtomicUsize>,
    /// The service's own, so that it can be ended at once, connections included.
    runtime: Option<Runtime>,
    _stop: DropGuard,
    /// Has the keys that tokens are verified with.
    _auth: Peers,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.crash();
    }
}

impl Echo {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(flags: &[&str]) -> Self {
        let protos = test_protos::compile(PROTO);
        let auth = Peers::start().await;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let bind = runtime.spawn(Server::bind("127.0.0.1:0".parse().unwrap(), "TEST_LISTEN", None, 1000));
        let server = bind.await.unwrap().unwrap();
        let service = server.local_addr();
        let (calls, seen) = mpsc::unbounded_channel();
        let behind = Behind {
            calls,
            ended: CancellationToken::new(),
            counted: Arc::default(),
        };
        let (ended, counted) = (behind.ended.clone(), Arc::clone(&behind.counted));
        let access = AccessLayer::new(shared(service).access_to(&protos, Arc::new(Keys::default())).unwrap());
        let never = CancellationToken::new();
        runtime.spawn(server.serve(behind.routes().into(), &[SERVICE], access, Duration::ZERO, never));

        let application = Application::build_for(&protos, settings(service, flags), shared(auth.address))
            .await
            .unwrap();
        let gateway = application.addresses().http.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(application.run(stop.clone()));
        Self {
            gateway,
            channel: Channel::from_shared(format!("http://{gateway}"))
                .unwrap()
                .connect_lazy(),
            calls: seen,
            ended,
            counted,
            runtime: Some(runtime),
            _stop: stop.drop_guard(),
            _auth: auth,
        }
    }

    /// Ends the service without a word.
    pub fn crash(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Calls an RPC with a stream of messages, whatever its kind.
    pub async fn stream(
        &self,
        rpc: &str,
        messages: impl Stream<Item = String> + Send + 'static,
    ) -> Result<Response<Streaming<String>>, Status> {
        self.call(&format!("{SERVICE}/{rpc}"), Request::new(messages)).await
    }

    /// Calls an RPC with one message and gets one.
    pub async fn say(&self, rpc: &str, text: &str) -> Result<Response<String>, Status> {
        self.unary(rpc, Request::new(text.to_owned())).await
    }

    pub async fn unary(&self, rpc: &str, request: Request<String>) -> Result<Response<String>, Status> {
        let request = request.map(|text| stream::iter([text]));
        let response = self.call(&format!("{SERVICE}/{rpc}"), request).await?;
        let (metadata, mut messages, extensions) = response.into_parts();
        let message = messages.message().await?;
        messages.trailers().await?;
        Ok(Response::from_parts(metadata, message.unwrap_or_default(), extensions))
    }

    pub async fn call(
        &self,
        rpc: &str,
        request: Request<impl Stream<Item = String> + Send + 'static>,
    ) -> Result<Response<Streaming<String>>, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let path: PathAndQuery = format!("/{rpc}").parse().unwrap();
        let codec = ProstCodec::<String, String>::default();
        timeout(PATIENCE, client.streaming(request, path, codec))
            .await
            .expect("the answer to begin")
    }

    /// Messages of the endless count so far.
    pub fn counted(&self) -> usize {
        self.counted.load(Ordering::Acquire)
    }

    pub async fn seen(&mut self) -> MetadataMap {
        timeout(PATIENCE, self.calls.recv()).await.expect("a call").unwrap()
    }
}

impl Behind {
    fn routes(self) -> Router {
        let unary = |behind: Behind| {
            post(move |request: axum::extract::Request| {
                let say = service_fn(move |request: Request<String>| {
                    let behind = behind.clone();
                    async move { behind.say(request).await }
                });
                async move { grpc().unary(say, request).await }
            })
        };
        let streaming = |behind: Behind| {
            post(move |request: axum::extract::Request| {
                let chat = service_fn(move |request: Request<Streaming<String>>| {
                    let behind = behind.clone();
                    async move { behind.chat(request).await }
                });
                async move { grpc().streaming(chat, request).await }
            })
        };
        let path = |rpc: &str| format!("/{SERVICE}/{rpc}");
        Router::new()
            .route(&path("Say"), unary(self.clone()))
            .route(&path("Operate"), unary(self.clone()))
            .route(&path("Inside"), unary(self.clone()))
            .route(&path("Gather"), streaming(self.clone()))
            .route(&path("Count"), streaming(self.clone()))
            .route(&path("Chat"), streaming(self))
    }

    async fn say(&self, request: Request<String>) -> Result<Response<String>, Status> {
        let _test_is_over = self.calls.send(request.metadata().clone());
        match request.get_ref().as_str() {
            "wait" => {
                let _ended = self.ended.clone().drop_guard();
                std::future::pending().await
            }
            "taken" => Err(Reason::UsernameTaken.status("The username is taken — sorry")),
            text => {
                let mut response = Response::new(text.to_owned());
                let metadata = response.metadata_mut();
                metadata.insert("x-told", MetadataValue::from_static("header"));
                metadata.insert_bin("told-bin", MetadataValue::from_bytes(&[0, 255]));
                metadata.insert("voltgate-peer", MetadataValue::from_static("not for callers"));
                Ok(response)
            }
        }
    }

    /// Answers each message at once; some mean more.
    async fn chat(&self, request: Request<Streaming<String>>) -> Result<Response<Messages>, Status> {
        let _test_is_over = self.calls.send(request.metadata().clone());
        let behind = self.clone();
        let answers = request.into_inner().flat_map(move |message| match message.as_deref() {
            Ok("for ever") => behind.count(),
            Ok("be silent") => stream::pending().boxed(),
            Ok("fail") => stream::iter([Err(failure())]).boxed(),
            _ => stream::iter([message]).boxed(),
        });
        Ok(Response::new(Box::pin(answers)))
    }

    fn count(&self) -> Messages {
        let (ended, counted) = (self.ended.clone().drop_guard(), Arc::clone(&self.counted));
        let heavy = "x".repeat(WEIGHT);
        let numbers = stream::repeat_with(move || {
            let _until_dropped = &ended;
            counted.fetch_add(1, Ordering::AcqRel);
            Ok(heavy.clone())
        });
        Box::pin(numbers)
    }
}

fn grpc() -> tonic::server::Grpc<ProstCodec<String, String>> {
    tonic::server::Grpc::new(ProstCodec::default())
}

/// A failure after the first messages, with all that a status can carry.
fn failure() -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("x-trailer", MetadataValue::from_static("kept"));
    Status::with_details_and_metadata(
        Code::DataLoss,
        "half of it is gone",
        Bytes::from_static(&[1, 2, 3]),
        metadata,
    )
}
