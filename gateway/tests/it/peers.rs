//! The services behind the gateway: real gRPC servers that answer by fixed rules. They check access by the same code as
//! the services of Voltgate.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use jsonwebtoken::DecodingKey;
use service_kit::access::{AccessLayer, ApiKey, Authority, AuthorityUnavailable, Revocations};
use service_kit::grpc::Server;
use service_kit::reason::{FieldViolation, Reason, invalid};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};
use voltgate_proto::auth::v1 as auth;
use voltgate_proto::auth::v1::auth_service_server::{AuthService, AuthServiceServer};
use voltgate_proto::auth::v1::profile_service_server::{ProfileService, ProfileServiceServer};
use voltgate_proto::auth::v1::verification_service_server::{VerificationService, VerificationServiceServer};
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::command_service_server::{CommandService, CommandServiceServer};
use voltgate_proto::ocpp::v1::session_service_server::SessionServiceServer;
use voltgate_proto::ocpp::v1::{self as ocpp, Closed};

use crate::system::{KEY_ID, PATIENCE, PUBLIC_KEY, shared};

/// The services of charger-service that there are here; those of auth-service all claim to be.
const SERVICES: [&str; 2] = ["voltgate.ocpp.v1.CommandService", "voltgate.ocpp.v1.SessionService"];

/// What health says is served, by full names.
fn served() -> Vec<&'static str> {
    let auth = voltgate_proto::pool()
        .services()
        .filter(|service| service.package_name() == "voltgate.auth.v1")
        .map(|service| &*service.full_name().to_owned().leak());
    auth.chain(SERVICES).collect()
}

/// The ids of requests for a list that reached any services of this process.
static ASKED: Mutex<BTreeSet<Option<String>>> = Mutex::new(BTreeSet::new());

/// What the services saw.
#[derive(Debug)]
pub enum Seen {
    /// A call with its metadata.
    Call(MetadataMap),
    Open(ocpp::OpenRequest, MetadataMap),
    /// A frame with its number.
    Frame(u64, String),
    Closed(Closed),
    /// The station's stream ended.
    End,
    /// Whether somebody's API key is one.
    ApiKey,
}

pub struct Peers {
    pub address: SocketAddr,
    streams: Option<u32>,
    seen: mpsc::UnboundedReceiver<Seen>,
    report: mpsc::UnboundedSender<Seen>,
    /// Its own runtime, so that everything in it can be ended at once, connections included.
    runtime: Option<Runtime>,
}

