//! A logout reaches everybody who verifies tokens, wherever it was made.

use std::time::Instant;

use e2e::api::Api;
use e2e::process::free_address;
use e2e::processes::Processes;
use e2e::wait::until;
use serde_json::json;

/// Two replicas of auth-service, and two gateways that listen to one each. charger-service listens to the second.
async fn two_of_each() -> (Processes, Api, Api) {
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
    processes.start_all().await;
    let one = processes.api();
    (processes, one, other)
}

async fn log_out(api: &Api) {
    let answer = api.post("/auth/logout", &json!({ "sessions": "this" })).await;
    assert_eq!(answer.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_one_replica_counts_at_both_gateways_and_at_a_service_within_a_moment() {
    let (processes, one, other) = two_of_each().await;
    let admin = one.log_in("admin", e2e::all_in_one::ADMIN_PASSWORD).await;
    let elsewhere = other.with_token(admin.token());
    for api in [&admin, &elsewhere] {
        api.get("/ocpp/transactions").await.expect(200);
        api.get("/auth/profile").await.expect(200);
    }
    log_out(&admin).await;
    let start = Instant::now();
    for (place, api) in [("the first gateway", &admin), ("the second gateway", &elsewhere)] {
        for path in ["/auth/profile", "/ocpp/transactions"] {
            until("the token is void", async || {
                (api.get(path).await.status == 401).then_some(())
            })
            .await;
            eprintln!("{path} at {place}: void {:?} after the logout", start.elapsed());
        }
    }
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
