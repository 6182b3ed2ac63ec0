//! One request and its answer, as the log and the metrics tell it. Whatever becomes of it, there is one line.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::Request;
use http::header::{self, HeaderMap};
use http::{Method, StatusCode};
use metrics::Gauge;
use service_kit::trace::{Place, Span};
use tokio::time::Instant;
use tracing::{info, warn};

use super::notes::Notes;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::request_id::RequestId;

/// What others write where a client went away before there was an answer.
const CLIENT_WENT_AWAY: u16 = 499;

const GRPC_STATUS: &str = "grpc-status";

pub struct Exchange {
    gateway: Gateway,
    method: Method,
    started: Instant,
    id: RequestId,
    client: Option<Client>,
    notes: Arc<Notes>,
    /// As the client announced it.
    content_length: Option<u64>,
    /// Where in its trace it is.
    pub place: Option<Place>,
    under_way: Option<UnderWay>,
    answer: Option<Answer>,
    is_told: bool,
}

struct Answer {
    route: String,
    status: u16,
    reason: Option<&'static str>,
    grpc_status: Option<u16>,
}

/// A request that waits for its answer.
struct UnderWay(Gauge);

impl UnderWay {
    fn begin() -> Self {
        let gauge = metrics::gauge!("voltgate_gateway_requests_in_flight");
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Exchange {
    pub fn begin(gateway: &Gateway, request: &Request, span: &Span) -> Self {
        let length = request.headers().get(header::CONTENT_LENGTH);
        Self {
            gateway: gateway.clone(),
            method: request.method().clone(),
            started: Instant::now(),
            id: request.extensions().get::<RequestId>().cloned().unwrap_or_default(),
            client: request.extensions().get::<Client>().cloned(),
            notes: Arc::default(),
            content_length: length.and_then(|length| length.to_str().ok()?.parse().ok()),
            place: span.place().cloned(),
            under_way: Some(UnderWay::begin()),
            answer: None,
            is_told: false,
        }
    }

    pub fn notes(&self) -> Arc<Notes> {
        Arc::clone(&self.notes)
    }

    /// The status is known, and the time that it took.
    pub fn begins_answer(
        &mut self,
        route: &str,
        status: StatusCode,
        reason: Option<&'static str>,
        headers: &HeaderMap,
    ) {
        self.under_way = None;
        self.measure(route, status.as_u16());
        self.answer = Some(Answer {
            route: route.to_owned(),
            status: status.as_u16(),
            reason,
            grpc_status: grpc_status(headers),
        });
    }

    /// A call of gRPC says at its end whether it succeeded.
    pub fn reads_trailers(&mut self, trailers: &HeaderMap) {
        if let Some(answer) = &mut self.answer {
            answer.grpc_status = grpc_status(trailers);
        }
    }

    /// All of the answer has gone.
    pub fn ends_answer(&mut self, bytes: u64) {
        self.tell(bytes, None);
    }

    /// The client did not take all of it, or there was no more of it.
    pub fn breaks_off(&mut self, bytes: u64) {
        let has_body = self.method != Method::HEAD && !matches!(self.status(), 101 | 204 | 304);
        self.tell(bytes, has_body.then_some(true));
    }

    pub fn method(&self) -> &'static str {
        method_label(&self.method)
    }

    pub fn route(&self) -> &str {
        self.answer.as_ref().map_or("none", |answer| &answer.route)
    }

    pub fn status(&self) -> u16 {
        self.answer.as_ref().map_or(CLIENT_WENT_AWAY, |answer| answer.status)
    }

    fn measure(&self, route: &str, status: u16) {
        let labels = [("route", route.to_owned()), ("method", self.method().to_owned())];
        metrics::histogram!("voltgate_gateway_request_seconds", &labels).record(self.started.elapsed());
        metrics::counter!("voltgate_gateway_requests_total", "route" => route.to_owned(), "method" => self.method(),
            "status" => status.to_string())
        .increment(1);
    }

    fn tell(&mut self, bytes: u64, broken_off: Option<bool>) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let (method, route, status) = (self.method(), self.route(), self.status());
        let known = self.notes.known();
        let replica = known.replica.as_ref();
        let milliseconds = milliseconds(self.started.elapsed());
        let bytes_in = self
            .content_length
            .unwrap_or_else(|| self.notes.bytes_in.load(Ordering::Relaxed));
        let bytes_out = if self.method == Method::HEAD { 0 } else { bytes };
        let request_id = self.id.as_str();
        let trace_id = self.place.as_ref().map(|place| place.context.trace_id.to_string());
        let trace_id = trace_id.as_deref();
        let client = self.client.as_ref().map(|client| client.address.to_string());
        let client = client.as_deref();
        let user_agent = self.client.as_ref().and_then(Client::device);
        let account = known.account.map(|account| account.to_string());
        let account = account.as_deref();
        let upstream = replica.map(|asked| &*asked.upstream);
        let upstream_milliseconds = replica.and_then(|asked| asked.took).map(self::milliseconds);
        let replica = replica.map(|asked| asked.address.to_string());
        let replica = replica.as_deref();
        let attempts = (known.attempts > 1).then_some(known.attempts);
        let reason = self.answer.as_ref().and_then(|answer| answer.reason);
        let grpc_status = self.answer.as_ref().and_then(|answer| answer.grpc_status);
        if status >= 500 {
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
        } else if self.answer.is_none() {
            info!(
                method,
                status,
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
        if !self.is_told {
            if self.answer.is_none() {
                self.measure("none", CLIENT_WENT_AWAY);
            }
            self.tell(0, None);
        }
    }
}

/// To the microsecond.
fn milliseconds(time: std::time::Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// Methods are free text; a label is not.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
