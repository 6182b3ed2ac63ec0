//! The service behind every proxy. It stands in for charger-service, whose database would be most of each figure, and for
//! auth-service, which the gateway asks for keys and revocations. Answers are made anew from each request, so that one that was
//! transcoded badly is noticed. For proxies that do not transcode it answers the same by plain HTTP.

use std::collections::HashMap;
use std::future::IntoFuture as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{StatusCode, header};
use prost::Message;
use prost_types::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic_prost::ProstCodec;
use tower::service_fn;
use voltgate_proto::auth::v1::{GetJwksRequest, WatchRevocationsRequest, WatchRevocationsResponse};
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::{
    CreateIdTokenRequest, GetTransactionRequest, IdToken, ListTransactionsRequest, ListTransactionsResponse,
    Transaction,
};

use crate::credentials::KEY_ID;

/// Larger bodies are none of ours, in bytes.
const LARGEST_BODY: usize = 1024 * 1024;

/// 2026-11-30T12:00:00Z
const NOON: i64 = 1_796_040_000;

/// Answers by method, path and query.
type Copies = Arc<RwLock<HashMap<String, Bytes>>>;

/// The service, on a thread of its own.
pub struct Upstream {
    address: SocketAddr,
    copies: Copies,
    /// Why it ended, where it did so of itself.
    failure: Arc<OnceLock<std::io::Error>>,
    /// In this order: it is told to end, then waited for.
    _stop: DropGuard,
    thread: Joined,
}

struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // What it panicked of, it has said itself.
            let _ = thread.join();
        }
    }
}

