//! A request is followed through every process that works for it, and nobody's secret goes along.

use std::time::Duration;

use e2e::all_in_one::{ADMIN_PASSWORD, Voltgate};
use e2e::collector::{Collector, Span};
use e2e::exposition::Exposition;
use e2e::python::Script;
use e2e::wait::until;
use reqwest::Method;
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const STATION_PASSWORD: &str = "a-password-for-CP1";

async fn traced(settings: &[(&str, &str)]) -> (Collector, Voltgate) {
    let collector = Collector::start().await;
    let endpoint = collector.url();
    let all = [
        ("ADMIN_PASSWORD", ADMIN_PASSWORD),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=of-the-collector"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let all: Vec<_> = all.into_iter().chain(settings.iter().copied()).collect();
    (collector, Voltgate::start_with(&all).await)
}

/// The one span that is meant.
fn one<'a>(spans: &'a [Span], service: &str, name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.service == service && span.name == name);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("{service} has no {name}: {spans:#?}"));
    assert!(found.next().is_none(), "{service} has {name} twice: {spans:#?}");
    span
}

/// Whether `span` is somewhere below `root`.
fn is_below(spans: &[Span], span: &Span, root: &Span) -> bool {
    let mut at = span;
    for _ in 0..spans.len() {
        if at.parent == root.id {
            return true;
        }
        match spans.iter().find(|other| other.id == at.parent) {
            Some(parent) => at = parent,
            None => return false,
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_trace_from_the_door_to_the_statements_and_a_command_goes_on_to_its_charge_point() {
    let (collector, mut voltgate) = traced(&[]).await;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [
        ("content-type", "application/json"),
        ("traceparent", traceparent.as_str()),
        ("tracestate", "vendor=opaque"),
        ("x-request-id", "the-login"),
        ("cookie", "session=secret-cookie"),
    ];
    let body = json!({ "username": "admin", "password": ADMIN_PASSWORD }).to_string();
    let path = "/auth/login?access_token=secret-query";
    let api = voltgate.api();
    let answer = api
        .send(Method::POST, "/auth/login", &headers, body.clone())
        .await
        .expect(201);
    // A query is none of its own; the answer does not matter.
    let headers = [headers[0], headers[4], ("x-request-id", "another")];
    let _refused = api.send(Method::POST, path, &headers, body).await;
    let token = answer["accessToken"].as_str().unwrap();

    let spans = until("the spans of the login are here", async || {
        let spans = collector.trace(TRACE);
        let complete = ["gateway", "auth-service"].iter().all(|service| {
            spans
                .iter()
                .any(|span| span.service == *service && span.name.contains("login") || span.name.contains("LogIn"))
        });
        (complete && spans.iter().any(|span| span.says("db.system.name") == "postgresql")).then_some(spans)
    })
    .await;
    let door = spans
        .iter()
        .find(|span| span.parent == PARENT)
        .expect("somebody takes the trace over");
    assert_eq!(
        (door.service.as_str(), door.name.as_str()),
        ("gateway", "POST /auth/login")
    );
    assert_eq!(
        (door.says("http.route"), door.says("http.response.status_code")),
        ("/auth/login", "201")
    );
    assert_eq!(
        (door.says("voltgate.request.id"), door.state.as_str()),
        ("the-login", "vendor=opaque")
    );
    let call = spans
        .iter()
        .find(|span| span.parent == door.id)
        .expect("the gateway calls a service");
    assert_eq!(
        (call.service.as_str(), call.says("rpc.system.name")),
        ("gateway", "grpc")
    );
    let served = spans
        .iter()
        .find(|span| span.parent == call.id)
        .expect("the service is called");
    assert_eq!(
        (&served.service, &served.name),
        (&"auth-service".to_owned(), &call.name)
    );
    assert_eq!(served.says("voltgate.request.id"), "the-login");
    let statement = spans
        .iter()
        .find(|span| span.parent == served.id)
        .expect("the service asks its database");
    assert_eq!(statement.says("db.system.name"), "postgresql");
    assert!(statement.says("db.query.text").len() > 10, "{statement:?}");
    assert!(door.time.0 <= served.time.0 && statement.time.1 <= door.time.1 + 1_000_000_000);

    let operator = api.with_token(token);
    let command = start_remotely(&voltgate, &operator).await;
    let spans = until("the trace of the command is here", async || {
        let all = collector.spans();
        let call = all
            .iter()
            .find(|span| span.says("voltgate.command.id") == command && span.name.starts_with("CALL"))?;
        let spans = collector.trace(&call.trace);
        spans.iter().any(|span| span.name.starts_with("POST ")).then_some(spans)
    })
    .await;
    let door = one(
        &spans,
        "gateway",
        "POST /ocpp/charge-points/{identity}/commands/{action}",
    );
    let call = one(&spans, "charger-service", "CALL RemoteStartTransaction");
    assert!(is_below(&spans, call, door), "{spans:#?}");
    assert_eq!(
        (call.says("voltgate.charge_point.identity"), call.says("ocpp.outcome")),
        ("CP1", "accepted")
    );
    let stored = spans
        .iter()
        .any(|span| is_below(&spans, span, call) && span.says("db.system.name") == "postgresql");
    assert!(stored, "the answer is stored in the same trace");

    let boot = until("what the charge point said is here", async || {
        let mut spans = collector.spans().into_iter();
        spans.find(|span| span.name == "CALL BootNotification")
    })
    .await;
    assert_eq!(
        (boot.parent.as_str(), boot.says("ocpp.direction")),
        ("", "from_station")
    );
    assert_eq!(
        (boot.says("ocpp.outcome"), boot.says("voltgate.charge_point.identity")),
        ("result", "CP1")
    );

    assert_eq!(collector.header("x-api-key").as_deref(), Some("of-the-collector"));
    voltgate.process.stop().await;
    let everything = format!("{:?}", collector.spans());
    for secret in [
        ADMIN_PASSWORD,
        token,
        "secret-query",
        "secret-cookie",
        STATION_PASSWORD,
        "of-the-collector",
        "CARD1",
    ] {
        assert!(!everything.contains(secret), "{secret} is in a span");
    }
    assert!(!voltgate.process.log().contains("of-the-collector"));
}

/// The id of a command that a charge point has taken.
async fn start_remotely(voltgate: &Voltgate, operator: &e2e::api::Api) -> String {
    let charge_point = json!({ "identity": "CP1", "password": STATION_PASSWORD });
    operator.post("/ocpp/charge-points", &charge_point).await.expect(201);
    operator
        .post("/ocpp/id-tokens", &json!({ "idToken": "CARD1" }))
        .await
        .expect(201);
    let url = format!("ws://{}", voltgate.address("GATEWAY_LISTEN"));
    let mut station = Script::start("driven_charge_point.py", &[&url, "CP1", STATION_PASSWORD]);
    assert_eq!(station.next().await, json!({ "waiting": true }));
    let path = "/ocpp/charge-points/CP1/commands/RemoteStartTransaction";
    let command = operator
        .post(path, &json!({ "idTag": "CARD1", "connectorId": 1 }))
        .await
        .expect(201);
    assert_eq!(command["status"], "accepted");
    assert_eq!(station.next().await["connector"], 1);
    command["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_word_names_the_trace_and_does_not_have_it_recorded() {
    let (collector, mut voltgate) = traced(&[("OTEL_TRACES_SAMPLER_ARG", "0")]).await;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [("traceparent", traceparent.as_str())];
    let api = voltgate.api();
    for _ in 0..20 {
        api.send(Method::GET, "/auth/profile", &headers, String::new())
            .await
            .problem(401, "MISSING_CREDENTIALS");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    voltgate.process.stop().await;
    assert!(collector.spans().is_empty(), "{:?}", collector.spans());
    // Its name is in the log all the same, which costs nothing.
    assert!(voltgate.process.log().contains(TRACE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_decides_and_the_last_spans_go_out_when_the_process_stops() {
    let settings = [
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
        ("GATEWAY_TRUSTED_PROXIES", "127.0.0.1"),
        // Nothing goes out of itself while this test runs.
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
    ];
    let (collector, mut voltgate) = traced(&settings).await;
    let api = voltgate.api();
    for (trace, flags) in [(TRACE, "01"), ("11111111111111111111111111111111", "00")] {
        let traceparent = format!("00-{trace}-{PARENT}-{flags}");
        let headers = [("traceparent", traceparent.as_str())];
        api.send(Method::GET, "/.well-known/jwks.json", &headers, String::new())
            .await
            .expect(200);
    }
    assert!(collector.spans().is_empty());
    voltgate.process.stop().await;
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    assert!(
        spans
            .iter()
            .any(|span| span.service == "gateway" && span.parent == PARENT),
        "{spans:#?}"
    );
    assert!(spans.iter().any(|span| span.service == "auth-service"), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_hangs_is_nobodys_trouble_and_what_is_lost_is_counted() {
    let nobody = e2e::process::free_address();
    // Takes connections, and nothing that comes by them.
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let hanging = (hanging.local_addr().expect("an address").to_string(), hanging);
    for collector in [&nobody, &hanging.0] {
        let endpoint = format!("http://{collector}");
        let settings = [
            ("ADMIN_PASSWORD", ADMIN_PASSWORD),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16"),
        ];
        let mut voltgate = Voltgate::start_with(&settings).await;
        let api = voltgate.api();
        let started = std::time::Instant::now();
        for _ in 0..300 {
            api.get("/auth/profile").await.problem(401, "MISSING_CREDENTIALS");
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        let total = async |counter| Exposition::total(voltgate.address("ADMIN_LISTEN"), counter).await;
        let told = total("voltgate_trace_spans_total").await;
        let ended = total("voltgate_trace_spans_ended_total").await;
        assert!(
            ended >= 300.0 && told <= ended,
            "{ended} ended, {told} went out or failed to"
        );
        if *collector == hanging.0 {
            // More than the queue holds are neither on their way nor failed.
            assert!(ended - told > 150.0, "{ended} ended, {told} went out or failed to");
        }
        let stopping = std::time::Instant::now();
        voltgate.process.stop().await;
        assert!(stopping.elapsed() < Duration::from_secs(30), "{:?}", stopping.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_grpc_is_traced_to_its_end_and_says_how_it_ended() {
    let (collector, mut voltgate) = traced(&[]).await;
    let body = json!({ "username": "admin", "password": "not the password" }).to_string();
    let (gateway, rpc) = (voltgate.address("GATEWAY_LISTEN"), "voltgate.auth.v1.AuthService/LogIn");
    let mut script = Script::start("reflect.py", &[gateway, "v1", rpc, &body]);
    assert_eq!(script.next().await["code"], "UNAUTHENTICATED");
    script.finish().await;
    let admin = voltgate.address("ADMIN_LISTEN").to_owned();
    assert!(Exposition::total(&admin, "voltgate_gateway_grpc_total").await > 0.0);
    voltgate.process.stop().await;
    let spans = collector.spans();
    let door = one(&spans, "gateway", &format!("POST /{rpc}"));
    assert_eq!(
        (
            door.says("http.response.status_code"),
            door.says("rpc.response.status_code")
        ),
        ("200", "Unauthenticated")
    );
    let served = spans
        .iter()
        .find(|span| span.service == "auth-service" && span.trace == door.trace);
    assert!(served.is_some_and(|span| span.time.1 <= door.time.1), "{spans:#?}");
}
