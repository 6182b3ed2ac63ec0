use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use service_kit::reason::Reason;
use sqlx::postgres::PgConnectOptions;
use testbed::{Database, Proxy};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use voltgate_proto::auth::v1::{GetDiscoveryRequest, GetHealthRequest};

use crate::api_keys::soon;
use crate::service::{Service, Setup, ada, reason};

/// The service as it says of itself, and its parts.
async fn health(service: &Service) -> (String, Vec<(String, String)>) {
    let answer = service.client.clone().get_health(GetHealthRequest {}).await;
    let health = answer.unwrap().into_inner();
    let parts = health.parts.into_iter().map(|part| (part.name, part.status));
    (health.status, parts.collect())
}

fn said(status: &str, database: &str, events: &str) -> (String, Vec<(String, String)>) {
    let part = |name: &str, status: &str| (name.to_owned(), status.to_owned());
    (
        status.to_owned(),
        vec![part("database", database), part("events", events)],
    )
}

/// The service looks every few seconds.
async fn says_soon(service: &Service, expected: &(String, Vec<(String, String)>)) {
    for _ in 0..300 {
        if health(service).await == *expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(&health(service).await, expected);
}

async fn serves(service: &Service) -> bool {
    says_serving(service, "voltgate.auth.v1.AuthService").await
}

/// Whether those are on time who ask by gRPC.
async fn events_are_on_time(service: &Service) -> bool {
    says_serving(service, "voltgate.auth.v1.Events").await
}

async fn says_serving(service: &Service, name: &str) -> bool {
    let request = HealthCheckRequest {
        service: name.to_owned(),
    };
    let answer = HealthClient::new(service.channel.clone()).check(request).await;
    answer.unwrap().into_inner().status() == ServingStatus::Serving
}

#[tokio::test]
async fn without_its_database_the_service_says_that_it_does_not_serve_until_it_does_again() {
    let database = Database::create().await;
    let options: PgConnectOptions = database.url().parse().unwrap();
    let direct = format!("{}:{}", options.get_host(), options.get_port());
    let proxy = Proxy::start(direct.parse().unwrap()).await;
    let mut setup = Setup::on(&database);
    setup.database_url = database.url().replacen(&direct, &proxy.address().to_string(), 1);
    let service = setup.start().await;
    says_soon(&service, &said("ok", "ok", "ok")).await;
    assert!(serves(&service).await);

    proxy.refuse().await;
    proxy.cut().await;
    says_soon(&service, &said("degraded", "degraded", "degraded")).await;
    assert!(!serves(&service).await);
    proxy.resume().await;
    says_soon(&service, &said("ok", "ok", "ok")).await;
    assert!(serves(&service).await);
    service.stop().await;
}

#[tokio::test]
async fn events_that_are_late_are_told_and_keep_nobody_from_logging_in() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    assert!(events_are_on_time(&service).await);
    sqlx::query(
        "INSERT INTO authentication.outbox (id, type, source, time, data, created_at, next_attempt_at)
         VALUES (gen_random_uuid(), 'x', 'x', now(), '', now() - interval '2 minutes', now() + interval '1 hour')",
    )
    .execute(&service.database)
    .await
    .unwrap();
    says_soon(&service, &said("degraded", "ok", "degraded")).await;
    soon("it is told by gRPC", async || !events_are_on_time(&service).await).await;
    assert!(serves(&service).await);
    assert!(says_serving(&service, "").await, "the whole of it wants calls");
    sqlx::query("UPDATE authentication.outbox SET sent_at = now()")
        .execute(&service.database)
        .await
        .unwrap();
    says_soon(&service, &said("ok", "ok", "ok")).await;
    soon("it is told by gRPC", async || events_are_on_time(&service).await).await;
    service.stop().await;
}

/// Both are open to everybody; the discovery document is there where tokens name an issuer that is a URL.
#[tokio::test]
async fn the_discovery_document_leads_to_the_keys_where_the_issuer_is_a_url() {
    let database = Database::create().await;
    let mut setup = Setup::on(&database);
    let service = setup.clone().start().await;
    let refused = service.client.clone().get_discovery(GetDiscoveryRequest {}).await;
    assert_eq!(reason(refused), Reason::NotFound);
    service.stop().await;

    setup.issuer = "https://voltgate.example.com".to_owned();
    let service = setup.start().await;
    let answer = service.client.clone().get_discovery(GetDiscoveryRequest {}).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!(answer.content_type, "application/json");
    let document: serde_json::Value = serde_json::from_slice(&answer.data).unwrap();
    assert_eq!(document["issuer"], "https://voltgate.example.com");
    assert_eq!(
        document["jwks_uri"],
        "https://voltgate.example.com/.well-known/jwks.json"
    );
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], document["issuer"], "to the letter");
    says_soon(&service, &said("ok", "ok", "ok")).await;
    service.stop().await;
}
