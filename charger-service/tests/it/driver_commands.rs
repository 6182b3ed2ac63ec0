//! What drivers have charge points do: how much, how often, and where it is refused.

use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use voltgate_proto::ocpp::v1::*;

use crate::connectors::{coded, declare};
use crate::drivers::{CODE, client, coded_and_connected, commands, seconds_ago, start, token, wish};
use crate::operator::Driver;
use crate::service::{Service, reason};

#[tokio::test]
async fn a_charge_is_refused_by_the_name_of_what_is_wrong_with_the_token() {
    let database = Database::create().await;
    let (service, mut station) = coded_and_connected(&database).await;
    service.register("CP2").await;
    let ada = Driver::sign_up().await;
    let refused = async |value: Option<&str>| reason(&start(&service, &ada, wish(CODE, value)).await.unwrap_err());
    assert_eq!(refused(None).await, Reason::NoIdToken);
    let elsewhere = IdTokenLocation {
        identity: "CP2".to_owned(),
        connector_id: None,
    };
    service
        .register_tokens([
            CreateIdTokenRequest {
                blocked: true,
                ..token("BLOCKED", &ada)
            },
            CreateIdTokenRequest {
                expires_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
                ..token("EXPIRED", &ada)
            },
            CreateIdTokenRequest {
                allowed_locations: vec![elsewhere],
                ..token("ELSEWHERE", &ada)
            },
            CreateIdTokenRequest {
                max_concurrent_transactions: Some(1),
                ..token("BUSY", &ada)
            },
            token("LONGER THAN OCPP 1.6 KNOWS", &ada),
        ])
        .await;
    // On another connector: one that begins anew where it runs ends what ran there.
    let running = json!({"connectorId": 2, "idTag": "BUSY", "meterStart": 0, "timestamp": seconds_ago(60)});
    station.call("StartTransaction", running).await;
    for (value, expected) in [
        (Some("blocked"), Reason::IdTokenBlocked),
        (Some("EXPIRED"), Reason::IdTokenExpired),
        (Some("ELSEWHERE"), Reason::IdTokenNotAccepted),
        (Some("LONGER THAN OCPP 1.6 KNOWS"), Reason::IdTokenNotAccepted),
        (Some("BUSY"), Reason::IdTokenInUse),
        (Some("NOBODY"), Reason::NotFound),
        // Which one is meant?
        (None, Reason::InvalidRequest),
    ] {
        assert_eq!(refused(value).await, expected, "{value:?}");
    }
    let nowhere = start(&service, &ada, wish("NO-SUCH-CODE", None)).await.unwrap_err();
    assert_eq!(reason(&nowhere), Reason::NotFound);
    assert_eq!(commands(&service).await, 0);
}

#[tokio::test]
async fn a_charge_is_safe_to_ask_for_again_whatever_has_changed_since() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    for (connector, code) in [(1, "ONE"), (2, "TWO")] {
        declare(&service, connector, coded(code), None).await.unwrap();
    }
    let (ada, bob) = (Driver::sign_up().await, Driver::sign_up().await);
    service.register_tokens([token("ADA", &ada), token("BOB", &bob)]).await;
    let first = start_under(&service, &ada, "ONE", "a").await.unwrap();
    assert_eq!(first.state, "queued");
    assert_eq!(start_under(&service, &ada, "one", "a").await.unwrap().id, first.id);
    let other = start_under(&service, &ada, "TWO", "a").await.unwrap_err();
    assert_eq!(reason(&other), Reason::IdempotencyKeyReused);
    // Which token is meant can no longer be told, and it need not be.
    service.register_tokens([token("ADA 2", &ada)]).await;
    let open = start_under(&service, &ada, "ONE", "b").await.unwrap_err();
    assert_eq!(reason(&open), Reason::InvalidRequest);
    assert_eq!(start_under(&service, &ada, "ONE", "a").await.unwrap().id, first.id);
    // Keys are each driver's own.
    assert_ne!(start_under(&service, &bob, "ONE", "a").await.unwrap().id, first.id);
}

async fn start_under(service: &Service, driver: &Driver, code: &str, key: &str) -> Result<ChargeCommand, Status> {
    let mut request = driver.asks(wish(code, None));
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    let started = client(service).start_my_charge(request).await?;
    Ok(started.into_inner())
}

#[tokio::test]
async fn a_driver_has_three_commands_under_way_however_many_are_asked_for_at_once_and_wherever() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for identity in ["CP1", "CP2"] {
        service.register(identity).await;
    }
    declare(&service, 1, coded("ONE"), None).await.unwrap();
    let elsewhere = UpdateConnectorRequest {
        identity: "CP2".to_owned(),
        connector_id: 1,
        ..coded("TWO")
    };
    service
        .charge_points()
        .update_connector(service.asks(elsewhere))
        .await
        .unwrap();
    let (ada, bob) = (Driver::sign_up().await, Driver::sign_up().await);
    service.register_tokens([token("ADA", &ada), token("BOB", &bob)]).await;
    // A place for each request that waits.
    for _ in 0..3 {
        let asked = (0..8).map(|number| {
            let code = if number % 2 == 0 { "ONE" } else { "TWO" };
            start(&service, &ada, wish(code, None))
        });
        futures_util::future::join_all(asked).await;
    }
    assert_eq!(commands(&service).await, 3);
    let refused = start(&service, &ada, wish("ONE", None)).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::TooManyRequests);
    // Each driver has room of their own.
    start(&service, &bob, wish("ONE", None)).await.unwrap();
    assert_eq!(commands(&service).await, 4);
}

#[tokio::test]
async fn a_connector_that_is_in_use_is_not_asked_for_and_one_that_may_be_is() {
    let database = Database::create().await;
    let (service, mut station) = coded_and_connected(&database).await;
    let ada = Driver::sign_up().await;
    service.register_tokens([token("ADA", &ada)]).await;
    for status in ["Charging", "Finishing", "Faulted", "Unavailable", "SuspendedEV"] {
        let payload = json!({"connectorId": 1, "status": status, "errorCode": "NoError"});
        station.call("StatusNotification", payload).await;
        let refused = start(&service, &ada, wish(CODE, None)).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::ConnectorNotFree, "{status}");
    }
    assert_eq!(commands(&service).await, 0);
    // Perhaps for whoever asks.
    let payload = json!({"connectorId": 1, "status": "Reserved", "errorCode": "NoError"});
    station.call("StatusNotification", payload).await;
    start(&service, &ada, wish(CODE, None)).await.unwrap();
    assert_eq!(commands(&service).await, 1);
}

#[tokio::test]
async fn a_charge_that_is_over_is_not_stopped_again() {
    let database = Database::create().await;
    let (service, mut station) = coded_and_connected(&database).await;
    let ada = Driver::sign_up().await;
    service.register_tokens([token("ADA", &ada)]).await;
    let charge = i32::try_from(station.start("ADA", 0, &seconds_ago(60)).await).unwrap();
    let stop = json!({"transactionId": charge, "meterStop": 10, "timestamp": seconds_ago(0)});
    station.call("StopTransaction", stop).await;
    let request = StopMyTransactionRequest {
        id: charge,
        wait_seconds: Some(0),
    };
    let refused = client(&service)
        .stop_my_transaction(ada.asks(request))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::TransactionStopped);
    assert_eq!(commands(&service).await, 0);
}
