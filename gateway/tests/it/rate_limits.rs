//! How often somebody may ask, and what they hear who ask too often.

use std::future::ready;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::HeaderMap;
use reqwest::Response;
use serde_json::{Value, json};
use service_kit::access::ApiKey;
use testbed::{Proxy, redis_url};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::admission::{Guarded, KINDS};
use crate::echo::Echo;
use crate::station::{UPGRADE, knock};
use crate::system::{System, token};

const COMMANDS: &str = "/ocpp/charge-points/CP-1/commands";
const TRUSTING: &str = "--gateway-trusted-proxies=127.0.0.1";

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

async fn get(system: &System, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = system.get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// How many of so many requests, some dozens at a time, were refused because there were too many.
async fn refused(count: usize, request: impl Fn() -> reqwest::RequestBuilder) -> usize {
    let answers = stream::iter(0..count).map(|_| request().send()).buffer_unordered(50);
    let refused = answers.filter(|answer| ready(answer.as_ref().unwrap().status() == 429));
    refused.count().await
}

/// The statuses of so many requests in turn.
async fn statuses(system: &System, count: usize, path: &str, headers: &[(&str, &str)]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(get(system, path, headers).await.status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn who_asks_too_often_is_told_how_long_to_wait_and_in_which_limit_they_ran() {
    let system = System::start_with(&["--gateway-rate-limit-read=stranger=2/100s"]).await;
    for (left, all_there) in [(1, 50), (0, 100)] {
        let answer = get(&system, "/.well-known/jwks.json", &[]).await;
        assert_eq!(answer.status(), 200);
        let headers = answer.headers();
        assert_eq!(
            text(headers, "ratelimit"),
            Some(&*format!("\"read-stranger\";r={left};t={all_there}"))
        );
        assert_eq!(text(headers, "ratelimit-policy"), Some("\"read-stranger\";q=2;w=100"));
    }
    let refused = get(&system, "/.well-known/jwks.json", &[]).await;
    let headers = refused.headers().clone();
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(
        (&problem["status"], &problem["reason"]),
        (&json!(429), &json!("TOO_MANY_REQUESTS"))
    );
    assert_eq!(text(&headers, "content-type"), Some("application/problem+json"));
    let wait: u64 = text(&headers, "retry-after").unwrap().parse().unwrap();
    assert!((45..=50).contains(&wait), "{wait}");
    assert_eq!(
        text(&headers, "ratelimit"),
        Some(&*format!("\"read-stranger\";r=0;t={wait}"))
    );
    assert_eq!(text(&headers, "ratelimit-policy"), Some("\"read-stranger\";q=2;w=100"));

    // What does not exist, and what is the gateway's own, is asked for by strangers too.
    for path in ["/nothing", "/openapi.json", "/docs/"] {
        assert_eq!(get(&system, path, &[]).await.status(), 429, "{path}");
    }
    // Other classes are counted apart, and health is not.
    let signup = system.post("/auth/signup").json(&json!({"username": "ada"}));
    assert_eq!(signup.send().await.unwrap().status(), 201);
    for path in ["/health", "/livez", "/readyz"] {
        let told = statuses(&system, 20, path, &[]).await;
        assert!(!told.contains(&429), "{path}: {told:?}");
    }
    // Nor are preflights; every other `OPTIONS` is.
    let preflight = [
        ("origin", "https://example.org"),
        ("access-control-request-method", "GET"),
    ];
    let asked = |headers: &[(&'static str, &'static str)]| {
        let request = system.options("/nothing");
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .send()
    };
    assert_eq!(asked(&preflight).await.unwrap().status(), 404);
    for headers in [&preflight[..0], &preflight[..1], &preflight[1..]] {
        assert_eq!(asked(headers).await.unwrap().status(), 429, "{headers:?}");
    }
}

/// What goes nowhere is no way round the limits.
#[tokio::test]
async fn whatever_is_refused_for_its_form_is_counted_too() {
    let system = System::start_with(&["--gateway-rate-limit-read=stranger=1/1h", TRUSTING]).await;
    for (number, (method, path, header, refusal)) in [
        ("DELETE", "/docs/", ("accept", "*/*"), 405),
        ("OPTIONS", "/docs/", ("accept", "*/*"), 204),
        ("POST", "/openapi.json", ("accept", "*/*"), 405),
        ("GET", "/nothing", ("host", "a b"), 400),
    ]
    .into_iter()
    .enumerate()
    {
        let from = format!("192.0.2.{number}");
        for expected in [refusal, 429] {
            let request = system.http.request(method.parse().unwrap(), system.url(path));
            let request = request.header(header.0, header.1).header("x-forwarded-for", &from);
            assert_eq!(
                request.send().await.unwrap().status(),
                expected,
                "{method} {path} {header:?}"
            );
        }
    }
    // By HTTP/1.1, and by a method and in an encoding that gRPC has not.
    let http2 = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    for (number, (client, method, media_type)) in [
        (&system.http, "POST", "application/grpc"),
        (&http2, "GET", "application/grpc"),
        (&http2, "POST", "application/grpc+json"),
        (&http2, "POST", "application/grpc"),
    ]
    .into_iter()
    .enumerate()
    {
        let from = format!("192.0.2.1{number}");
        let mut codes = Vec::new();
        for _ in 0..2 {
            let request = client.request(method.parse().unwrap(), system.url("/voltgate.nothing.v1.Nothing/Do"));
            let request = request
                .header("content-type", media_type)
                .header("x-forwarded-for", &from);
            let answer = request.send().await.unwrap();
            codes.push(text(answer.headers(), "grpc-status").unwrap().to_owned());
        }
        assert_ne!(codes[0], "8", "{method} {media_type}");
        assert_eq!(codes[1], "8", "{method} {media_type}");
    }
}

#[tokio::test]
async fn whoever_is_logged_in_waits_for_no_stranger_at_the_same_address_and_the_other_way_round() {
    let system = System::start_with(&["--gateway-rate-limit-read=stranger=3/100s,account=4/100s"]).await;
    let (operator, driver) = (
        format!("Bearer {}", token(&["operator"])),
        format!("Bearer {}", token(&["driver"])),
    );
    let as_operator = [("authorization", operator.as_str())];
    let as_driver = [("authorization", driver.as_str())];
    // Whoever tries tokens is a stranger.
    assert_eq!(
        statuses(&system, 4, COMMANDS, &[("authorization", "Bearer nonsense")]).await,
        [401, 401, 401, 429]
    );
    assert_eq!(statuses(&system, 1, COMMANDS, &[]).await, [429]);
    assert_eq!(
        statuses(&system, 5, COMMANDS, &as_operator).await,
        [200, 200, 200, 200, 429]
    );
    // So is nobody who is logged in, be it that they may not.
    assert_eq!(
        statuses(&system, 5, COMMANDS, &as_driver).await,
        [403, 403, 403, 403, 429]
    );
}

#[tokio::test]
async fn whoever_makes_up_api_keys_has_auth_service_asked_no_more_often_than_their_address_may() {
    let flags = [
        "--gateway-rate-limit-credential=address=5/1h",
        "--gateway-rate-limit-read=stranger=100/1h",
        TRUSTING,
    ];
    let mut system = System::start_with(&flags).await;
    let show = async |system: &System, from: &str| {
        let bearer = format!("Bearer {}", ApiKey::generate().write());
        let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", from)];
        let answer = get(system, COMMANDS, &headers).await;
        let limit = text(answer.headers(), "ratelimit").map(str::to_owned);
        (answer.status().as_u16(), limit.unwrap_or_default())
    };
    for number in 0..40 {
        let (status, limit) = show(&system, "192.0.2.1").await;
        assert_eq!(status, if number < 5 { 401 } else { 429 }, "{number}");
        assert_eq!(limit.starts_with("\"credential-address\";r=0"), number >= 5, "{limit}");
    }
    assert_eq!(system.peers.api_keys(), 5);
    // What was refused for that is not counted for anything else.
    let read = get(&system, "/.well-known/jwks.json", &[("x-forwarded-for", "192.0.2.1")]).await;
    assert!(
        text(read.headers(), "ratelimit")
            .unwrap()
            .starts_with("\"read-stranger\";r=94;")
    );
    // Others at other addresses are asked about, and whoever has another credential needs no question.
    assert_eq!(show(&system, "192.0.2.2").await.0, 401);
    let bearer = format!("Bearer {}", token(&["operator"]));
    let logged_in = [("authorization", bearer.as_str()), ("x-forwarded-for", "192.0.2.1")];
    assert_eq!(statuses(&system, 3, COMMANDS, &logged_in).await, [200; 3]);
    assert_eq!(system.peers.api_keys(), 1);
}

#[tokio::test]
async fn all_of_an_address_have_a_limit_together_which_nobody_fills_who_is_refused_for_their_own() {
    let system = System::start_with(&["--gateway-rate-limit-read=stranger=2/100s,account=3/100s,address=6/100s"]).await;
    assert_eq!(statuses(&system, 9, "/.well-known/jwks.json", &[]).await[2..], [429; 7]);
    for expected in [[200, 200, 200, 429], [200, 429, 429, 429]] {
        let bearer = format!("Bearer {}", token(&["operator"]));
        assert_eq!(
            statuses(&system, 4, COMMANDS, &[("authorization", &bearer)]).await,
            expected
        );
    }
}

#[tokio::test]
async fn a_neighbour_keeps_nobody_from_logging_in_or_from_staying_so_by_the_default_limits() {
    let system = System::start_with(&["--gateway-rate-limit=true"]).await;
    let log_in = || {
        let words = json!({"username": "ada", "password": "wrong"});
        system.post("/auth/login").json(&words)
    };
    let renew = || system.post("/auth/refresh").json(&json!({"refresh_token": "none"}));
    // All that a stranger may write.
    let write = || system.post("/ocpp/charge-points/CP-1/commands/Any").json(&json!({}));
    assert!(refused(1000, write).await > 100);
    assert_eq!(refused(700, log_in).await, 0);
    assert_eq!(refused(700, renew).await, 0);
}

#[tokio::test]
async fn an_address_is_the_clients_and_of_ipv6_the_network() {
    let system = System::start_with(&["--gateway-rate-limit-read=stranger=1/100s", TRUSTING]).await;
    for (client, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.2", 200),
        ("192.0.2.1", 429),
        ("2001:db8::1", 200),
        ("2001:db8::ffff:1", 429),
        ("2001:db8:0:1::1", 200),
        ("::ffff:192.0.2.2", 429),
    ] {
        let path = "/.well-known/jwks.json";
        let told = get(&system, path, &[("x-forwarded-for", client)]).await.status();
        assert_eq!(told.as_u16(), status, "{client}");
    }
    // The standard's header says the same, and where it is known that the proxy writes the other, nothing.
    for (flags, statuses) in [
        (&[TRUSTING][..], [200, 429, 200, 200]),
        (
            &[TRUSTING, "--gateway-forwarded-header=x-forwarded-for"][..],
            [200, 429, 429, 429],
        ),
    ] {
        let flags = [&["--gateway-rate-limit-read=stranger=1/100s"], flags].concat();
        let system = System::start_with(&flags).await;
        for (number, (client, status)) in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
            .into_iter()
            .zip(statuses)
            .enumerate()
        {
            let forwarded = format!("for={client}");
            let headers = [("forwarded", forwarded.as_str())];
            let told = get(&system, "/.well-known/jwks.json", &headers).await.status();
            assert_eq!(told.as_u16(), status, "{number}: {client} {flags:?}");
        }
    }
    // Whom no proxy speaks for cannot choose where they come from.
    let system = System::start_with(&["--gateway-rate-limit-read=stranger=1/100s"]).await;
    for (client, status) in [("192.0.2.1", 200), ("192.0.2.2", 429)] {
        let headers = [("x-forwarded-for", client)];
        assert_eq!(statuses(&system, 1, "/.well-known/jwks.json", &headers).await, [status]);
    }
}

#[tokio::test]
async fn who_asks_too_often_is_refused_by_the_head_alone_whatever_kind_it_is() {
    let none = "stranger=1/1h,account=1/1h";
    let flags = ["read", "write", "heavy", "stream"].map(|class| format!("--gateway-rate-limit-{class}={none}"));
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let guarded = Guarded::start(&flags).await;
    let authorization = format!("authorization: Bearer {}\r\n", token(&["driver"]));
    for (request, headers) in KINDS {
        let headers = format!("{headers}{authorization}");
        // The first of each class is refused for its role, and counted.
        guarded.head_alone(request, &headers).await;
        let (status, head, problem) = guarded.head_alone(request, &headers).await;
        assert_eq!(
            (status, &problem["reason"]),
            (429, &json!("TOO_MANY_REQUESTS")),
            "{request}"
        );
        assert!(head.contains("\r\nretry-after: 3600"), "{request}: {head}");
    }
    for rpc in ["Change", "List", "Watch", "Download", "Upload", "Chat"] {
        guarded.call(rpc, "").await;
        assert_eq!(guarded.call(rpc, "").await.code(), Code::ResourceExhausted, "{rpc}");
    }
    assert_eq!(guarded.came(), 0, "the service was asked");
}

#[tokio::test]
async fn lists_as_files_are_counted_with_what_takes_much_work() {
    let system = System::start_with(&["--gateway-rate-limit-heavy=account=1/1h"]).await;
    let bearer = format!("Bearer {}", token(&["operator"]));
    let file = [("authorization", bearer.as_str()), ("accept", "text/csv")];
    assert_eq!(statuses(&system, 2, COMMANDS, &file).await, [200, 429]);
    assert_eq!(statuses(&system, 5, COMMANDS, &file[..1]).await, [200; 5]);
}

#[tokio::test]
async fn by_grpc_the_refusal_is_a_status_with_the_time_to_wait() {
    let echo = Echo::start_with(&["--gateway-rate-limit-write=stranger=2/100s"]).await;
    let answer = echo.unary("Say", Request::new("hello".to_owned())).await.unwrap();
    assert_eq!(
        answer.metadata().get("ratelimit").unwrap(),
        "\"write-stranger\";r=1;t=50"
    );
    echo.say("Say", "hello").await.unwrap();
    let refused = echo.say("Say", "hello").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "TOO_MANY_REQUESTS");
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(
        (Duration::from_secs(45)..=Duration::from_secs(50)).contains(&wait),
        "{wait:?}"
    );
    assert_eq!(
        refused.metadata().get("ratelimit-policy").unwrap(),
        "\"write-stranger\";q=2;w=100"
    );
    // A stream is of another class.
    assert!(
        echo.stream("Chat", futures_util::stream::iter(["a".to_owned()]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn by_grpc_the_gateway_may_be_asked_how_it_is_by_whoever_wants_and_a_service_is_asked_as_others_are() {
    let flags = [
        "--gateway-rate-limit-read=stranger=2/1h",
        "--gateway-rate-limit-stream=stranger=1/1h",
    ];
    let system = System::start_with(&flags).await;
    let connect = async || {
        let channel = tonic::transport::Channel::from_shared(system.url("")).unwrap();
        HealthClient::new(channel.connect().await.unwrap())
    };
    let health = connect().await;
    let check = async |service: &str| {
        let service = service.to_owned();
        let answer = health.clone().check(HealthCheckRequest { service }).await;
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    let watch = async |health: &HealthClient<_>, service: &str| {
        let service = service.to_owned();
        health.clone().watch(HealthCheckRequest { service }).await
    };
    let auth = "voltgate.auth.v1.AuthService";
    assert_eq!([check(auth).await, check("nothing").await], [Code::Ok, Code::NotFound]);
    assert_eq!(check(auth).await, Code::ResourceExhausted);
    for _ in 0..10 {
        assert_eq!(check("").await, Code::Ok);
    }
    let watched = watch(&health, auth).await;
    assert!(watched.is_ok());
    assert_eq!(watch(&health, auth).await.unwrap_err().code(), Code::ResourceExhausted);
    // Those who watch the gateway itself are not counted, but there are not any number of them.
    let mut watching = vec![watched.unwrap()];
    let told = loop {
        // A connection has room for so many streams.
        let another = connect().await;
        let mut told = None;
        for _ in 0..90 {
            match watch(&another, "").await {
                Ok(stream) => watching.push(stream),
                Err(status) => told = Some(status),
            }
        }
        if let Some(told) = told {
            break told;
        }
    };
    assert_eq!(service_kit::reason::Reason::of(&told).as_str(), "OVERLOADED");
    assert_eq!(watching.len(), 200);
}

#[tokio::test]
async fn a_charge_point_that_connects_too_often_waits_and_no_other_does() {
    let flags = [
        "--gateway-rate-limit-device=station=2/100s,stranger=4/100s,address=2/100s",
        TRUSTING,
    ];
    let mut system = System::start_with(&flags).await;
    let protocol = "Sec-WebSocket-Protocol: ocpp1.6\r\n";
    for (identity, from, refused_for) in [
        ("CP-1", "192.0.2.1", None),
        ("CP-1", "192.0.2.1", None),
        ("CP-1", "192.0.2.1", Some("device-station")),
        // A stranger elsewhere who says its name takes nothing away from it, nor it from them.
        ("CP-1", "192.0.2.9", None),
        // One that comes for the first time is a stranger, and one that was let in before is none: the first that CP-1 came, and these
        // three, are the four of the address.
        ("CP-2", "192.0.2.1", None),
        ("CP-3", "192.0.2.1", None),
        ("CP-4", "192.0.2.1", None),
        ("CP-5", "192.0.2.1", Some("device-stranger")),
        ("CP-2", "192.0.2.1", None),
        ("CP-3", "192.0.2.1", Some("device-address")),
    ] {
        let headers = format!("{UPGRADE}{protocol}X-Forwarded-For: {from}\r\n");
        let (answer, _stream) = knock(&system, &format!("/ocpp/{identity}"), &headers).await;
        let status = if refused_for.is_some() { 429 } else { 101 };
        assert_eq!(answer.status, status, "{identity} from {from}: {}", answer.body);
        if let Some(policy) = refused_for {
            assert!(answer.header("retry-after").is_some());
            let told = answer.header("ratelimit").unwrap();
            assert!(told.starts_with(&format!("\"{policy}\";r=0;")), "{identity}: {told}");
        }
    }
    for _ in 0..7 {
        system.peers.opened().await;
    }
}

#[tokio::test]
async fn whoever_says_many_identities_keeps_no_charge_point_out_that_was_let_in_before() {
    let flags = [
        "--gateway-rate-limit-device=station=30/90s,stranger=5/100s,address=100/100s",
        "--gateway-http-binding=true",
    ];
    let system = System::start_with(&flags).await;
    let connect = async |identity: &str| {
        let headers = format!("{UPGRADE}Sec-WebSocket-Protocol: ocpp1.6\r\n");
        let (answer, _stream) = knock(&system, &format!("/ocpp/{identity}"), &headers).await;
        answer.status
    };
    assert_eq!(connect("CP-1").await, 101);
    for number in 0..50 {
        let expected = if number < 4 { 404 } else { 429 };
        assert_eq!(connect(&format!("unknown-{number}")).await, expected, "{number}");
    }
    for _ in 0..10 {
        assert_eq!(connect("CP-1").await, 101);
    }
}

#[tokio::test]
async fn frames_by_post_are_counted_apart_from_connections() {
    let flags = [
        "--gateway-http-binding=true",
        "--gateway-rate-limit-device=station=1/1h",
        "--gateway-rate-limit-frame=station=2/1h",
    ];
    let system = System::start_with(&flags).await;
    let post = async || {
        let request = system.post("/ocpp/CP-1").header("ocpp-version", "1.6");
        let answer = request.body(r#"[2,"1","Heartbeat",{}]"#).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!([post().await, post().await, post().await], [200, 200, 429]);
}

fn limit(requests: u32) -> String {
    format!("--gateway-rate-limit-read=stranger={requests}/1h")
}

/// An address that nobody else in this run has, for all share one Redis.
fn own_address() -> String {
    let id: u128 = rand::random();
    std::net::Ipv6Addr::from_bits(id >> 8 | 0xfc << 120).to_string()
}

#[tokio::test]
async fn gateways_that_share_a_redis_count_together() {
    let (limit, redis) = (limit(5), format!("--redis-url={}", redis_url()));
    let flags = [limit.as_str(), &redis, TRUSTING, "--gateway-rate-limit-patience=5000"];
    let (one, other) = (System::start_with(&flags).await, System::start_with(&flags).await);
    let from = own_address();
    let headers = [("x-forwarded-for", from.as_str())];
    let path = "/.well-known/jwks.json";
    let mut let_in = 0;
    for _ in 0..5 {
        for system in [&one, &other] {
            let status = get(system, path, &headers).await.status().as_u16();
            assert!([200, 429].contains(&status), "{status}");
            let_in += u32::from(status == 200);
        }
    }
    assert_eq!(let_in, 5);
    // Whichever of them is asked, one of both alone included.
    let from = own_address();
    let headers = [("x-forwarded-for", from.as_str())];
    assert_eq!(statuses(&one, 5, path, &headers).await, [200; 5]);
    assert_eq!(statuses(&other, 1, path, &headers).await, [429]);
    let elsewhere = own_address();
    let headers = [("x-forwarded-for", elsewhere.as_str())];
    assert_eq!(statuses(&other, 1, "/.well-known/jwks.json", &headers).await, [200]);
}

#[tokio::test]
async fn while_redis_is_away_the_setting_says_who_gets_in_and_afterwards_it_counts_again() {
    for (outage, while_away) in [("memory", [200, 200, 429]), ("open", [200; 3]), ("closed", [503; 3])] {
        let address: SocketAddr = redis_url()
            .trim_start_matches("redis://")
            .trim_end_matches('/')
            .parse()
            .unwrap();
        let proxy = Proxy::start(address).await;
        let (limit, redis) = (limit(2), format!("--redis-url=redis://{}", proxy.address()));
        let outage = format!("--gateway-rate-limit-outage={outage}");
        let system =
            System::start_with(&[&limit, &redis, &outage, TRUSTING, "--gateway-rate-limit-patience=300"]).await;
        let from = own_address();
        let headers = [("x-forwarded-for", from.as_str())];
        let path = "/.well-known/jwks.json";
        assert_eq!(statuses(&system, 3, path, &headers).await, [200, 200, 429], "{outage}");

        proxy.refuse().await;
        proxy.cut().await;
        let from = own_address();
        let headers = [("x-forwarded-for", from.as_str())];
        assert_eq!(statuses(&system, 3, path, &headers).await, while_away, "{outage}");

        // Counted at Redis again: another gateway hears of it, that was never cut off.
        proxy.resume().await;
        let direct = format!("--redis-url={}", redis_url());
        let witness = System::start_with(&[&limit, &direct, TRUSTING, "--gateway-rate-limit-patience=5000"]).await;
        let heard_of = async || {
            let from = own_address();
            let headers = [("x-forwarded-for", from.as_str())];
            let there = statuses(&system, 2, path, &headers).await;
            there == [200; 2] && statuses(&witness, 1, path, &headers).await == [429]
        };
        let heard = async {
            while !heard_of().await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(15), heard)
            .await
            .expect(&outage);
    }
}

/// One that takes connections and answers nothing.
#[tokio::test]
async fn a_redis_that_hangs_holds_nobody_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (limit, redis) = (
        limit(1000),
        format!("--redis-url=redis://{}", listener.local_addr().unwrap()),
    );
    let system = System::start_with(&[&limit, &redis, "--gateway-rate-limit-patience=50"]).await;
    let started = std::time::Instant::now();
    let all = statuses(&system, 40, "/.well-known/jwks.json", &[]).await;
    assert!(all.iter().all(|status| *status == 200), "{all:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let sought = tokio::time::timeout(Duration::from_secs(1), listener.accept()).await;
    assert!(sought.is_ok(), "it was not even tried");
}
