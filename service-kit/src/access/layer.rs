//! The layer round every service that tells who calls and lets in whom the rule lets in.

use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, header};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::admission::Admission;
use super::caller::Caller;
use super::client::{self, Client};
use super::peer;
use super::rule::{Rules, Who};
use super::verifier::Verifier;
use crate::tls::Peer;

/// Rules and a verifier: all that is needed to decide about a call.
#[derive(Clone)]
pub struct Access {
    rules: Arc<Rules>,
    verifier: Verifier,
}

impl Access {
    pub fn new(rules: Rules, verifier: Verifier) -> Self {
        Self {
            rules: Arc::new(rules),
            verifier,
        }
    }

    /// Decides about a call of the RPC at `path` (`/package.Service/Method`) with these headers, by them alone.
    ///
    /// # Errors
    /// The credentials are not valid, or not enough.
    pub async fn admit(&self, path: &str, headers: &HeaderMap) -> Result<Caller, Status> {
        self.admit_peer(path, headers, None).await
    }

    /// The same, with the one who calls where they are refused, too, as far as they have proven who they are. All is decided here but
    /// whether an API key that was not seen before is one: before auth-service is asked about that, `leave` is waited for, and where
    /// there is none, its status is the judgement.
    pub async fn judge<L>(&self, path: &str, headers: &HeaderMap, leave: impl Fn() -> L) -> (Caller, Result<(), Status>)
    where
        L: Future<Output = Result<(), Status>>,
    {
        self.judge_peer(path, headers, None, leave).await
    }

    /// [`Access::admit`] where the connection may have proven something too.
    ///
    /// A public RPC is open to a caller whose token is not valid too: logging in again must not fail because of the
    /// token that expired.
    ///
    /// # Errors
    /// The credentials are not valid, or not enough.
    async fn admit_peer(&self, path: &str, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller, Status> {
        let (caller, judgement) = self.judge_peer(path, headers, peer, || ready(Ok(()))).await;
        judgement.map(|()| caller)
    }

    async fn judge_peer<L>(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Option<&Peer>,
        leave: impl Fn() -> L,
    ) -> (Caller, Result<(), Status>)
    where
        L: Future<Output = Result<(), Status>>,
    {
        let Some(rule) = self.rules.get(path).filter(|rule| rule.who != Who::Public) else {
            return (Caller::Anonymous, Ok(()));
        };
        if rule.who == Who::Internal
            && let Some(process) = peer::proven(headers, peer)
        {
            return (Caller::Service { name: process.into() }, Ok(()));
        }
        let authorization = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
        match self.verifier.caller(authorization, leave).await {
            Ok(caller) => {
                let judgement = rule.admit(&caller);
                (caller, judgement)
            }
            Err(status) => (Caller::Anonymous, Err(status)),
        }
    }

    /// Keeps what tokens are verified by up to date, for as long as it is polled. Whoever serves has it run beside.
    pub async fn follow(&self) {
        self.verifier.follow().await;
    }

    /// Who is at the other end. What a peer reports counts if it proves to be one of our own processes.
    fn client(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Client {
        let is_ours = || {
            peer::is_process(peer)
                || headers
                    .get(client::REPORTER)
                    .is_some_and(|token| self.verifier.is_service(token.as_bytes()))
        };
        Client::reported(headers)
            .filter(|_| is_ours())
            .unwrap_or_else(|| Client::direct(peer.and_then(|peer| peer.address), headers))
    }
}

/// Puts [`Access`] round a gRPC service, and the [`Caller`], the [`Client`] and the [`Admission`] into each request's
/// extensions.
#[derive(Clone)]
pub struct AccessLayer(Access);

impl AccessLayer {
    pub fn new(access: Access) -> Self {
        Self(access)
    }

    pub(crate) fn access(&self) -> Access {
        self.0.clone()
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded {
            inner,
            access: self.0.clone(),
        }
    }
}

/// A service behind [`AccessLayer`].
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    access: Access,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let access = self.access.clone();
        // The instance that said it is ready must be the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let peer = request.extensions().get::<Peer>().cloned();
            let admitted = access.admit_peer(request.uri().path(), request.headers(), peer.as_ref());
            match admitted.await {
                Ok(caller) => {
                    let client = access.client(request.headers(), peer.as_ref());
                    let admission = Admission::new(access, request.uri().clone(), request.headers(), &caller);
                    request.extensions_mut().insert(admission);
                    request.extensions_mut().insert(caller);
                    request.extensions_mut().insert(client);
                    inner.call(request).await
                }
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}
