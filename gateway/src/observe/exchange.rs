//! One request and its answer, as the log and the metrics tell it. Whatever becomes of it, there is one line.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderMap};
use metrics::Gauge;
use service_kit::trace::{Place, Span};
use tokio::time::Instant;
use tonic::Code;
use tracing::field::display;
use tracing::{info, warn};

use super::codes::{code, is_our_fault};
use super::meters::method_label;
use super::notes::{self, Notes};
use super::route::Route;
use super::traces::{self, Outcome};
use crate::client::Client;
use crate::gateway::Gateway;
use crate::problem::Failed;
use crate::request_id::RequestId;

/// What others write where a client went away before there was an answer.
const CLIENT_WENT_AWAY: u16 = 499;

static IN_FLIGHT: LazyLock<Gauge> = LazyLock::new(|| metrics::gauge!("voltgate_gateway_requests_in_flight"));

pub struct Exchange {
    gateway: Gateway,
    method: &'static str,
    started: Instant,
    id: RequestId,
    client: Option<Client>,
    notes: Arc<Notes>,
    /// As the client announced it.
    content_length: Option<u64>,
    /// Where in its trace it is.
    place: Option<Place>,
    /// Until it ends.
    span: Option<Span>,
    under_way: Option<UnderWay>,
    answer: Option<Answer>,
    is_told: bool,
}

/// What is known of an answer when it begins; of a call, more becomes known when it ends.
struct Answer {
    route: Route,
    status: u16,
    reason: Option<&'static str>,
    code: Option<Code>,
}

impl Answer {
    /// There is none, for nobody waited.
    fn none(route: Route) -> Self {
        Self {
            code: matches!(route, Route::Grpc(_)).then_some(Code::Cancelled),
            route,
            status: CLIENT_WENT_AWAY,
            reason: None,
        }
    }

    fn is_of_call(&self) -> bool {
        self.code.is_some() || matches!(self.route, Route::Grpc(_))
    }

    /// By this side's fault. That there is no such RPC is so only where there should be.
    fn is_failure(&self) -> bool {
        let is_call_of_ours = matches!(self.route, Route::Grpc(_));
        self.status >= 500 || is_call_of_ours && self.code.is_some_and(is_our_fault)
    }
}

/// A request that waits for its answer.
struct UnderWay;

impl UnderWay {
    fn begin() -> Self {
        IN_FLIGHT.increment(1.0);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        IN_FLIGHT.decrement(1.0);
    }
}

impl Exchange {
    pub fn begin(gateway: &Gateway, request: &Request, route: Route, span: Span) -> Self {
        let length = request.headers().get(header::CONTENT_LENGTH);
        Self {
            gateway: gateway.clone(),
            method: method_label(request.method()),
            started: Instant::now(),
            id: request.extensions().get::<RequestId>().cloned().unwrap_or_default(),
            client: request.extensions().get::<Client>().cloned(),
            notes: Arc::new(Notes::of(route)),
            content_length: length.and_then(|length| length.to_str().ok()?.parse().ok()),
            place: span.place().cloned(),
            span: Some(span),
            under_way: Some(UnderWay::begin()),
            answer: None,
            is_told: false,
        }
    }

    pub fn notes(&self) -> Arc<Notes> {
        Arc::clone(&self.notes)
    }

