//! auth-service as those see it who verify tokens: replicas that are behind, ids that nobody knows, and outages.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use prost_types::Timestamp;
use serde_json::json;
use service_kit::access::{Authority, RemoteAuthority, ServiceSecret, ServiceTokens};
use service_kit::clock::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::auth::v1::auth_service_server::{AuthService, AuthServiceServer};
use voltgate_proto::auth::v1::verification_service_server::{VerificationService, VerificationServiceServer};
use voltgate_proto::auth::v1::*;
use voltgate_proto::google::api::HttpBody;

/// What a replica tells of the keys: their ids, and of how many changes they are the outcome.
type Keys = (&'static [&'static str], i64);

/// Whichever replica of auth-service a process happens to be connected to.
#[derive(Clone)]
struct Replica {
    told: Arc<Mutex<(Keys, Uuid)>>,
    /// How often the keys were asked for.
    asked: Arc<AtomicUsize>,
    /// Keys are asked for, and it does not answer.
    silent: Arc<AtomicBool>,
    /// Streams end when it changes.
    turn: watch::Sender<u64>,
}

#[tonic::async_trait]
impl VerificationService for Replica {
    type WatchRevocationsStream = BoxStream<'static, Result<WatchRevocationsResponse, Status>>;

    async fn watch_revocations(
        &self,
        _: Request<WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let ((ids, revision), session) = *self.told.lock().unwrap();
        let revocation = Revocation {
            session_id: session.to_string(),
            issued_before: None,
            expires_at: Some(Timestamp {
                seconds: SystemClock.now().timestamp() + 60,
                nanos: 0,
            }),
        };
        let told = WatchRevocationsResponse {
            revocations: vec![revocation],
            complete: true,
            key_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            keys_revision: revision,
        };
        let mut turn = self.turn.subscribe();
        let told = stream::once(async { Ok(told) }).chain(stream::pending());
        let until_the_next = async move { turn.changed().await };
        Ok(Response::new(told.take_until(Box::pin(until_the_next)).boxed()))
    }

    async fn exchange_api_key(
        &self,
        _: Request<ExchangeApiKeyRequest>,
    ) -> Result<Response<ExchangeApiKeyResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

#[tonic::async_trait]
impl AuthService for Replica {
    async fn get_jwks(&self, _: Request<GetJwksRequest>) -> Result<Response<HttpBody>, Status> {
        self.asked.fetch_add(1, Relaxed);
        if self.silent.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        let ((ids, revision), _) = *self.told.lock().unwrap();
        // The key of RFC 8037, under whatever id.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key = |kid| json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x });
        let keys: Vec<_> = ids.iter().map(key).collect();
        Ok(Response::new(HttpBody {
            content_type: "application/jwk-set+json".to_owned(),
            data: json!({ "keys": keys, "revision": revision }).to_string().into(),
            extensions: Vec::new(),
        }))
    }

