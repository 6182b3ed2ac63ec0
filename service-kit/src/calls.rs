//! What every call of a service is held to: a deadline, and a place among those that are under way.
//!
//! Charge points' streams are no calls: they stay, and are many. Nor are health checks and reflection, which must be
//! answered above all when there is too much to do.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{Request, Response};
use prost_reflect::DescriptorPool;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::deadline;
use crate::reason::Reason;

/// How long a caller should wait that was sent away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Puts a deadline and a bound round the RPCs of Voltgate that have one request and one answer.
#[derive(Clone)]
pub struct CallsLayer {
    paths: Arc<HashSet<String>>,
    places: Arc<Semaphore>,
}

impl CallsLayer {
    /// So many calls may be under way. Beyond it a caller is sent away at once: the database has a few dozen connections, so a
    /// thousand calls are seconds of work, and one more would only wait until nobody wants its answer.
    pub fn new(protos: &DescriptorPool, places: usize) -> Self {
        let methods = protos
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>());
        let calls = methods.filter(|method| !method.is_client_streaming() && !method.is_server_streaming());
        let path = |method: prost_reflect::MethodDescriptor| {
            format!("/{}/{}", method.parent_service().full_name(), method.name())
        };
        Self {
            paths: Arc::new(calls.map(path).collect()),
            places: Arc::new(Semaphore::new(places)),
        }
    }
}

impl<S> Layer<S> for CallsLayer {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Bounded {
            inner,
            calls: self.clone(),
        }
    }
}

/// A service behind [`CallsLayer`].
#[derive(Clone)]
pub struct Bounded<S> {
    inner: S,
    calls: CallsLayer,
}

impl<S, B> Service<Request<B>> for Bounded<S>
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.calls.paths.contains(request.uri().path()) {
            return Box::pin(self.inner.call(request));
        }
        let Ok(place) = Arc::clone(&self.calls.places).try_acquire_owned() else {
            metrics::counter!("voltgate_calls_shed_total").increment(1);
            let shed = Reason::Overloaded.retry_after(RETRY_AFTER, "The service has too much to do just now");
            return Box::pin(async move { Ok(shed.into_http()) });
        };
        let time = deadline::asked(request.headers());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let _place = place;
            deadline::within(time, answer).await.unwrap_or_else(|| {
                let late = Reason::DeadlineExceeded.status("The time for this call is over");
                Ok(late.into_http())
            })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;

    use tonic::{Code, Status};
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const CALL: &str = "/voltgate.ocpp.v1.CommandService/GetCommand";
    const STREAM: &str = "/voltgate.ocpp.v1.SessionService/Open";
    const HEALTH: &str = "/grpc.health.v1.Health/Check";

    /// The status of a request to a service that never answers; none where it is still at it.
    async fn status(layer: &CallsLayer, path: &str, timeout: &str) -> Option<Code> {
        let never = service_fn(|_: Request<()>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let request = Request::post(path).header(deadline::HEADER, timeout).body(()).unwrap();
        let answer = layer.layer(never).oneshot(request);
        let answer = tokio::time::timeout(Duration::from_secs(10), answer).await.ok()?;
        Status::from_header_map(answer.unwrap().headers()).map(|status| status.code())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline_and_a_stream_does_not() {
        let layer = CallsLayer::new(voltgate_proto::pool(), 1000);
        assert_eq!(status(&layer, CALL, "2S").await, Some(Code::DeadlineExceeded));
        assert_eq!(status(&layer, STREAM, "2S").await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_too_many_is_sent_away_at_once_and_nothing_else_is() {
        let layer = CallsLayer::new(voltgate_proto::pool(), 1);
        let taken = {
            let layer = layer.clone();
            tokio::spawn(async move { status(&layer, CALL, "5S").await })
        };
        tokio::task::yield_now().await;
        assert_eq!(status(&layer, CALL, "1S").await, Some(Code::Unavailable));
        for uncounted in [STREAM, HEALTH] {
            assert_eq!(status(&layer, uncounted, "1S").await, None, "{uncounted}");
        }
        assert_eq!(taken.await.unwrap(), Some(Code::DeadlineExceeded));
        assert_eq!(status(&layer, CALL, "1S").await, Some(Code::DeadlineExceeded));
    }
}
