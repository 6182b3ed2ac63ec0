//! A gateway with services behind it, on ports of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use gateway::{Application, PublicAddresses, Settings};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use service_kit::Shared;
use service_kit::access::ServiceSecret;
use service_kit::bus::Bus;
use service_kit::clock::SystemClock;
use service_kit::settings::{AccessSettings, DatabaseSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::peers::Peers;

/// An Ed25519 key that exists for these tests only.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIHpLneUBdHr9zjLnibX1Ot8uaRBQzUIhe0Qwf6YI7ntr
-----END PRIVATE KEY-----";
/// Its public half, as in a JSON Web Key.
pub const PUBLIC_KEY: &str = "QAhgNgq7GQSee2G418QoUZoROW__05wePH22iU5Inro";
pub const KEY_ID: &str = "test";

pub const REQUEST_ID: &str = "the-test";

/// How long anything may take that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

pub struct System {
    pub peers: Peers,
    pub address: SocketAddr,
    pub http: reqwest::Client,
    pub stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl System {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with further settings, as flags.
    pub async fn start_with(flags: &[&str]) -> Self {
        Self::in_front_of(Peers::start().await, flags).await
    }

    /// Starts in front of `peers`, or where a flag says.
    pub async fn in_front_of(peers: Peers, flags: &[&str]) -> Self {
        let stop = CancellationToken::new();
        let application = build(peers.address, flags).await.unwrap();
        let PublicAddresses { http, https } = application.addresses();
        let address = http.or(https).unwrap();
        let shutdown = stop.clone();
        let running = tokio::spawn(async move { application.run(shutdown).await.unwrap() });
        Self {
            peers,
            address,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop,
            running: Some(running),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(self.url(path)).header("x-request-id", REQUEST_ID)
    }

    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(self.url(path)).header("x-request-id", REQUEST_ID)
    }

    pub fn options(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.request(reqwest::Method::OPTIONS, self.url(path))
    }

    /// Tells the gateway to stop, and waits until it has.
    pub async fn shut_down(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// Builds a gateway in front of a server that serves everything.
pub async fn build(services: SocketAddr, flags: &[&str]) -> Result<Application, service_kit::start::StartError> {
    Application::build(settings(services, flags), shared(services)).await
}

/// The settings of such a gateway.
pub fn settings(services: SocketAddr, flags: &[&str]) -> Settings {
    let upstreams = upstreams().map(|name| format!("{name}=http://{services}"));
    let upstreams = upstreams.collect::<Vec<_>>().join(",");
    let mut arguments = vec!["gateway", "--gateway-listen=127.0.0.1:0"];
    // What is about something else asks as often as it likes.
    if !flags.iter().any(|flag| flag.starts_with("--gateway-rate-limit")) {
        arguments.push("--gateway-rate-limit=false");
    }
    let upstreams = format!("--gateway-upstreams={upstreams}");
    arguments.push(&upstreams);
    // A flag given again wins.
    let kept: Vec<_> = arguments
        .into_iter()
        .filter(|argument| {
            !flags
                .iter()
                .any(|flag| flag.split('=').next() == argument.split('=').next())
        })
        .chain(flags.iter().copied())
        .collect();
    Arguments::parse_from(kept).settings
}

/// The names that the protos give to the services behind the gateway.
fn upstreams() -> impl Iterator<Item = String> {
    let protos = voltgate_proto::pool();
    let option = protos.get_extension_by_name("voltgate.api.v1.upstream").unwrap();
    let names = protos.services().filter_map(move |service| {
        let name = service.options().get_extension(&option).as_str()?.to_owned();
        (!name.is_empty()).then_some(name)
    });
    names.collect::<BTreeSet<_>>().into_iter()
}

pub fn shared(auth: SocketAddr) -> Shared {
    Shared {
        clock: Arc::new(SystemClock),
        bus: Bus::from_setting(None).unwrap(),
        database: DatabaseSettings {
            database_url: None,
            database_max_connections: 2,
            database_statement_seconds: 60,
        },
        access: AccessSettings {
            auth_url: format!("http://{auth}"),
            auth_issuer: "voltgate".into(),
            auth_audience: "voltgate".into(),
            service_secret: None,
        },
        service_secret: ServiceSecret::new(b"a secret that exists for these tests only"),
        tls: None,
        max_calls: 1000,
        drain: Duration::from_secs(3),
    }
}

/// An access token of somebody with these roles.
pub fn token(roles: &[&str]) -> String {
    token_that_expires_in(300, roles)
}

pub fn token_that_expires_in(seconds: i64, roles: &[&str]) -> String {
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some("at+jwt".into());
    header.kid = Some(KEY_ID.into());
    let claims = json!({
        "iss": "voltgate", "aud": "voltgate", "sub": uuid::Uuid::now_v7(), "sid": uuid::Uuid::now_v7(),
        "jti": uuid::Uuid::now_v7(), "roles": roles, "iat": now, "exp": now + seconds,
    });
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_pem(KEY.as_bytes()).unwrap()).unwrap()
}

/// What a client reads of an answer.
pub async fn read(response: reqwest::Response) -> Value {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let mut shown = json!({"status": status, "content-type": header("content-type")});
    for name in [
        "allow",
        "cache-control",
        "etag",
        "location",
        "retry-after",
        "upgrade",
        "www-authenticate",
        "x-request-id",
    ] {
        if let Some(value) = header(name) {
            shown[name] = value.into();
        }
    }
    let body = response.text().await.unwrap();
    shown["body"] = serde_json::from_str(&body).unwrap_or(Value::String(body));
    shown
}

/// The same as text, for a snapshot.
pub async fn show(response: reqwest::Response) -> String {
    let mut shown = read(response).await;
    shown.sort_all_objects();
    serde_json::to_string_pretty(&shown).unwrap()
}
