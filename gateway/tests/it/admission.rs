//! Of every kind of endpoint: whoever may not is refused by the head of their request, before the body is read and before any service
//! is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway::Application;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::peers::Peers;
use crate::system::{PATIENCE, settings, shared, token, token_that_expires_in};
use crate::test_protos;

const SERVICE: &str = "voltgate.test.v1.Kinds";

const PROTO: &str = r#"
syntax = "proto3";
package voltgate.test.v1;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "voltgate/api/v1/options.proto";

message Ask { string topic = 1; int32 page_size = 2; string page_token = 3; }
message Page { repeated Ask rows = 1; string next_page_token = 2; }
message Put { string topic = 1; google.api.HttpBody file = 2; }

service Kinds {
  option (voltgate.api.v1.upstream) = "ocpp";
  rpc Change(Ask) returns (Ask) {
    option (google.api.http) = {post: "/changes" body: "*"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_ROLE, roles: [ROLE_OPERATOR]};
  }
  rpc List(Ask) returns (Page) {
    option (google.api.http) = {get: "/rows"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_ROLE, roles: [ROLE_OPERATOR]};
  }
  rpc Watch(Ask) returns (stream Ask) {
    option (google.api.http) = {get: "/events"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_ROLE, roles: [ROLE_OPERATOR]};
  }
  rpc Download(Ask) returns (stream google.api.HttpBody) {
    option (google.api.http) = {get: "/files/{topic}"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_ROLE, roles: [ROLE_OPERATOR]};
  }
  rpc Upload(stream Put) returns (Ask) {
    option (google.api.http) = {put: "/files/{topic}" body: "file"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_ROLE, roles: [ROLE_OPERATOR]};
  }
  rpc Chat(stream Ask) returns (stream Ask) {
    option (voltgate.api.v1.endpoint) = {access: ACCESS_ROLE, roles: [ROLE_OPERATOR]};
  }
}
"#;

/// A gateway before a service that is there, never answers, and tells whether anybody came.
pub struct Guarded {
    pub address: SocketAddr,
    came: Arc<AtomicUsize>,
    _stop: DropGuard,
    _auth: Peers,
}

impl Guarded {
    pub async fn start(flags: &[&str]) -> Self {
        let protos = test_protos::compile(PROTO);
        let auth = Peers::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = listener.local_addr().unwrap();
        let came = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&came);
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                counting.fetch_add(1, Ordering::AcqRel);
                kept.push(stream);
            }
        });
        let settings = settings(service, flags);
        let application = Application::build_for(&protos, settings, shared(auth.address))
            .await
            .unwrap();
        let address = application.addresses().http.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(application.run(stop.clone()));
        Self {
            address,
            came,
            _stop: stop.drop_guard(),
            _auth: auth,
        }
    }

    /// Connections that the service has seen.
    pub fn came(&self) -> usize {
        self.came.load(Ordering::Acquire)
    }

    /// Sends a head alone, whatever it promises of a body, and reads the answer's status, head and body.
    pub async fn head_alone(&self, request: &str, headers: &str) -> (u16, String, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("an answer to the head")
            .unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.get(9..12).unwrap().parse().unwrap();
        (
            status,
            head.to_ascii_lowercase(),
            serde_json::from_str(body).unwrap_or_default(),
        )
    }

    /// Calls an RPC by gRPC with a message that never comes.
    pub async fn call(&self, rpc: &str, bearer: &str) -> Status {
        let channel = tonic::transport::Channel::from_shared(format!("http://{}", self.address))
            .unwrap()
            .connect()
            .await
            .unwrap();
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let mut request = Request::new(futures_util::stream::pending::<String>());
        if !bearer.is_empty() {
            let bearer = format!("Bearer {bearer}").parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
        }
        let path = format!("/{SERVICE}/{rpc}").parse().unwrap();
        let codec = ProstCodec::<String, String>::default();
        let answer = timeout(PATIENCE, client.streaming(request, path, codec)).await;
        answer.expect("an answer to the head").unwrap_err()
    }
}

/// Every kind, with what its request would go on with.
pub const KINDS: [(&str, &str); 6] = [
    (
        "POST /changes",
        "content-type: application/json\r\ncontent-length: 100000\r\n",
    ),
    ("GET /rows", ""),
    ("GET /rows", "accept: text/csv\r\n"),
    ("GET /events", "accept: text/event-stream\r\n"),
    ("GET /files/a", ""),
    // It would be heard out, did it not ask first.
    ("PUT /files/a", "expect: 100-continue\r\ncontent-length: 100000000\r\n"),
];

#[tokio::test]
async fn whoever_may_not_is_refused_by_the_head_alone_whatever_kind_it_is() {
    let guarded = Guarded::start(&[]).await;
    let expired = token_that_expires_in(-1, &["operator"]);
    let driver = token(&["driver"]);
    for (bearer, status, reason, code) in [
        ("", 401, "MISSING_CREDENTIALS", Code::Unauthenticated),
        ("nonsense", 401, "INVALID_TOKEN", Code::Unauthenticated),
        ("vgk_nonsense", 401, "INVALID_TOKEN", Code::Unauthenticated),
        (expired.as_str(), 401, "INVALID_TOKEN", Code::Unauthenticated),
        (driver.as_str(), 403, "PERMISSION_DENIED", Code::PermissionDenied),
    ] {
        for (request, headers) in KINDS {
            let authorization = match bearer {
                "" => String::new(),
                bearer => format!("authorization: Bearer {bearer}\r\n"),
            };
            let (told, head, problem) = guarded.head_alone(request, &format!("{headers}{authorization}")).await;
            assert_eq!(
                (told, problem["reason"].as_str()),
                (status, Some(reason)),
                "{request} {bearer}"
            );
            assert_eq!(
                head.contains("www-authenticate: bearer"),
                status == 401,
                "{request} {bearer}"
            );
        }
        for rpc in ["Change", "List", "Watch", "Download", "Upload", "Chat"] {
            assert_eq!(guarded.call(rpc, bearer).await.code(), code, "{rpc} {bearer}");
        }
    }
    assert_eq!(guarded.came(), 0, "the service was asked");
    // And the one who may gets there.
    let operator = token(&["operator"]);
    let (asked, _) = tokio::join!(
        timeout(Duration::from_secs(1), guarded.call("List", &operator)),
        tokio::time::sleep(Duration::from_millis(500)),
    );
    assert!(asked.is_err() && guarded.came() > 0);
}
