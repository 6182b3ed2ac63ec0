//! A service with lists, behind a gateway that knows it by its proto.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use gateway::Application;
use service_kit::access::AccessLayer;
use service_kit::grpc::Server;
use service_kit::reason::Reason;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::peers::{Keys, Peers};
use crate::system::{settings, shared};
use crate::test_protos;

const SERVICE: &str = "voltgate.test.v1.Listed";

const PROTO: &str = r#"
syntax = "proto3";
package voltgate.test.v1;
import "google/api/annotations.proto";
import "voltgate/api/v1/options.proto";

message Ask { string topic = 1; int32 page_size = 2; string page_token = 3; }
message Inner { int32 number = 1; string word = 2; }
message Row { string id = 1; Inner inner = 2; string text = 3; string document = 4 [(voltgate.api.v1.raw_json) = true]; }
message Rows { int32 total = 3; repeated Row rows = 1; string next_page_token = 2; }
message Topic { string topic = 1; }
message AllRows { repeated Row rows = 1; }

service Listed {
  option (voltgate.api.v1.upstream) = "ocpp";
  rpc List(Ask) returns (Rows) {
    option (google.api.http) = {get: "/topics/{topic}/rows"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC idempotent: true};
  }
  rpc ListHastily(Ask) returns (Rows) {
    option (google.api.http) = {get: "/hasty/{topic}"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC idempotent: true timeout_seconds: 2};
  }
  rpc Guarded(Ask) returns (Rows) {
    option (google.api.http) = {get: "/guarded/{topic}"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_ROLE roles: [ROLE_OPERATOR] idempotent: true};
  }
  rpc ListAll(Topic) returns (AllRows) {
    option (google.api.http) = {get: "/topics/{topic}/all-rows"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC idempotent: true};
  }
  rpc Get(Ask) returns (Row) {
    option (google.api.http) = {
      get: "/rows/{topic}"
      additional_bindings {get: "/inners/{topic}" response_body: "inner"}
      additional_bindings {get: "/words/{topic}" response_body: "text"}
    };
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC idempotent: true};
  }
}
"#;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Ask {
    #[prost(string, tag = "1")]
    pub topic: String,
    #[prost(int32, tag = "2")]
    pub page_size: i32,
    #[prost(string, tag = "3")]
    pub page_token: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Inner {
    #[prost(int32, tag = "1")]
    number: i32,
    #[prost(string, tag = "2")]
    word: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Row {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    inner: Option<Inner>,
    #[prost(string, tag = "3")]
    text: String,
    #[prost(string, tag = "4")]
    document: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Rows {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<Row>,
    #[prost(string, tag = "2")]
    next_page_token: String,
    #[prost(int32, tag = "3")]
    total: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Topic {
    #[prost(string, tag = "1")]
    topic: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AllRows {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<Row>,
}

pub struct Listed {
    pub http: reqwest::Client,
    /// What the service was asked for.
    pub asked: mpsc::UnboundedReceiver<(Ask, MetadataMap)>,
    pub address: SocketAddr,
    _stop: DropGuard,
    /// Has the keys that tokens are verified with.
    _auth: Peers,
}

impl Listed {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(flags: &[&str]) -> Self {
        let protos = test_protos::compile(PROTO);
        let auth = Peers::start().await;
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), "TEST_LISTEN", None, 1000)
            .await
            .unwrap();
        let service = server.local_addr();
        let (report, asked) = mpsc::unbounded_channel();
        let access = AccessLayer::new(
            shared(service)
                .access_to(&protos, std::sync::Arc::new(Keys::default()))
                .unwrap(),
        );
        let never = CancellationToken::new();
        let behind = Behind(report);
        tokio::spawn(server.serve(behind.routes().into(), &[SERVICE], access, Duration::ZERO, never));
        let application = Application::build_for(&protos, settings(service, flags), shared(auth.address))
            .await
            .unwrap();
        let address = application.addresses().http.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(application.run(stop.clone()));
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            asked,
            address,
            _stop: stop.drop_guard(),
            _auth: auth,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str, accept: &str) -> reqwest::Response {
        let request = self.http.get(self.url(path)).header("accept", accept);
        request.send().await.unwrap()
    }

    /// How many rows, and from where, the service has been asked for since the last time.
    pub fn pages(&mut self) -> Vec<(i32, String)> {
        std::iter::from_fn(|| self.asked.try_recv().ok())
            .map(|(ask, _)| (ask.page_size, ask.page_token))
            .collect()
    }
}

#[derive(Clone)]
struct Behind(mpsc::UnboundedSender<(Ask, MetadataMap)>);

impl Behind {
    fn routes(self) -> Router {
        let list = |behind: Behind| {
            post(move |request: axum::extract::Request| {
                let list = service_fn(move |request: Request<Ask>| {
                    let behind = behind.clone();
                    async move { behind.list(request).await.map(Response::new) }
                });
                async move {
                    let mut grpc = tonic::server::Grpc::new(ProstCodec::<Rows, Ask>::default());
                    grpc.unary(list, request).await
                }
            })
        };
        let list_all = post(|request: axum::extract::Request| async move {
            let list_all = service_fn(|request: Request<Topic>| {
                let total = request.get_ref().topic.parse().unwrap();
                let rows = (0..total).map(|number| row(number, LIGHT)).collect();
                std::future::ready(Ok(Response::new(AllRows { rows })))
            });
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<AllRows, Topic>::default());
            grpc.unary(list_all, request).await
        });
        let get = post(|request: axum::extract::Request| async move {
            let get = service_fn(|_: Request<Ask>| std::future::ready(Ok(Response::new(row(7, LIGHT)))));
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Row, Ask>::default());
            grpc.unary(get, request).await
        });
        let path = |rpc: &str| format!("/{SERVICE}/{rpc}");
        Router::new()
            .route(&path("List"), list(self.clone()))
            .route(&path("ListHastily"), list(self.clone()))
            .route(&path("Guarded"), list(self))
            .route(&path("ListAll"), list_all)
            .route(&path("Get"), get)
    }

    /// A topic says how many rows there are, or what goes wrong.
    async fn list(&self, request: Request<Ask>) -> Result<Rows, Status> {
        let (metadata, _, ask) = request.into_parts();
        let _test_is_over = self.0.send((ask.clone(), metadata));
        let from: i32 = ask.page_token.parse().unwrap_or(0);
        let total = match ask.topic.as_str() {
            "refused" => return Err(Reason::NotFound.status("There is no such topic")),
            "fails-later" if from > 0 => return Err(Reason::Overloaded.status("Too much of it")),
            "hangs-later" if from > 0 => std::future::pending().await,
            "heavy" => 300,
            "huge" => 2,
            "monstrous" => 1,
            "slow" => {
                sleep(Duration::from_millis(200)).await;
                i32::MAX
            }
            number => number.parse().unwrap_or(i32::MAX),
        };
        let text = match ask.topic.as_str() {
            "heavy" => &"x".repeat(20_000),
            "wide" => &"x".repeat(200_000),
            "huge" => &"x".repeat(9 * 1024 * 1024),
            "monstrous" => &"x".repeat(17 * 1024 * 1024),
            _ => LIGHT,
        };
        let size = match ask.page_size {
            // A page that costs little to make, and is more than a client that does not read can be sent.
            _ if ask.topic == "wide" => 1,
            0 => 100,
            size => size,
        };
        let end = total.min(from.saturating_add(size));
        Ok(Rows {
            rows: (from..end).map(|number| row(number, text)).collect(),
            next_page_token: match ask.topic.as_str() {
                "circle" => "1".into(),
                _ if end < total => end.to_string(),
                _ => String::new(),
            },
            total,
        })
    }
}

const LIGHT: &str = "a \"b\", c";

/// The document has a line break, as a service may write it.
fn row(number: i32, text: &str) -> Row {
    Row {
        id: number.to_string(),
        inner: (number > 0).then(|| Inner {
            number,
            word: "=cmd".into(),
        }),
        text: text.into(),
        document: "{\r\n\"a\": 1.0}".into(),
    }
}
