//! A logout reaches everybody who verifies tokens, wherever it was made.

use std::time::{Duration, Instant};

use e2e::api::Api;
use e2e::process::free_address;
use e2e::processes::Processes;
use e2e::python::Script;
use e2e::wait::{LONGEST, until};
use serde_json::json;
use tokio::time::sleep;

/// Two replicas of auth-service, and two gateways that listen to one each. charger-service listens to the second.
async fn prepare_two_of_each() -> (Processes, Api, Api) {
    let mut processes = Processes::prepare().await;
    processes.add_replica("auth-service", "auth-service 2");
    let second = format!("http://{}", processes.environments["auth-service 2"]["AUTH_LISTEN"]);
    let mut gateway = processes.environments["gateway"].clone();
    gateway.insert("GATEWAY_LISTEN".to_owned(), free_address());
    gateway.insert("ADMIN_LISTEN".to_owned(), free_address());
    gateway.insert("AUTH_URL".to_owned(), second.clone());
    let other = Api::at(&gateway["GATEWAY_LISTEN"]);
    processes.environments.insert("gateway 2", gateway);
    processes.set("charger-service", "AUTH_URL", second);
    let one = processes.api();
    (processes, one, other)
}

async fn two_of_each() -> (Processes, Api, Api) {
    let (mut processes, one, other) = prepare_two_of_each().await;
    processes.start_all().await;
    (processes, one, other)
}

async fn log_out(api: &Api) {
    let answer = api.post("/auth/logout", &json!({ "sessions": "this" })).await;
    assert_eq!(answer.status, 204);
}

/// How long it takes from `start` until a place refuses the token.
async fn void_after(start: Instant, mut refuses: impl AsyncFnMut() -> bool) -> Duration {
    while !refuses().await {
        assert!(start.elapsed() < LONGEST, "the token stays good");
        sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}

/// A gRPC client at charger-service itself, past every gateway, which has made one call.
async fn at_the_service(processes: &Processes, token: &str) -> Script {
    let address = &processes.environments["charger-service"]["CHARGER_LISTEN"];
    let method = "voltgate.ocpp.v1.TransactionService/ListTransactions";
    let mut script = Script::start("reflect.py", &[address, "v1", method, "{}", token]);
    assert_eq!(script.next().await["code"], "OK");
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_one_replica_counts_at_both_gateways_and_at_a_service_within_a_second() {
    let (processes, one, other) = two_of_each().await;
    let admin = one.log_in("admin", e2e::all_in_one::ADMIN_PASSWORD).await;
    let elsewhere = other.with_token(admin.token());
    let places = [
        (&admin, "/auth/profile"),
        (&admin, "/ocpp/transactions"),
        (&elsewhere, "/auth/profile"),
        (&elsewhere, "/ocpp/transactions"),
    ];
    for (api, path) in places {
        api.get(path).await.expect(200);
    }
    let mut service = at_the_service(&processes, admin.token()).await;
    log_out(&admin).await;
    // All at once, so that none of them profits from the time that it takes to ask another.
    let start = Instant::now();
    let at_a_gateway =
        async |(api, path): (&Api, &str)| void_after(start, async || api.get(path).await.status == 401).await;
    let at_the_service = void_after(start, async || {
        service.go_on().await;
        service.next().await["code"] == "UNAUTHENTICATED"
    });
    let [first, second, third, fourth] = places;
    let waits: [Duration; 5] = tokio::join!(
        at_a_gateway(first),
        at_a_gateway(second),
        at_a_gateway(third),
        at_a_gateway(fourth),
        at_the_service
    )
    .into();
    assert!(
        waits.iter().all(|wait| *wait < Duration::from_secs(1)),
        "void so long after the logout: {waits:?}"
    );
    service.finish().await;
    processes.stop().await;
}

/// A process that does not hear from auth-service goes on with what it knows, so that an outage logs nobody out; a token of
/// a session that ended meanwhile is good until it expires or the stream is back, whichever comes first.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_stream_cut_a_void_token_is_good_until_the_stream_is_back() {
    let (mut processes, one, other) = two_of_each().await;
    let admin = one.log_in("admin", e2e::all_in_one::ADMIN_PASSWORD).await;
    let elsewhere = other.with_token(admin.token());
    elsewhere.get("/ocpp/transactions").await.expect(200);
    processes.kill("auth-service 2").await;
    log_out(&admin).await;
    until("the first gateway knows", async || {
        (admin.get("/ocpp/transactions").await.status == 401).then_some(())
    })
    .await;
    elsewhere.get("/ocpp/transactions").await.expect(200);
    processes.start_one("auth-service 2").await;
    until("the second gateway knows", async || {
        (elsewhere.get("/ocpp/transactions").await.status == 401).then_some(())
    })
    .await;
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_stream_cut_for_good_a_void_token_is_good_until_it_expires_and_no_longer() {
    const LIFETIME: Duration = Duration::from_secs(10);
    let (mut processes, one, other) = prepare_two_of_each().await;
    for replica in ["auth-service", "auth-service 2"] {
        processes.set(replica, "AUTH_ACCESS_TOKEN_SECONDS", LIFETIME.as_secs().to_string());
    }
    processes.start_all().await;
    let admin = one.log_in("admin", e2e::all_in_one::ADMIN_PASSWORD).await;
    let start = Instant::now();
    let elsewhere = other.with_token(admin.token());
    elsewhere.get("/ocpp/transactions").await.expect(200);
    processes.kill("auth-service 2").await;
    log_out(&admin).await;
    elsewhere.get("/ocpp/transactions").await.expect(200);
    let wait = void_after(start, async || elsewhere.get("/ocpp/transactions").await.status == 401).await;
    // A token expires at a full second.
    assert!(wait < LIFETIME + Duration::from_secs(1), "void after {wait:?}");
    processes.stop().await;
}
