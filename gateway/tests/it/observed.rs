//! What the log and the metrics tell of requests, as one thread sees it: a test's own.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tonic::Request;
use tracing::subscriber::DefaultGuard;

use crate::echo::{Echo, SERVICE};
use crate::http2::Http2;
use crate::listed::Listed;
use crate::system::{PATIENCE, System};

/// The lines that are logged on this thread.
struct Log {
    written: Written,
    _for_now: DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn begin() -> Self {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        Self {
            written,
            _for_now: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The one line about requests for a route, when it is there.
    async fn line(&self, route: &str) -> Value {
        let started = Instant::now();
        loop {
            let text = String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let lines: Vec<_> = lines
                .filter(|line| line["route"] == route && line["method"].is_string())
                .collect();
            assert!(lines.len() < 2, "{lines:#?}");
            if let Some(line) = lines.into_iter().next() {
                return line;
            }
            assert!(started.elapsed() < PATIENCE, "no line about {route}: {text}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// What a series is at, where it is there.
fn value(recorder: &PrometheusRecorder, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let text = recorder.handle().render();
    let mut series = text.lines().filter(|line| {
        let is_label = |(label, value): &(&str, &str)| line.contains(&format!("{label}=\"{value}\""));
        line.starts_with(&format!("{name}{{")) && labels.iter().all(is_label)
    });
    let found = series.next()?;
    assert_eq!(series.next(), None, "{found}");
    found.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn a_call_is_counted_by_the_code_that_it_ends_with_and_warned_of_where_that_is_our_fault() {
    let recorder = recorder();
    let _for_now = metrics::set_default_local_recorder(&recorder);
    let log = Log::begin();
    let echo = Echo::start().await;
    let route = |rpc: &str| format!("/{SERVICE}/{rpc}");
    let counted = |rpc: &str, code: &str| {
        let labels = [("route", route(rpc)), ("code", code.to_owned())];
        let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
        value(&recorder, "voltgate_gateway_grpc_total", &labels)
    };

    let messages = futures_util::stream::iter(["a".to_owned(), "fail".to_owned()]);
    let mut failing = echo.stream("Chat", messages).await.unwrap().into_inner();
    while failing.message().await.is_ok() {}
    let line = log.line(&route("Chat")).await;
    assert_eq!(
        (&line["level"], &line["grpc_status"], &line["status"]),
        (&json!("WARN"), &json!(15), &json!(200)),
        "{line}"
    );
    assert_eq!(line.get("broken_off"), None, "{line}");
    assert_eq!(counted("Chat", "DataLoss"), Some(1.0));

    echo.say("Say", "taken").await.unwrap_err();
    let line = log.line(&route("Say")).await;
    assert_eq!(
        (&line["level"], &line["grpc_status"]),
        (&json!("INFO"), &json!(6)),
        "{line}"
    );
    echo.say("Say", "hello").await.unwrap();
    assert_eq!(
        (counted("Say", "AlreadyExists"), counted("Say", "Ok")),
        (Some(1.0), Some(1.0))
    );
    for code in ["AlreadyExists", "Ok"] {
        let labels = [("upstream", "ocpp"), ("code", code)];
        let measured = value(&recorder, "voltgate_gateway_upstream_seconds_count", &labels);
        assert_eq!(measured, Some(1.0), "{code}");
    }

    // Whoever calls what there is not must not be able to raise an alarm.
    echo.say("Nothing", "hello").await.unwrap_err();
    let line = log.line("none").await;
    assert_eq!(
        (&line["level"], &line["grpc_status"]),
        (&json!("INFO"), &json!(12)),
        "{line}"
    );
}

#[tokio::test]
async fn a_request_that_its_client_gave_up_is_told_with_its_route() {
    let recorder = recorder();
    let _for_now = metrics::set_default_local_recorder(&recorder);
    let log = Log::begin();
    let system = System::start().await;
    let signup = system.post("/auth/signup").json(&json!({"username": "slow"})).send();
    timeout(Duration::from_millis(500), signup).await.unwrap_err();
    let line = log.line("/auth/signup").await;
    assert_eq!(
        (&line["status"], &line["upstream"]),
        (&json!(499), &json!("auth")),
        "{line}"
    );
    let labels = [("route", "/auth/signup"), ("method", "POST"), ("status", "499")];
    assert_eq!(value(&recorder, "voltgate_gateway_requests_total", &labels), Some(1.0));

    let echo = Echo::start().await;
    let waiting = echo.unary("Say", Request::new("wait".to_owned()));
    timeout(Duration::from_millis(500), waiting).await.unwrap_err();
    let route = format!("/{SERVICE}/Say");
    let line = log.line(&route).await;
    assert_eq!(
        (&line["status"], &line["grpc_status"]),
        (&json!(499), &json!(1)),
        "{line}"
    );
    let labels = [("route", route.as_str()), ("code", "Cancelled")];
    assert_eq!(value(&recorder, "voltgate_gateway_grpc_total", &labels), Some(1.0));
}

#[tokio::test]
async fn a_file_is_told_with_every_call_that_it_took() {
    let log = Log::begin();
    let mut listed = Listed::start().await;
    let answer = listed.get("/topics/2500/rows", "text/csv").await;
    answer.bytes().await.unwrap();
    let line = log.line("/topics/{topic}/rows").await;
    let pages = listed.pages().len();
    assert!(pages > 1);
    assert_eq!(
        (&line["attempts"], &line["upstream"]),
        (&json!(pages), &json!("ocpp")),
        "{line}"
    );
}

#[tokio::test]
async fn a_large_answer_is_told_when_it_has_gone_and_not_before() {
    let log = Log::begin();
    let system = System::start().await;
    let client = Http2::connect_without_window(system.address).await;
    let answer = timeout(PATIENCE, client.get("/openapi.json", "*/*").await)
        .await
        .expect("the head")
        .unwrap();
    assert_eq!(answer.status(), 200);
    drop((answer, client));
    let line = log.line("/openapi.json").await;
    assert_eq!(line["broken_off"], true, "{line}");
    // What the connection has taken, and nobody from it.
    assert!(line["bytes_out"].as_u64().unwrap() <= 64 * 1024, "{line}");
}