    async fn sign_up(&self, _: Request<SignUpRequest>) -> Result<Response<TokenResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn log_in(&self, _: Request<LogInRequest>) -> Result<Response<LogInResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn refresh(&self, _: Request<RefreshRequest>) -> Result<Response<TokenResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn log_out(&self, _: Request<LogOutRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn get_health(&self, _: Request<GetHealthRequest>) -> Result<Response<ServiceHealth>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn get_discovery(&self, _: Request<GetDiscoveryRequest>) -> Result<Response<HttpBody>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

/// A process that verifies tokens, and the replica that it asks.
struct Verifying {
    replica: Replica,
    authority: Arc<RemoteAuthority>,
    tasks: Vec<JoinHandle<()>>,
}

impl Verifying {
    async fn with(keys: Keys) -> Self {
        let replica = Replica {
            told: Arc::new(Mutex::new((keys, Uuid::now_v7()))),
            asked: Arc::default(),
            silent: Arc::default(),
            turn: watch::Sender::new(0),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder()
            .add_service(AuthServiceServer::new(replica.clone()))
            .add_service(VerificationServiceServer::new(replica.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let clock = Arc::new(SystemClock);
        let secret = ServiceSecret::new(b"a secret that exists for these tests only");
        let tokens = ServiceTokens::new("gateway", secret, clock.clone());
        Self {
            replica,
            authority: Arc::new(RemoteAuthority::new(&url, None, tokens, clock).unwrap()),
            tasks: vec![tokio::spawn(async { server.await.unwrap() })],
        }
    }

    /// Listens to what the replica tells from now on.
    async fn follow(&mut self) {
        let authority = Arc::clone(&self.authority);
        self.tasks.push(tokio::spawn(async move { authority.follow().await }));
        let keys = self.replica.told.lock().unwrap().0;
        self.hear(keys).await;
    }

    /// The stream breaks off, and the one after it tells this. Returns when it was heard.
    async fn hear(&self, keys: Keys) {
        let session = Uuid::now_v7();
        *self.replica.told.lock().unwrap() = (keys, session);
        self.replica.turn.send_modify(|turn| *turn += 1);
        let start = Instant::now();
        while !self.authority.revocations().contain(session, 0) {
            assert!(start.elapsed() < Duration::from_secs(20), "nothing is heard");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn has(&self, kid: &str) -> bool {
        self.authority.has_key(kid)
    }

    fn asked(&self) -> usize {
        self.replica.asked.load(Relaxed)
    }
}

impl Drop for Verifying {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[tokio::test]
async fn a_replica_that_has_not_heard_of_the_newest_key_does_not_void_it() {
    let mut verifying = Verifying::with((&["K1"], 1)).await;
    verifying.follow().await;
    assert!(verifying.has("K1"));
    verifying.hear((&["K1", "K2"], 2)).await;
    assert!(verifying.has("K1") && verifying.has("K2"));

    verifying.hear((&["K1"], 1)).await;
    assert!(verifying.has("K1") && verifying.has("K2"));
    verifying.hear((&["K1", "K2"], 2)).await;
    assert!(verifying.has("K1") && verifying.has("K2"));
}

#[tokio::test]
async fn a_replica_that_has_not_heard_that_a_key_is_void_does_not_bring_it_back() {
    let mut verifying = Verifying::with((&["K1", "K2"], 2)).await;
    verifying.follow().await;
    verifying.hear((&["K2"], 3)).await;
    assert!(!verifying.has("K1"));

    verifying.hear((&["K1", "K2"], 2)).await;
    assert!(!verifying.has("K1") && verifying.has("K2"));
    // What it answers is no better, so it is not known whether there is such a key.
    assert!(verifying.authority.verification_key("K1").await.is_err());
    assert!(!verifying.has("K1") && verifying.has("K2"));
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_by_one_caller_and_not_again_for_a_while() {
    let verifying = Verifying::with((&["K1"], 1)).await;
    let look = |kid: &'static str| verifying.authority.verification_key(kid);
    let found = join_all((0..50).map(|_| look("K1"))).await;
    assert!(found.into_iter().all(|found| matches!(found, Ok(Some(_)))));
    assert_eq!(verifying.asked(), 1);
    let made_up = join_all((0..50).map(|_| look("made-up"))).await;
    assert!(made_up.into_iter().all(|found| matches!(found, Ok(None))));
    assert_eq!(verifying.asked(), 1);
}

#[tokio::test]
async fn through_an_outage_known_keys_are_good_and_nobody_queues_for_those_that_are_made_up() {
    let mut verifying = Verifying::with((&["K1"], 1)).await;
    verifying.follow().await;
    verifying.replica.silent.store(true, Relaxed);
    let before = verifying.asked();
    let start = Instant::now();
    let made_up = join_all((0..50).map(|_| verifying.authority.verification_key("made-up"))).await;
    assert!(made_up.iter().all(Result::is_err), "nobody knows that it is made up");
    assert_eq!(verifying.asked(), before + 1);
    // One waits for auth-service for three seconds, and the others for that one.
    assert!(start.elapsed() < Duration::from_secs(6));
    let known = verifying.authority.verification_key("K1").await;
    assert!(matches!(known, Ok(Some(_))) && verifying.has("K1"));
}
