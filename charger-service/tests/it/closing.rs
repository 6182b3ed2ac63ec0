//! Transactions whose stop never came, and which an operator closes.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};
use crate::state::connected;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn closing(id: i64) -> CloseTransactionRequest {
    CloseTransactionRequest {
        id: i32::try_from(id).unwrap(),
        reason: "it burnt down".to_owned(),
        ..Default::default()
    }
}

async fn close(service: &Service, request: CloseTransactionRequest) -> Result<Transaction, Status> {
    let answer = service.transactions().close_transaction(service.asks(request)).await;
    answer.map(tonic::Response::into_inner)
}

/// Rule 4: an operator can close what is left.
#[tokio::test]
async fn a_transaction_without_a_stop_is_closed_by_its_last_register_and_shows_who_did_it() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 1000, "2026-03-01T12:00:00Z").await;
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
        {"timestamp": "2026-03-01T12:45:00Z", "sampledValue": [{"value": "3.5005", "unit": "kWh"}]}]});
    station.call("MeterValues", values).await;

    let closed = close(&service, closing(id)).await.unwrap();
    assert_eq!(
        (closed.status.as_str(), closed.meter_stop_wh, closed.energy_wh),
        ("completed", Some(3500), Some(2500))
    );
    assert_eq!(closed.stopped_at, Some(timestamp(time("2026-03-01T12:45:00Z"))));
    assert_eq!(closed.stop_reason.as_deref(), Some("Other"));
    assert!(closed.closed_by.is_some());
    assert_eq!(closed.close_reason.as_deref(), Some("it burnt down"));
    assert_eq!(service.transaction(id).await, closed);

    // Asked for again, it changes nothing.
    assert_eq!(close(&service, closing(id)).await.unwrap(), closed);
    let otherwise = CloseTransactionRequest {
        meter_stop_wh: Some(4000),
        ..closing(id)
    };
    assert_eq!(
        reason(&close(&service, otherwise).await.unwrap_err()),
        Reason::TransactionStopped
    );
    let audited = service.audited("transaction.").await;
    let details = json!({"transactionId": id, "meterStopWh": 3500, "stoppedAt": "2026-03-01T12:45:00+00:00",
        "reason": "it burnt down"});
    assert_eq!(audited, [("transaction.closed".to_owned(), details)]);
}

#[tokio::test]
async fn an_operator_who_has_read_the_meter_tells_register_and_time() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 1000, "2026-03-01T12:00:00Z").await;
    let read = CloseTransactionRequest {
        meter_stop_wh: Some(1500),
        stopped_at: Some(timestamp(time("2026-03-01T12:20:00Z"))),
        ..closing(id)
    };
    let closed = close(&service, read.clone()).await.unwrap();
    assert_eq!((closed.energy_wh, closed.stopped_at), (Some(500), read.stopped_at));
    assert_eq!(close(&service, read).await.unwrap(), closed);

    // Where nobody has read it and it never told, the energy stays unknown, and the end is now.
    let id = station.start("TAG", 1000, "2026-03-01T13:00:00Z").await;
    let closed = close(&service, closing(id)).await.unwrap();
    assert_eq!((closed.meter_stop_wh, closed.energy_wh), (None, None));
    assert_eq!(closed.stopped_at, closed.stop_received_at);
}

/// Rule 4: a stop is never lost.
#[tokio::test]
async fn a_stop_that_comes_after_an_operator_closed_its_transaction_is_a_stray_and_can_be_merged() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let read = CloseTransactionRequest {
        meter_stop_wh: Some(100),
        stopped_at: Some(timestamp(time("2026-03-01T13:00:00Z"))),
        ..closing(id)
    };
    let closed = close(&service, read).await.unwrap();
    // It says the very same, and who stopped it besides.
    let stop = json!({"transactionId": id, "meterStop": 100, "timestamp": "2026-03-01T13:00:00Z", "idTag": "TAG",
        "reason": "Local"});
    station.call("StopTransaction", stop).await;
    let strays = service.strays(ListStraysRequest::default()).await;
    assert_eq!(strays[0].reason, "already_stopped");
    assert_eq!(service.transaction(id).await, closed);

    let merged = service.merge(&strays[0], id).await.unwrap();
    let replaced = merged.replaced.unwrap();
    assert_eq!(
        (replaced.closed_by, replaced.close_reason.as_deref()),
        (closed.closed_by, Some("it burnt down"))
    );
    let transaction = service.transaction(id).await;
    assert_eq!(
        (transaction.closed_by, transaction.stop_reason.as_deref()),
        (None, Some("Local"))
    );
}

#[tokio::test]
async fn what_was_stopped_or_cannot_have_ended_so_is_not_closed() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 1000, "2026-03-01T12:00:00Z").await;
    let wrong = CloseTransactionRequest {
        meter_stop_wh: Some(999),
        stopped_at: Some(timestamp(time("2026-03-01T11:59:59Z"))),
        ..closing(id)
    };
    let refused = close(&service, wrong).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::InvalidRequest);
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["meterStopWh", "stoppedAt"]);
    let future = CloseTransactionRequest {
        stopped_at: Some(timestamp(Utc::now() + TimeDelta::hours(1))),
        ..closing(id)
    };
    assert_eq!(
        reason(&close(&service, future).await.unwrap_err()),
        Reason::InvalidRequest
    );
    assert_eq!(
        reason(&close(&service, closing(4711)).await.unwrap_err()),
        Reason::NotFound
    );
    assert_eq!(service.transaction(id).await.status, "active");

    station
        .call(
            "StopTransaction",
            json!({"transactionId": id, "meterStop": 1100, "timestamp": "2026-03-01T13:00:00Z"}),
        )
        .await;
    assert_eq!(
        reason(&close(&service, closing(id)).await.unwrap_err()),
        Reason::TransactionStopped
    );
    assert!(service.audited("transaction.").await.is_empty());
}
