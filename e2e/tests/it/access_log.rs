//! What is logged of requests: one line for each, with what is needed and without what is nobody's business.

use e2e::all_in_one::{ADMIN_PASSWORD, Voltgate};
use e2e::python::Script;
use reqwest::Method;
use serde_json::{Value, json};

/// Words that stand where secrets do, and nowhere else.
const SECRETS: [&str; 10] = [
    "secret-of-a-password",
    "secret-of-a-cookie",
    "secret-of-a-query",
    "secret-of-a-new-password",
    "secret-of-a-station",
    "secret-in-a-path",
    "secret-of-a-code",
    "c2VjcmV0LW9mLWEtc3RhdGlvbg",
    "secret-of-a-bearer",
    // Nor is any statement there that sets one, as the process does in its own database.
    "PASSWORD '",
];

/// The lines about one request.
fn lines_about(log: &str, request: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    let about = lines.filter(|line| line["request_id"] == request);
    about
        .filter(|line| line["message"].as_str().unwrap_or_default().starts_with("A request "))
        .collect()
}

fn only_line(log: &str, request: &str) -> Value {
    let lines = lines_about(log, request);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_one_line_that_tells_what_is_needed_and_no_secret() {
    let settings = [
        ("ADMIN_PASSWORD", ADMIN_PASSWORD),
        ("LOG_FORMAT", "json"),
        ("LOG_FILTER", "debug"),
    ];
    let mut voltgate = Voltgate::start_with(&settings).await;
    let operator = voltgate.admin().await;
    let api = voltgate.api();
    let id = |id: &'static str| ("x-request-id", id);
    let json = ("content-type", "application/json");

    let signup = json!({ "username": "ada@example.com", "password": "secret-of-a-password" }).to_string();
    let headers = [
        id("the-signup"),
        json,
        ("user-agent", "a client/1"),
        ("cookie", "a=secret-of-a-cookie"),
    ];
    let ada = api
        .send(
            Method::POST,
            "/auth/signup?token=secret-of-a-query",
            &headers,
            signup.clone(),
        )
        .await;
    let ada = match ada.status {
        201 => ada,
        // A parameter that nobody knows is refused.
        _ => {
            api.send(Method::POST, "/auth/signup", &[id("signup"), json], signup)
                .await
        }
    }
    .expect(201);
    let account = ada["id"].as_str().unwrap();
    let ada = api.with_token(ada["accessToken"].as_str().unwrap());
    ada.send(Method::GET, "/auth/profile", &[id("the-profile")], String::new())
        .await
        .expect(200);
    let wrong = json!({ "currentPassword": "secret-of-a-password", "newPassword": "secret-of-a-new-password", "code": "secret-of-a-code" });
    let _whatever = ada
        .send(
            Method::PUT,
            "/auth/password",
            &[id("the-password"), json],
            wrong.to_string(),
        )
        .await;
    let bearer = ("authorization", "Bearer secret-of-a-bearer-that-nobody-gave-out");
    api.send(Method::GET, "/auth/profile", &[id("the-bearer"), bearer], String::new())
        .await
        .problem(401, "INVALID_TOKEN");
    let _none = api
        .send(
            Method::GET,
            "/ocpp/transfers/secret-in-a-path/file.txt",
            &[id("the-path")],
            String::new(),
        )
        .await;
    let list = operator
        .send(
            Method::GET,
            "/ocpp/charge-points",
            &[id("the-list"), ("accept", "text/csv")],
            String::new(),
        )
        .await;
    assert_eq!(list.status, 200);

    let station = json!({ "identity": "CP1", "password": "secret-of-a-station" });
    operator.post("/ocpp/charge-points", &station).await.expect(201);
    let url = format!("ws://{}", voltgate.address("GATEWAY_LISTEN"));
    let boot = json!([2, "1", "BootNotification", { "chargePointModel": "M", "chargePointVendor": "V" }]).to_string();
    let arguments = [&url, "CP1", "secret-of-a-station", "ocpp1.6", &boot, "answer"];
    let mut script = Script::start("raw_frames.py", &arguments);
    assert_eq!(script.next().await[2]["status"], "Accepted");
    script.finish().await;
    let token = ada.token().to_owned();
    voltgate.process.stop().await;

    let log = voltgate.process.log();
    for secret in SECRETS
        .iter()
        .copied()
        .chain([ADMIN_PASSWORD, &token, operator.token()])
    {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }

    let line = only_line(&log, "the-profile");
    let expected = [
        ("method", json!("GET")),
        ("route", json!("/auth/profile")),
        ("status", json!(200)),
        ("client", json!("127.0.0.1")),
        ("account", json!(account)),
        ("upstream", json!("auth")),
        ("bytes_in", json!(0)),
        ("replica", json!(voltgate.address("AUTH_LISTEN"))),
        ("level", json!("INFO")),
    ];
    for (name, value) in expected {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert!(line["bytes_out"].as_u64().unwrap() > 20, "{line}");
    assert!(
        line["milliseconds"].as_f64().unwrap() >= line["upstream_milliseconds"].as_f64().unwrap(),
        "{line}"
    );
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);

    let line = only_line(&log, "the-signup");
    assert_eq!(
        (&line["user_agent"], &line["route"]),
        (&json!("a client/1"), &json!("/auth/signup"))
    );
    assert!(line["bytes_in"].as_u64().unwrap() > 50, "{line}");
    let line = only_line(&log, "the-bearer");
    assert_eq!(
        (&line["status"], &line["reason"], &line["account"]),
        (&json!(401), &json!("INVALID_TOKEN"), &Value::Null)
    );
    let line = only_line(&log, "the-path");
    assert_eq!(line["route"], "/ocpp/transfers/{token}/{fileName}");
    let line = only_line(&log, "the-list");
    assert_eq!((&line["status"], &line["upstream"]), (&json!(200), &json!("ocpp")));
    assert!(line["bytes_out"].as_u64().unwrap() > 0, "{line}");
}