    /// Works for it, in its trace and with its notes at hand.
    pub fn work<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        service_kit::trace::within(self.place.clone(), notes::keep(self.notes(), work))
    }

    /// The same for what is polled by the task that sends its answer.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        notes::within(&self.notes, || match &self.place {
            Some(place) => place.enter(work),
            None => work(),
        })
    }

    /// The status is known, and the time that it took.
    pub fn begins_answer(&mut self, response: &Response) {
        self.under_way = None;
        let answer = Answer {
            route: self.notes.route(),
            status: response.status().as_u16(),
            reason: response.extensions().get::<Failed>().map(|failed| failed.0.as_str()),
            code: code(response.headers()),
        };
        self.measure(&answer);
        // A call says at its end whether it succeeded.
        if !answer.is_of_call() {
            self.end_span(&answer);
        }
        self.answer = Some(answer);
    }

    pub fn reads_trailers(&mut self, trailers: &HeaderMap) {
        if let Some(answer) = &mut self.answer {
            answer.code = code(trailers).or(answer.code);
        }
    }

    /// All of the answer has gone.
    pub fn ends_answer(&mut self, bytes: u64) {
        self.end(bytes, None);
    }

    /// The client did not take all of it, or there was no more of it.
    pub fn breaks_off(&mut self, bytes: u64) {
        let is_without_body = |answer: &Answer| matches!(answer.status, 101 | 204 | 304);
        let has_body = self.method != "HEAD" && !self.answer.as_ref().is_some_and(is_without_body);
        self.end(bytes, has_body.then_some(true));
    }

    fn measure(&self, answer: &Answer) {
        answer
            .route
            .meters()
            .answered(self.method, answer.status, self.started.elapsed());
    }

    fn end_span(&mut self, answer: &Answer) {
        if let Some(span) = self.span.take() {
            let outcome = Outcome {
                method: self.method,
                route: answer.route.label(),
                status: answer.status,
                reason: answer.reason,
                code: answer.code,
                is_failure: answer.is_failure(),
            };
            traces::end(span, &outcome);
        }
    }

    fn end(&mut self, bytes: u64, broken_off: Option<bool>) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let answer = self.answer.take();
        let is_answered = answer.is_some();
        let mut answer = answer.unwrap_or_else(|| Answer::none(self.notes.route()));
        if !is_answered {
            self.measure(&answer);
        }
        if answer.is_of_call() {
            // Who goes away before the end takes the call back.
            let code = *answer.code.get_or_insert(Code::Cancelled);
            answer.route.meters().called(code);
        }
        self.end_span(&answer);
        self.tell(&answer, is_answered, bytes, broken_off);
    }

    /// Whatever costs something is written only where somebody reads it.
    fn tell(&self, answer: &Answer, is_answered: bool, bytes: u64, broken_off: Option<bool>) {
        let (method, route) = (self.method, answer.route.label());
        let (status, reason) = (answer.status, answer.reason);
        let grpc_status = answer.code.map(|code| code as i32);
        let known = self.notes.take();
        let replica = known.replica.as_ref();
        let milliseconds = milliseconds(self.started.elapsed());
        let bytes_in = self
            .content_length
            .unwrap_or_else(|| self.notes.bytes_in.load(Ordering::Relaxed));
        let bytes_out = if method == "HEAD" { 0 } else { bytes };
        let request_id = self.id.as_str();
        let trace_id = self.place.as_ref().map(|place| display(place.context.trace_id));
        let client = self.client.as_ref().map(|client| display(client.address));
        let user_agent = self.client.as_ref().and_then(Client::device);
        let account = known.account.map(display);
        let upstream = replica.map(|asked| &*asked.upstream);
        let upstream_milliseconds = replica.and_then(|asked| asked.took).map(self::milliseconds);
        let replica = replica.map(|asked| display(asked.address));
        let attempts = (known.attempts > 1).then_some(known.attempts);
        if answer.is_failure() {
            let open_sockets = self.gateway.sockets.open();
            warn!(
                method,
                route,
                status,
                reason,
                grpc_status,
                milliseconds,
                bytes_in,
                bytes_out,
                broken_off,
                client,
                user_agent,
                account,
                upstream,
                replica,
                upstream_milliseconds,
                attempts,
                request_id,
                trace_id,
                open_sockets,
                "A request failed"
            );
        } else if !is_answered {
            info!(
                method,
                route,
                status,
                grpc_status,
                milliseconds,
                bytes_in,
                client,
                user_agent,
                account,
                upstream,
                replica,
                attempts,
                request_id,
                trace_id,
                "A client went away before its request was answered"
            );
        } else {
            info!(
                method,
                route,
                status,
                reason,
                grpc_status,
                milliseconds,
                bytes_in,
                bytes_out,
                broken_off,
                client,
                user_agent,
                account,
                upstream,
                replica,
                upstream_milliseconds,
                attempts,
                request_id,
                trace_id,
                "A request was answered"
            );
        }
    }
}

impl Drop for Exchange {
    /// What was not told before never had an answer.
    fn drop(&mut self) {
        self.end(0, None);
    }
}

/// To the microsecond.
fn milliseconds(time: std::time::Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
