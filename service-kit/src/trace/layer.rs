//! The layer outside of every gRPC service: a call goes on with the trace that its caller names.

use std::task::{Context as Task, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use opentelemetry::trace::SpanKind;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::context::Context;
use super::tracer::{Parent, Tracer};

/// The name of the request, as the gateway tells it.
const REQUEST_ID: &str = "x-request-id";

/// Calls of our own protos. Health and reflection are nobody's request.
const OURS: &str = "/voltgate.";

/// Longer names are none of an RPC.
const LONGEST_NAME: usize = 200;

/// A span for each call, from when it is here until its answer begins.
#[derive(Clone, Debug, Default)]
pub struct TraceLayer(Tracer);

impl TraceLayer {
    pub fn new(tracer: Tracer) -> Self {
        Self(tracer)
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Traced {
            inner,
            tracer: self.0.clone(),
        }
    }
}

/// A service behind [`TraceLayer`].
#[derive(Clone)]
pub struct Traced<S> {
    inner: S,
    tracer: Tracer,
}

impl<S, B> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        if !path.starts_with(OURS) {
            return Box::pin(self.inner.call(request));
        }
        // Whoever reaches a service is inside: what it says of the trace is believed.
        let parent = Parent::believed(Context::read(request.headers()));
        let named = request.headers().get(REQUEST_ID).cloned();
        let name = || {
            path.trim_start_matches('/')
                .chars()
                .take(LONGEST_NAME)
                .collect::<String>()
        };
        let mut span = self.tracer.begin(parent, SpanKind::Server, || name().into());
        span.set("rpc.system.name", || "grpc");
        span.set("rpc.method", name);
        let span = span.of_request(named);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut span = span;
            let answer = span.scope(answer).await;
            if span.is_recorded()
                && let Ok(answer) = &answer
            {
                // One that succeeded says so behind its messages only.
                let code = Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
                span.set("rpc.response.status_code", || format!("{code:?}"));
                if is_our_fault(code) {
                    span.fail(format!("{code:?}"));
                }
            }
            answer
        })
    }
}

/// As OpenTelemetry's conventions for gRPC servers have it.
fn is_our_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
