//! Connectors that are kept free for a token.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use testbed::Database;

use crate::service::Service;
use crate::state::connected;
use crate::station::Station;

async fn reserve(service: &Service, station: &mut Station, number: i32, connector: i32, answer: &str) {
    let expiry = (Utc::now() + TimeDelta::minutes(10)).to_rfc3339();
    let request = json!({"connectorId": connector, "expiryDate": expiry, "idTag": "TAG", "parentIdTag": "FLEET",
        "reservationId": number});
    let command = service
        .exchange(station, "ReserveNow", request, json!({"status": answer}))
        .await;
    assert_eq!(
        command.status,
        if answer == "Accepted" { "accepted" } else { "rejected" }
    );
}

/// Number, connector, status and answer of each, newest first.
async fn shown(service: &Service) -> Vec<Value> {
    let reservations = service.reservations().await;
    reservations
        .into_iter()
        .map(|one| json!([one.reservation_id, one.connector_id, one.status, one.answer]))
        .collect()
}

#[tokio::test]
async fn a_reservation_holds_as_the_charge_point_answers_until_it_is_cancelled() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    for (number, answer) in (1..).zip(["Faulted", "Occupied", "Rejected", "Unavailable"]) {
        reserve(&service, &mut station, number, 1, answer).await;
        assert_eq!(shown(&service).await[0], json!([number, 1, "rejected", answer]));
    }
    reserve(&service, &mut station, 5, 0, "Accepted").await;
    assert_eq!(shown(&service).await[0], json!([5, 0, "accepted", "Accepted"]));
    let reservation = service.reservations().await.remove(0);
    assert_eq!(
        (reservation.id_tag.as_str(), reservation.parent_id_tag.as_deref()),
        ("TAG", Some("FLEET"))
    );
    assert_eq!(service.get_command(&reservation.id).await.action, "ReserveNow");

    let cancel = json!({"reservationId": 5});
    service
        .exchange(
            &mut station,
            "CancelReservation",
            cancel.clone(),
            json!({"status": "Rejected"}),
        )
        .await;
    assert_eq!(shown(&service).await[0], json!([5, 0, "accepted", "Accepted"]));
    service
        .exchange(&mut station, "CancelReservation", cancel, json!({"status": "Accepted"}))
        .await;
    assert_eq!(shown(&service).await[0], json!([5, 0, "cancelled", "Accepted"]));
}

/// Rule 10 of the OCPP decisions: ids may be reused.
#[tokio::test]
async fn a_reservation_with_the_number_of_another_replaces_it_once_it_is_accepted() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    reserve(&service, &mut station, 7, 1, "Accepted").await;
    reserve(&service, &mut station, 7, 2, "Occupied").await;
    assert_eq!(
        shown(&service).await,
        [
            json!([7, 2, "rejected", "Occupied"]),
            json!([7, 1, "accepted", "Accepted"])
        ]
    );
    reserve(&service, &mut station, 7, 2, "Accepted").await;
    assert_eq!(
        shown(&service).await,
        [
            json!([7, 2, "accepted", "Accepted"]),
            json!([7, 2, "rejected", "Occupied"]),
            json!([7, 1, "replaced", "Accepted"])
        ]
    );
}

#[tokio::test]
async fn a_transaction_that_names_a_reservation_uses_it() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    reserve(&service, &mut station, 3, 1, "Accepted").await;
    let start = json!({"connectorId": 1, "idTag": "TAG", "meterStart": 0, "reservationId": 3,
        "timestamp": "2026-03-01T12:00:00Z"});
    let id = station.call("StartTransaction", start.clone()).await["transactionId"].as_i64();
    let used = service.reservations().await.remove(0);
    assert_eq!((used.status.as_str(), used.transaction_id.map(i64::from)), ("used", id));
    assert!(used.ended_at.is_some());
    // Its number may be given again, which a repeated start does not touch.
    reserve(&service, &mut station, 3, 1, "Accepted").await;
    assert_eq!(
        station.call("StartTransaction", start).await["transactionId"].as_i64(),
        id
    );
    assert_eq!(shown(&service).await[0], json!([3, 1, "accepted", "Accepted"]));
}

/// Rule 3: a refused start is stored, and uses nothing up.
#[tokio::test]
async fn a_start_that_is_refused_leaves_the_reservation_to_whom_it_is_for() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    reserve(&service, &mut station, 3, 1, "Accepted").await;
    let start = |tag: &str| json!({"connectorId": 1, "idTag": tag, "meterStart": 0, "reservationId": 3, "timestamp": "2026-03-01T12:00:00Z"});
    let refused = station.call("StartTransaction", start("STRANGER")).await;
    assert_eq!(refused["idTagInfo"]["status"], "Invalid");
    assert_eq!(shown(&service).await[0], json!([3, 1, "accepted", "Accepted"]));
    station.call("StartTransaction", start("TAG")).await;
    assert_eq!(shown(&service).await[0], json!([3, 1, "used", "Accepted"]));
}

#[tokio::test]
async fn a_reservation_expires_at_its_time_and_its_number_is_free_then() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    reserve(&service, &mut station, 3, 1, "Accepted").await;
    service.clock.advance(TimeDelta::minutes(11));
    let expired = service.reservations().await.remove(0);
    assert_eq!(
        (expired.status.as_str(), expired.ended_at),
        ("expired", expired.expires_at)
    );
    reserve(&service, &mut station, 3, 1, "Accepted").await;
    assert_eq!(shown(&service).await[1], json!([3, 1, "expired", "Accepted"]));
}

#[tokio::test]
async fn reservations_of_all_charge_points_are_listed_newest_first() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    for number in 1..=3 {
        reserve(&service, &mut station, number, 1, "Accepted").await;
    }
    let first = service.reservations_of_all(2, "").await;
    let second = service.reservations_of_all(2, &first.next_page_token).await;
    let numbers: Vec<_> = first
        .reservations
        .iter()
        .chain(&second.reservations)
        .map(|one| one.reservation_id)
        .collect();
    assert_eq!((numbers, second.next_page_token.as_str()), (vec![3, 2, 1], ""));
    assert!(first.reservations.iter().all(|one| one.identity == "CP1"));
}
