//! Rule 9: how far a charge point's clock is from ours is kept.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use service_kit::clock::Clock as _;
use testbed::Database;

use crate::service::Service;
use crate::station::Station;

async fn tells(station: &mut Station, at: DateTime<Utc>) {
    let status = json!({"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": at});
    station.call("StatusNotification", status).await;
}

async fn offset(service: &Service) -> Option<f64> {
    service.charge_point("CP1").await.clock_offset_seconds
}

/// Rule 9.
#[tokio::test]
async fn a_clock_that_is_an_hour_ahead_is_seen_through_wild_values_and_queued_messages() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    assert_eq!(offset(&service).await, None);
    station.call("Heartbeat", json!({})).await;
    assert_eq!(offset(&service).await, None);

    let ahead = TimeDelta::hours(1);
    for _ in 0..2 {
        tells(&mut station, service.clock.now() + ahead).await;
        service.clock.advance(TimeDelta::seconds(30));
    }
    let is_an_hour = |offset: Option<f64>| offset.is_some_and(|seconds| (seconds - 3600.0).abs() < 5.0);
    assert!(is_an_hour(offset(&service).await));
    tells(&mut station, "2106-02-07T06:28:15Z".parse().unwrap()).await;
    // What was queued while it was offline.
    for minute in 0..10 {
        tells(
            &mut station,
            service.clock.now() + ahead - TimeDelta::minutes(60 - minute),
        )
        .await;
    }
    assert!(is_an_hour(offset(&service).await));

    // It is known of the charge point, whatever session it has.
    let mut station = Station::connect(&service, "CP1", &password).await;
    tells(&mut station, "1970-01-01T00:00:09Z".parse().unwrap()).await;
    assert!(is_an_hour(offset(&service).await));

    // Its clock is set.
    for _ in 0..14 {
        tells(&mut station, service.clock.now()).await;
        service.clock.advance(TimeDelta::seconds(30));
    }
    assert!(offset(&service).await.is_some_and(|seconds| seconds.abs() < 5.0));
}
