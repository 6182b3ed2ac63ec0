//! Codes that people type in are in no log.

use serde_json::json;
use testbed::Database;
use voltgate_proto::ocpp::v1::charge_point_audit_service_client::ChargePointAuditServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::Service;
use crate::station::Station;

/// Of letters too, since numbers stand everywhere in a log.
const CODE: &str = "Zq73519#";

async fn logs(service: &Service) -> String {
    sqlx::query_scalar(
        "SELECT (SELECT coalesce(string_agg(row_to_json(audit)::text, ''), '') FROM ocpp.audit)
             || (SELECT coalesce(string_agg(row_to_json(message)::text, ''), '') FROM ocpp.message)",
    )
    .fetch_one(&service.pool)
    .await
    .unwrap()
}

/// Rule 7: KeyCode values are never logged.
#[tokio::test]
async fn a_code_stands_in_no_log_and_its_entries_are_found_by_whoever_knows_it() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    service
        .register_tokens([CreateIdTokenRequest {
            id_token: CODE.to_owned(),
            r#type: Some("KeyCode".to_owned()),
            ..Default::default()
        }])
        .await;
    let authorized = station.call("Authorize", json!({ "idTag": CODE })).await;
    assert_eq!(authorized["idTagInfo"]["status"], "Accepted");
    let transaction = station.start(CODE, 0, "2026-03-01T12:00:00Z").await;
    let stop =
        json!({"transactionId": transaction, "idTag": CODE, "meterStop": 1, "timestamp": "2026-03-01T13:00:00Z"});
    station.call("StopTransaction", stop.clone()).await;
    // Repeated, and of no use.
    station.call("StopTransaction", stop).await;
    let nonsense = json!([9, "x", "Authorize", { "idTag": CODE }]);
    station.send(&nonsense.to_string()).await;
    station.call("Heartbeat", json!({})).await;
    let remote = service.command("CP1", "RemoteStartTransaction", json!({ "idTag": CODE }), 5);
    let (id, _, payload) = station.called().await;
    assert_eq!(payload["idTag"], CODE);
    station.answer(&id, json!({"status": "Accepted"})).await;
    remote.await.unwrap().unwrap();

    let mut id_tokens = service.id_tokens();
    // No code any more, but what was one is kept as one.
    let change = UpdateIdTokenRequest {
        id_token: CODE.to_owned(),
        r#type: Some("Local".to_owned()),
        ..Default::default()
    };
    id_tokens.update_id_token(service.asks(change.clone())).await.unwrap();
    let back = UpdateIdTokenRequest {
        r#type: Some("KeyCode".to_owned()),
        ..change
    };
    id_tokens.update_id_token(service.asks(back)).await.unwrap();
    let delete = DeleteIdTokenRequest {
        id_token: CODE.to_owned(),
    };
    id_tokens.delete_id_token(service.asks(delete)).await.unwrap();

    let logs = logs(&service).await;
    assert!(!logs.contains(CODE), "{logs}");
    let of_code = ListAuditEntriesRequest {
        id_token: Some(CODE.to_owned()),
        ..Default::default()
    };
    let entries = ChargePointAuditServiceClient::new(service.channel.clone())
        .list_audit_entries(service.asks(of_code))
        .await
        .unwrap()
        .into_inner()
        .entries;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "id-token.deleted",
            "id-token.updated",
            "id-token.updated",
            "id-token.created"
        ]
    );
    assert!(
        entries
            .iter()
            .all(|entry| entry.id_token.as_deref().unwrap().starts_with("KeyCode "))
    );
    let requests: Vec<_> = service
        .messages("CP1")
        .await
        .into_iter()
        .map(|message| message.request)
        .collect();
    assert!(
        requests.iter().any(|request| request.contains(r#""idTag":"KeyCode "#)),
        "{requests:?}"
    );
}

/// A frame that comes in again is known by its number, although the log does not have the code.
#[tokio::test]
async fn a_start_with_a_code_that_comes_again_after_a_break_is_answered_as_before() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    service
        .register_tokens([CreateIdTokenRequest {
            id_token: CODE.to_owned(),
            r#type: Some("KeyCode".to_owned()),
            ..Default::default()
        }])
        .await;
    let start = json!([2, "s", "StartTransaction",
        {"connectorId": 1, "idTag": CODE, "meterStart": 7, "timestamp": "2026-03-01T12:00:00Z"}])
    .to_string();
    station.send(&start).await;
    let first = station.frame().await;
    let stop = json!({"transactionId": first[2]["transactionId"], "meterStop": 9, "timestamp": "2026-03-01T13:00:00Z"});
    station.call("StopTransaction", stop).await;
    // The answers got lost on the way, so both frames come again.
    station.has_received_only(0);
    station.resume(&service).await.unwrap();
    station.send_again(1, &start).await;
    assert_eq!(station.frame().await, first);
    assert_eq!(service.transactions_of("CP1").await.len(), 1);
}
