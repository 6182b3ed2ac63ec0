//! A service whose answers are streams, pages and bytes, behind a gateway that knows it by its proto.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use futures_util::{Stream, StreamExt as _, stream};
use gateway::Application;
use service_kit::access::AccessLayer;
use service_kit::grpc::Server;
use service_kit::reason::Reason;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;
use voltgate_proto::google::api::HttpBody;

use crate::peers::Keys;
use crate::system::{settings, shared};
use crate::test_protos;

const SERVICE: &str = "voltgate.test.v1.Watched";

const PROTO: &str = r#"
syntax = "proto3";
package voltgate.test.v1;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "voltgate/api/v1/options.proto";

message Ask { string topic = 1; }
message Event { string id = 1; string text = 2; string document = 3 [(voltgate.api.v1.raw_json) = true]; }
message Page { repeated Event events = 1; google.api.HttpBody file = 2; }

message Put { string topic = 1; google.api.HttpBody file = 2; }

service Watched {
  option (voltgate.api.v1.upstream) = "ocpp";
  rpc Watch(Ask) returns (stream Event) {
    option (google.api.http) = {get: "/watch/{topic}"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC event_id: "id" event_type: "text"};
  }
  rpc Download(Ask) returns (stream google.api.HttpBody) {
    option (google.api.http) = {get: "/download/{topic}"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
  rpc List(Ask) returns (Page) {
    option (google.api.http) = {
      get: "/list/{topic}" response_body: "events"
      additional_bindings {get: "/file/{topic}" response_body: "file"}
    };
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
  rpc Echo(google.api.HttpBody) returns (google.api.HttpBody) {
    option (google.api.http) = {post: "/echo" body: "*"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
  rpc Upload(stream Put) returns (Event) {
    option (google.api.http) = {put: "/upload/{topic}" body: "file"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
  rpc UploadWhole(stream google.api.HttpBody) returns (Event) {
    option (google.api.http) = {post: "/upload" body: "*"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC media_types: ["text/csv", "application/gzip"]};
  }
}
"#;

/// What each message of an endless stream weighs, in bytes.
pub const WEIGHT: usize = 16 * 1024;

#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(string, tag = "1")]
    topic: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(string, tag = "3")]
    document: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Page {
    #[prost(message, repeated, tag = "1")]
    events: Vec<Event>,
    #[prost(message, optional, tag = "2")]
    file: Option<HttpBody>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(message, optional, tag = "2")]
    file: Option<HttpBody>,
}

type Events = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;
type Chunks = Pin<Box<dyn Stream<Item = Result<HttpBody, Status>> + Send>>;

pub struct Watched {
    pub http: reqwest::Client,
    /// Cancelled when a stream that would never end has ended.
    pub ended: CancellationToken,
    /// Cancelled when a download was read to its end.
    pub heard_out: CancellationToken,
    address: SocketAddr,
    counted: Arc<AtomicUsize>,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl Watched {
    pub async fn start(flags: &[&str]) -> Self {
        let protos = test_protos::compile(PROTO);
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), "TEST_LISTEN", None, 1000)
            .await
            .unwrap();
        let service = server.local_addr();
        let behind = Behind::default();
        let (ended, counted) = (behind.ended.clone(), Arc::clone(&behind.counted));
        let heard_out = behind.heard_out.clone();
        let access = AccessLayer::new(shared(service).access_to(&protos, Arc::new(Keys::default())).unwrap());
        let never = CancellationToken::new();
        tokio::spawn(server.serve(behind.routes().into(), &[SERVICE], access, Duration::ZERO, never));
        let application = Application::build_for(&protos, settings(service, flags), shared(service))
            .await
            .unwrap();
        let address = application.addresses().http.unwrap();
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let running = tokio::spawn(async move { application.run(shutdown).await.unwrap() });
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            ended,
            heard_out,
            address,
            counted,
            stop,
            running: Some(running),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn request(&self, path: &str, accept: &str) -> reqwest::RequestBuilder {
        self.http.get(self.url(path)).header("accept", accept)
    }

    pub async fn get(&self, path: &str, accept: &str) -> reqwest::Response {
        self.request(path, accept).send().await.unwrap()
    }

    /// Messages of the endless stream so far.
    pub fn counted(&self) -> usize {
        self.counted.load(Ordering::Acquire)
    }

    /// Tells the gateway to stop, and waits until it has.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Clone, Default)]
struct Behind {
    ended: CancellationToken,
    /// Cancelled when a download was read to its end.
    heard_out: CancellationToken,
    counted: Arc<AtomicUsize>,
}

impl Behind {
    fn routes(self) -> Router {
        let path = |rpc: &str| format!("/{SERVICE}/{rpc}");
        let downloads = self.clone();
        let uploads = self.clone();
        let watch = post(move |request: axum::extract::Request| {
            let watch = service_fn(move |request: Request<Ask>| std::future::ready(self.clone().watch(&request)));
            async move {
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<Event, Ask>::default());
                grpc.server_streaming(watch, request).await
            }
        });
        let download = post(move |request: axum::extract::Request| {
            let download = service_fn(move |request: Request<Ask>| {
                let topic = &request.get_ref().topic;
                let part = topic.starts_with("part");
                let end_takes = Duration::from_secs(u64::from(topic == "part-with-a-late-end"));
                let head = request.metadata().contains_key("voltgate-method");
                let range = request.metadata().get("range").cloned();
                let heard_out = downloads.heard_out.clone();
                let chunks = downloads.clone().watch(&request).map(|events| {
                    let end = async move {
                        tokio::time::sleep(end_takes).await;
                        heard_out.cancel();
                    };
                    let end = stream::once(end).filter_map(|()| async { None });
                    events.map(|events| chunks(events).chain(end).boxed() as Chunks)
                });
                std::future::ready(chunks.map(|mut response| {
                    if part {
                        let metadata = response.metadata_mut();
                        metadata.insert("voltgate-body-length", "24".parse().unwrap());
                        let name = if head { "head" } else { "get" };
                        metadata.insert("content-disposition", name.parse().unwrap());
                        if range.is_some() {
                            metadata.insert("content-range", "bytes 0-23/99".parse().unwrap());
                        }
                    }
                    response
                }))
            });
            async move {
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<HttpBody, Ask>::default());
                grpc.server_streaming(download, request).await
            }
        });
        let list = post(|request: axum::extract::Request| async move {
            let list = service_fn(|request: Request<Ask>| std::future::ready(Ok(Response::new(page(&request)))));
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Page, Ask>::default());
            grpc.unary(list, request).await
        });
        let echo = post(|request: axum::extract::Request| async move {
            let echo =
                service_fn(|request: Request<HttpBody>| std::future::ready(Ok(Response::new(request.into_inner()))));
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<HttpBody, HttpBody>::default());
            grpc.unary(echo, request).await
        });
        let behind = uploads.clone();
        let upload = post(move |request: axum::extract::Request| {
            let upload =
                service_fn(move |request: Request<Streaming<Put>>| behind.clone().upload(request.into_inner()));
            async move {
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<Event, Put>::default());
                grpc.client_streaming(upload, request).await
            }
        });
        let upload_whole = post(move |request: axum::extract::Request| {
            let behind = uploads;
            let upload = service_fn(move |request: Request<Streaming<HttpBody>>| {
                let bodies = request.into_inner();
                let puts = bodies.map(|body| {
                    body.map(|file| Put {
                        topic: "whole".into(),
                        file: Some(file),
                    })
                });
                behind.clone().upload(puts)
            });
            async move {
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<Event, HttpBody>::default());
                grpc.client_streaming(upload, request).await
            }
        });
        Router::new()
            .route(&path("Upload"), upload)
            .route(&path("UploadWhole"), upload_whole)
            .route(&path("Watch"), watch)
            .route(&path("Download"), download)
            .route(&path("List"), list)
            .route(&path("Echo"), echo)
    }

    fn watch(self, request: &Request<Ask>) -> Result<Response<Events>, Status> {
        let topic = request.get_ref().topic.clone();
        let overloaded = || Err(Reason::Overloaded.status("Too much of it"));
        let events: Events = match topic.as_str() {
            "refused" => return Err(Reason::NotFound.status("There is no such topic")),
            "none" => stream::empty().boxed(),
            "fail-first" => stream::iter([overloaded()]).boxed(),
            "fail-later" => stream::iter([Ok(event(1, &topic)), overloaded()]).boxed(),
            "silent" => self.silence(),
            "for-ever" => self.count(),
            "resume" => {
                let last = request.metadata().get("last-event-id");
                let last: u32 = last.and_then(|id| id.to_str().ok()?.parse().ok()).unwrap_or(0);
                stream::iter([Ok(event(last + 1, &topic))]).boxed()
            }
            _ => stream::iter((1..=3).map(move |id| Ok(event(id, &topic)))).boxed(),
        };
        Ok(Response::new(events))
    }

    /// Tells how many bytes came, what they were said to be, and how many messages they took.
    async fn upload(
        self,
        mut puts: impl Stream<Item = Result<Put, Status>> + Unpin,
    ) -> Result<Response<Event>, Status> {
        let first = puts.next().await.unwrap()?;
        let media_type = first.file.unwrap().content_type;
        if first.topic == "refused" {
            return Err(Reason::NotFound.status("There is no such topic"));
        }
        // Whether it fails or is dropped.
        let broke_off = self.ended.clone().drop_guard();
        let mut bytes = 0;
        let mut messages = 0;
        while let Some(put) = puts.next().await {
            let put = put?;
            assert!(put.topic.is_empty() || put.topic == "whole");
            bytes += put.file.unwrap().data.len();
            messages += 1;
            self.counted.store(bytes, Ordering::Release);
            if first.topic == "at-most-a-megabyte" && bytes > 1024 * 1024 {
                return Err(Reason::PayloadTooLarge.status("A megabyte is enough"));
            }
            if first.topic == "slow" {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        broke_off.disarm();
        Ok(Response::new(Event {
            id: bytes.to_string(),
            text: media_type,
            document: messages.to_string(),
        }))
    }

    fn silence(self) -> Events {
        let ended = self.ended.drop_guard();
        let never = stream::pending().map(move |message| {
            let _until_dropped = &ended;
            message
        });
        never.boxed()
    }

    fn count(self) -> Events {
        let heavy = "x".repeat(WEIGHT);
        let counted = self.counted;
        let ended = self.ended.drop_guard();
        let numbers = stream::repeat_with(move || {
            let _until_dropped = &ended;
            counted.fetch_add(1, Ordering::AcqRel);
            Ok(event(1, &heavy))
        });
        numbers.boxed()
    }
}

/// The document has a line break, as a service may write it.
fn event(id: u32, text: &str) -> Event {
    Event {
        id: id.to_string(),
        text: text.to_owned(),
        document: "{\r\n\"a\": 1.0}".into(),
    }
}

fn chunk(id: &str) -> HttpBody {
    HttpBody {
        content_type: "text/csv".into(),
        data: format!("chunk {id}\n").into(),
        extensions: vec![],
    }
}

/// Those of an endless stream are as heavy as it says.
fn chunks(events: Events) -> Chunks {
    let of_event = |event: Event| match event.text.len() {
        WEIGHT => HttpBody {
            data: event.text.into(),
            ..chunk("")
        },
        _ => chunk(&event.id),
    };
    events.map(move |event| event.map(of_event)).boxed()
}

fn page(request: &Request<Ask>) -> Page {
    Page {
        events: (1..=3).map(|id| event(id, &request.get_ref().topic)).collect(),
        file: Some(chunk("1")),
    }
}