impl Peers {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0", None).await
    }

    /// Where a test wants them; with a bound on the streams of a connection that is not the one of Voltgate's services.
    pub async fn start_at(address: &str, streams: Option<u32>) -> Self {
        let (report, seen) = mpsc::unbounded_channel();
        let mut peers = Self {
            address: address.parse().unwrap(),
            streams,
            seen,
            report,
            runtime: None,
        };
        peers.come_back().await;
        peers
    }

    /// Serves again, at the same address.
    pub async fn come_back(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let served = runtime.spawn(serve(self.address, self.streams, self.report.clone()));
        self.address = served.await.unwrap();
        self.runtime = Some(runtime);
    }

    /// Ends the services without a word, as a crash does.
    pub fn crash(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub async fn next(&mut self) -> Seen {
        timeout(PATIENCE, self.seen.recv())
            .await
            .expect("something to be seen")
            .expect("the services to run")
    }

    /// The next stream that is opened.
    pub async fn opened(&mut self) -> ocpp::OpenRequest {
        loop {
            if let Seen::Open(open, _) = self.next().await {
                return open;
            }
        }
    }

    /// The next frame, with its number.
    pub async fn frame(&mut self) -> (u64, String) {
        loop {
            match self.next().await {
                Seen::Frame(number, text) => return (number, text),
                Seen::Closed(closed) => panic!("{closed:?} where a frame was expected"),
                _ => {}
            }
        }
    }

    /// The next close of a socket, whatever came before it.
    pub async fn closed(&mut self) -> (i32, String) {
        loop {
            if let Seen::Closed(closed) = self.next().await {
                return (closed.code, closed.reason);
            }
        }
    }

    /// Calls that were seen and not asked for yet.
    pub fn calls(&mut self) -> usize {
        let seen = std::iter::from_fn(|| self.seen.try_recv().ok());
        seen.filter(|seen| matches!(seen, Seen::Call(_))).count()
    }

    /// API keys that were asked about, and not asked for here yet.
    pub fn api_keys(&mut self) -> usize {
        let seen = std::iter::from_fn(|| self.seen.try_recv().ok());
        seen.filter(|seen| matches!(seen, Seen::ApiKey)).count()
    }

    /// The metadata of the next call.
    pub async fn metadata(&mut self) -> MetadataMap {
        loop {
            if let Seen::Call(metadata) | Seen::Open(_, metadata) = self.next().await {
                return metadata;
            }
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Starts serving, and returns where.
async fn serve(address: SocketAddr, streams: Option<u32>, report: mpsc::UnboundedSender<Seen>) -> SocketAddr {
    let behind = Behind { report };
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(AuthServiceServer::new(behind.clone()))
        .add_service(ProfileServiceServer::new(behind.clone()))
        .add_service(VerificationServiceServer::new(behind.clone()))
        .add_service(CommandServiceServer::new(behind.clone()))
        .add_service(SessionServiceServer::new(behind));
    let access = |address| AccessLayer::new(shared(address).access(Arc::new(Keys::default())).unwrap());
    match streams {
        None => {
            let server = bind(address).await;
            let address = server.local_addr();
            let (drain, forever) = (Duration::from_secs(1), CancellationToken::new());
            let access = access(address);
            tokio::spawn(async move { server.serve(routes, &served(), access, drain, forever).await.unwrap() });
            address
        }
        Some(streams) => {
            let listener = TcpListener::bind(address).await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = tonic::transport::Server::builder().max_concurrent_streams(streams);
            let serve = server
                .layer(access(address))
                .add_routes(routes.routes())
                .serve_with_incoming(TcpListenerStream::new(listener));
            tokio::spawn(async move { serve.await.unwrap() });
            address
        }
    }
}

/// Waits until the port is free: a crash takes a moment.
async fn bind(address: SocketAddr) -> Server {
    let bound = async {
        loop {
            match Server::bind(address, "TEST_LISTEN", None, 1000).await {
                Ok(server) => return server,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(PATIENCE, bound).await.expect("the port to become free")
}

/// The key of the tests' tokens.
#[derive(Default)]
pub struct Keys(Revocations);

#[async_trait]
impl Authority for Keys {
    async fn verification_key(&self, kid: &str) -> Result<Option<DecodingKey>, AuthorityUnavailable> {
        let key = DecodingKey::from_ed_components(PUBLIC_KEY).map_err(|error| AuthorityUnavailable(error.into()))?;
        Ok((kid == KEY_ID).then_some(key))
    }

    fn has_key(&self, kid: &str) -> bool {
        kid == KEY_ID
    }

    async fn exchange(&self, _: &ApiKey) -> Result<Option<String>, AuthorityUnavailable> {
        Ok(None)
    }

    fn revocations(&self) -> &Revocations {
        &self.0
    }

    async fn follow(&self) {
        std::future::pending().await
    }
}

#[derive(Clone)]
pub struct Behind {
    pub report: mpsc::UnboundedSender<Seen>,
}

impl Behind {
    pub fn saw(&self, seen: Seen) {
        let _test_is_over = self.report.send(seen);
    }

    fn called<T>(&self, request: &Request<T>) {
        self.saw(Seen::Call(request.metadata().clone()));
    }
}

#[async_trait]
impl ProfileService for Behind {
    async fn get_profile(&self, request: Request<auth::GetProfileRequest>) -> Result<Response<auth::Profile>, Status> {
        self.called(&request);
        Ok(Response::new(auth::Profile {
            id: "018f".into(),
            username: "ada".into(),
            email: None,
            roles: vec!["driver".into()],
            created_at: Some(prost_timestamp(1_769_847_300)),
            email_verified: false,
            language: None,
        }))
    }

    async fn update_profile(
        &self,
        request: Request<auth::UpdateProfileRequest>,
    ) -> Result<Response<auth::Profile>, Status> {
        self.called(&request);
        Err(Reason::PreconditionFailed.status("It has been changed"))
    }

    async fn erase_account(&self, request: Request<auth::EraseAccountRequest>) -> Result<Response<()>, Status> {
        self.called(&request);
        Ok(Response::new(()))
    }

    async fn export_account(&self, request: Request<auth::ExportAccountRequest>) -> Result<Response<HttpBody>, Status> {
        self.called(&request);
        Ok(Response::new(HttpBody::default()))
    }
}

/// Nothing is ever revoked.
#[async_trait]
impl VerificationService for Behind {
    type WatchRevocationsStream = BoxStream<'static, Result<auth::WatchRevocationsResponse, Status>>;

    async fn watch_revocations(
        &self,
        _: Request<auth::WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let told = auth::WatchRevocationsResponse {
            complete: true,
            ..auth::WatchRevocationsResponse::default()
        };
        Ok(Response::new(
            stream::once(async { Ok(told) }).chain(stream::pending()).boxed(),
        ))
    }

    async fn exchange_api_key(
        &self,
        _: Request<auth::ExchangeApiKeyRequest>,
    ) -> Result<Response<auth::ExchangeApiKeyResponse>, Status> {
        self.saw(Seen::ApiKey);
        Ok(Response::new(auth::ExchangeApiKeyResponse { access_token: None }))
    }
}

#[async_trait]
impl AuthService for Behind {
    async fn get_health(
        &self,
        request: Request<auth::GetHealthRequest>,
    ) -> Result<Response<auth::ServiceHealth>, Status> {
        self.called(&request);
        Ok(Response::new(auth::ServiceHealth {
            status: "ok".into(),
            parts: Vec::new(),
        }))
    }

    async fn sign_up(&self, request: Request<auth::SignUpRequest>) -> Result<Response<auth::TokenResponse>, Status> {
        self.called(&request);
        let request = request.into_inner();
        match request.username.as_str() {
            "" => Err(invalid(vec![
                FieldViolation::new("username", "must not be empty"),
                FieldViolation::new("password", "has fewer than 8 characters"),
            ])),
            "taken" => Err(Reason::UsernameTaken.status("The username is taken")),
            "busy" => Err(Reason::Overloaded.retry_after(Duration::from_millis(1500), "Too many logins at once")),
            "broken" => Err(Status::unknown("panicked at src/secret.rs:7")),
            "refused" => {
                let mut refusal = Reason::Overloaded.status("Too many sign-ups from this address");
                refusal.metadata_mut().insert("retry-after", "30".parse().unwrap());
                refusal
                    .metadata_mut()
                    .insert("x-internal", "not for clients".parse().unwrap());
                limit(refusal.metadata_mut());
                Err(refusal)
            }
            "slow" => {
                tokio::time::sleep(PATIENCE).await;
                Err(Status::internal("nobody waits any more"))
            }
            _ => {
                let limited = request.username == "limited";
                let mut response = Response::new(auth::TokenResponse {
                    id: "018f".into(),
                    username: request.username,
                    access_token: "token".into(),
                    token_type: "Bearer".into(),
                    expires_in: 300,
                    refresh_token: "again".into(),
                });
                response
                    .metadata_mut()
                    .insert("location", "/auth/profile".parse().unwrap());
                response
                    .metadata_mut()
                    .insert("x-internal", "not for clients".parse().unwrap());
                if limited {
                    limit(response.metadata_mut());
                }
                Ok(response)
            }
        }
    }

    async fn log_in(&self, request: Request<auth::LogInRequest>) -> Result<Response<auth::LogInResponse>, Status> {
        self.called(&request);
        Err(Reason::InvalidCredentials.status("Wrong username or password"))
    }

    async fn refresh(&self, request: Request<auth::RefreshRequest>) -> Result<Response<auth::TokenResponse>, Status> {
        self.called(&request);
        Err(Reason::InvalidRefreshToken.status("The refresh token is not valid"))
    }

    async fn log_out(&self, request: Request<auth::LogOutRequest>) -> Result<Response<()>, Status> {
        self.called(&request);
        Ok(Response::new(()))
    }

    async fn get_discovery(&self, _: Request<auth::GetDiscoveryRequest>) -> Result<Response<HttpBody>, Status> {
        Err(Reason::NotFound.status("The issuer is no URL"))
    }

    async fn get_jwks(&self, _: Request<auth::GetJwksRequest>) -> Result<Response<HttpBody>, Status> {
        let key = serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "x": PUBLIC_KEY, "use": "sig", "alg": "EdDSA",
        });
        Ok(Response::new(HttpBody {
            content_type: "application/jwk-set+json".into(),
            data: serde_json::json!({"keys": [key]}).to_string().into(),
            extensions: vec![],
        }))
    }
}

/// What a service that limits its callers says of it.
fn limit(metadata: &mut MetadataMap) {
    metadata.insert("ratelimit", r#""signup";r=0;t=30"#.parse().unwrap());
    metadata.insert("ratelimit-policy", r#""signup";q=5;w=60"#.parse().unwrap());
}

fn prost_timestamp(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

#[async_trait]
impl CommandService for Behind {
    async fn send_command(
        &self,
        request: Request<ocpp::SendCommandRequest>,
    ) -> Result<Response<ocpp::Command>, Status> {
        self.called(&request);
        let request = request.into_inner();
        let payload = request.payload.unwrap_or_default();
        if request.action == "Refused" {
            return Err(invalid(vec![
                FieldViolation::new("action", "is not known"),
                FieldViolation::new("payload.connectorId", "is missing"),
                FieldViolation::new("wait_seconds", "is out of range"),
            ]));
        }
        Ok(Response::new(ocpp::Command {
            id: "018f".into(),
            identity: request.identity,
            action: request.action,
            status: "accepted".into(),
            payload: String::from_utf8(payload.data.to_vec()).unwrap(),
            response: request
                .wait_seconds
                .map(|seconds| format!("{{\"waited\": {seconds}.0}}")),
            ..Default::default()
        }))
    }

    async fn list_commands(
        &self,
        request: Request<ocpp::ListCommandsRequest>,
    ) -> Result<Response<ocpp::ListCommandsResponse>, Status> {
        let id = request.metadata().get("x-request-id").cloned();
        let first_time = ASKED
            .lock()
            .unwrap()
            .insert(id.map(|id| id.to_str().unwrap().to_owned()));
        self.called(&request);
        let request = request.into_inner();
        if request.identity == "hangs-once" && first_time {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(ocpp::ListCommandsResponse {
            commands: vec![],
            next_page_token: format!("{} {} {}", request.identity, request.page_size, request.page_token),
        }))
    }

    async fn get_command(&self, request: Request<ocpp::GetCommandRequest>) -> Result<Response<ocpp::Command>, Status> {
        self.called(&request);
        let id = request.into_inner().id;
        let size = match id.as_str() {
            "large" => 10_000,
            "small" => 10,
            _ => return Err(Reason::NotFound.status("There is no such command")),
        };
        let mut response = Response::new(ocpp::Command {
            id,
            payload: format!("\"{}\"", "x".repeat(size)),
            ..Default::default()
        });
        response.metadata_mut().insert("etag", "\"7\"".parse().unwrap());
        Ok(response)
    }
}