impl Upstream {
    /// Serves until it is dropped.
    ///
    /// # Errors
    /// There is no port, or no thread.
    pub fn start(key_set: Bytes) -> Result<Self> {
        let copies = Copies::default();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot take a port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let (stopped, routes) = (stop.clone(), router(key_set, Arc::clone(&copies)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let failure = Arc::new(OnceLock::new());
        let serve = {
            let failure = Arc::clone(&failure);
            move || {
                let listener = listener.tap_io(|stream| {
                    // A small frame would wait for the acknowledgement of the one before.
                    let _ = stream.set_nodelay(true);
                });
                let served = stopped.run_until_cancelled(axum::serve(listener, routes).into_future());
                if let Some(Err(error)) = runtime.block_on(served) {
                    let _it_is_the_first = failure.set(error);
                }
            }
        };
        let thread = std::thread::Builder::new().name("upstream".into()).spawn(serve)?;
        Ok(Self {
            address,
            copies,
            failure,
            _stop: stop.drop_guard(),
            thread: Joined(Some(thread)),
        })
    }

    /// Whether it serves still: without it, it is errors that are measured.
    ///
    /// # Errors
    /// It has ended.
    pub fn check(&self) -> Result<()> {
        if !self.thread.0.as_ref().is_none_or(JoinHandle::is_finished) {
            return Ok(());
        }
        match self.failure.get() {
            Some(error) => bail!("the service behind the proxies ended: {error}"),
            None => bail!("the service behind the proxies ended"),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has plain HTTP answered with these bytes from now on.
    pub fn copy(&self, method: &http::Method, path: &str, answer: Bytes) {
        let mut copies = self.copies.write().unwrap_or_else(PoisonError::into_inner);
        copies.insert(format!("{method} {path}"), answer);
    }
}

fn router(key_set: Bytes, copies: Copies) -> Router {
    let keys = move |_: GetJwksRequest| HttpBody {
        content_type: "application/jwk-set+json".into(),
        data: key_set.clone(),
        ..HttpBody::default()
    };
    Router::new()
        .route("/voltgate.auth.v1.AuthService/GetJwks", unary(keys))
        .route(
            "/voltgate.auth.v1.VerificationService/WatchRevocations",
            post(revocations),
        )
        .route(
            "/voltgate.ocpp.v1.TransactionService/GetTransaction",
            unary(get_transaction),
        )
        .route(
            "/voltgate.ocpp.v1.TransactionService/ListTransactions",
            unary(list_transactions),
        )
        .route("/voltgate.ocpp.v1.IdTokenService/CreateIdToken", unary(create_id_token))
        .fallback(plain)
        .with_state(copies)
}

/// An RPC with one answer.
fn unary<Q, A>(answer: impl Fn(Q) -> A + Clone + Send + Sync + 'static) -> MethodRouter<Copies>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    post(move |request: Request| {
        let call = service_fn(move |request: tonic::Request<Q>| {
            let answer = answer(request.into_inner());
            async { Ok::<_, Status>(tonic::Response::new(answer)) }
        });
        async move {
            tonic::server::Grpc::new(ProstCodec::<A, Q>::default())
                .unary(call, request)
                .await
        }
    })
}

/// Nothing is revoked, for as long as anybody listens.
async fn revocations(request: Request) -> Response<tonic::body::Body> {
    type Told = BoxStream<'static, Result<WatchRevocationsResponse, Status>>;
    let call = service_fn(|_: tonic::Request<WatchRevocationsRequest>| async {
        let told = WatchRevocationsResponse {
            complete: true,
            key_ids: vec![KEY_ID.into()],
            keys_revision: 1,
            ..WatchRevocationsResponse::default()
        };
        let told: Told = stream::once(async { Ok(told) }).chain(stream::pending()).boxed();
        Ok::<_, Status>(tonic::Response::new(told))
    });
    let codec = ProstCodec::<WatchRevocationsResponse, WatchRevocationsRequest>::default();
    tonic::server::Grpc::new(codec).server_streaming(call, request).await
}

fn get_transaction(asked: GetTransactionRequest) -> Transaction {
    transaction(asked.id, "CP-1")
}

fn list_transactions(asked: ListTransactionsRequest) -> ListTransactionsResponse {
    let identity = asked.identity.unwrap_or_default();
    ListTransactionsResponse {
        transactions: (1..=asked.page_size).map(|id| transaction(id, &identity)).collect(),
        next_page_token: "bm90aGluZyB0byBzZWUgaGVyZQ".into(),
    }
}

fn create_id_token(asked: CreateIdTokenRequest) -> IdToken {
    IdToken {
        id_token: asked.id_token,
        r#type: asked.r#type.unwrap_or_default(),
        group_id: asked.group_id,
        expires_at: asked.expires_at,
        blocked: asked.blocked,
        created_at: Some(after_noon(0)),
        max_concurrent_transactions: asked.max_concurrent_transactions,
        allowed_locations: asked.allowed_locations,
        account_id: asked.account_id,
    }
}

fn transaction(id: i32, identity: &str) -> Transaction {
    Transaction {
        id,
        identity: identity.into(),
        connector_id: 1,
        id_token: "04A1B2C3".into(),
        status: "completed".into(),
        meter_start_wh: Some(1042),
        meter_stop_wh: Some(9042),
        energy_wh: Some(8000),
        started_at: Some(after_noon(0)),
        stopped_at: Some(after_noon(3600)),
        start_received_at: Some(after_noon(1)),
        stop_received_at: Some(after_noon(3601)),
        stop_reason: Some("EVDisconnected".into()),
        total_cost: Some("10.13".into()),
        currency: Some("EUR".into()),
        ..Transaction::default()
    }
}

fn after_noon(seconds: i64) -> Timestamp {
    Timestamp {
        seconds: NOON + seconds,
        nanos: 0,
    }
}

/// The same by plain HTTP.
async fn plain(State(copies): State<Copies>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let asked = format!("{} {path}", request.method());
    if axum::body::to_bytes(request.into_body(), LARGEST_BODY).await.is_err() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let copies = copies.read().unwrap_or_else(PoisonError::into_inner);
    match copies.get(&asked) {
        Some(answer) => ([(header::CONTENT_TYPE, "application/json")], answer.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_service_that_has_ended_is_noticed() {
        let mut upstream = Upstream::start(Bytes::new()).unwrap();
        upstream.check().unwrap();
        let ended = std::thread::spawn(|| {});
        while !ended.is_finished() {
            std::thread::yield_now();
        }
        let serving = upstream.thread.0.replace(ended);
        assert!(upstream.check().is_err());
        upstream.thread.0 = serving;
        upstream.check().unwrap();
    }
}
