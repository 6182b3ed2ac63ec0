//! How much power a charge point may draw, and when.

use serde_json::{Value, json};
use testbed::Database;

use crate::service::Service;
use crate::state::connected;
use crate::station::Station;

fn profile(id: i32, purpose: &str, stack_level: i32) -> Value {
    json!({"chargingProfileId": id, "stackLevel": stack_level, "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute", "validFrom": "2026-01-01T00:00:00Z",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.5}]}})
}

async fn set(service: &Service, station: &mut Station, connector: i32, profile: Value, answer: &str) {
    let request = json!({"connectorId": connector, "csChargingProfiles": profile});
    service
        .exchange(station, "SetChargingProfile", request, json!({"status": answer}))
        .await;
}

/// Id, connector, purpose, stack level and transaction of each.
async fn shown(service: &Service) -> Vec<Value> {
    let profiles = service.charging_profiles().await;
    profiles
        .into_iter()
        .map(|one| {
            json!([
                one.charging_profile_id,
                one.connector_id,
                one.purpose,
                one.stack_level,
                one.transaction_id
            ])
        })
        .collect()
}

#[tokio::test]
async fn a_profile_is_there_when_the_charge_point_confirms_it_and_replaces_its_like() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    for refusal in ["Rejected", "NotSupported"] {
        set(
            &service,
            &mut station,
            0,
            profile(1, "ChargePointMaxProfile", 0),
            refusal,
        )
        .await;
        assert_eq!(shown(&service).await, [Value::Null; 0]);
    }
    set(
        &service,
        &mut station,
        0,
        profile(1, "ChargePointMaxProfile", 0),
        "Accepted",
    )
    .await;
    set(&service, &mut station, 0, profile(2, "TxDefaultProfile", 0), "Accepted").await;
    // For one connector only, beside the default for all.
    set(&service, &mut station, 1, profile(3, "TxDefaultProfile", 0), "Accepted").await;
    set(&service, &mut station, 1, profile(4, "TxDefaultProfile", 1), "Accepted").await;
    let all = [
        json!([1, 0, "ChargePointMaxProfile", 0, null]),
        json!([2, 0, "TxDefaultProfile", 0, null]),
        json!([3, 1, "TxDefaultProfile", 0, null]),
        json!([4, 1, "TxDefaultProfile", 1, null]),
    ];
    assert_eq!(shown(&service).await, all);
    let kept = &service.charging_profiles().await[0];
    assert_eq!(
        serde_json::from_str::<Value>(&kept.profile).unwrap(),
        profile(1, "ChargePointMaxProfile", 0)
    );
    assert!(kept.valid_from.is_some() && kept.valid_to.is_none());

    // The same purpose and stack level on the connector, then the same id elsewhere.
    set(&service, &mut station, 1, profile(5, "TxDefaultProfile", 0), "Accepted").await;
    set(&service, &mut station, 2, profile(4, "TxDefaultProfile", 1), "Accepted").await;
    assert_eq!(
        shown(&service).await,
        [
            json!([1, 0, "ChargePointMaxProfile", 0, null]),
            json!([2, 0, "TxDefaultProfile", 0, null]),
            json!([4, 2, "TxDefaultProfile", 1, null]),
            json!([5, 1, "TxDefaultProfile", 0, null]),
        ]
    );
}

#[tokio::test]
async fn profiles_are_cleared_by_id_or_by_all_that_is_asked_for() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let cases = [
        (json!({"id": 2}), "Accepted", vec![1, 3, 4]),
        // What the charge point does not have, it does not have.
        (json!({"id": 2}), "Unknown", vec![1, 3, 4]),
        (json!({"connectorId": 1}), "Accepted", vec![1, 2]),
        (json!({"connectorId": 0}), "Accepted", vec![3, 4]),
        (
            json!({"chargingProfilePurpose": "TxDefaultProfile"}),
            "Accepted",
            vec![1],
        ),
        (json!({"stackLevel": 1}), "Accepted", vec![1, 2, 3]),
        (
            json!({"chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 0}),
            "Accepted",
            vec![1, 4],
        ),
        (json!({"connectorId": 1, "stackLevel": 0}), "Accepted", vec![1, 2, 4]),
        (json!({}), "Accepted", vec![]),
    ];
    for (criteria, answer, left) in cases {
        set(
            &service,
            &mut station,
            0,
            profile(1, "ChargePointMaxProfile", 0),
            "Accepted",
        )
        .await;
        set(&service, &mut station, 0, profile(2, "TxDefaultProfile", 0), "Accepted").await;
        set(&service, &mut station, 1, profile(3, "TxDefaultProfile", 0), "Accepted").await;
        set(&service, &mut station, 1, profile(4, "TxDefaultProfile", 1), "Accepted").await;
        service
            .exchange(
                &mut station,
                "ClearChargingProfile",
                criteria.clone(),
                json!({"status": answer}),
            )
            .await;
        let profiles = service.charging_profiles().await;
        let ids: Vec<_> = profiles.iter().map(|one| one.charging_profile_id).collect();
        assert_eq!(ids, left, "{criteria}");
    }
}

#[tokio::test]
async fn a_profile_for_a_transaction_ends_with_it() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let mut named = profile(1, "TxProfile", 0);
    named["transactionId"] = json!(id);
    set(&service, &mut station, 1, named, "Accepted").await;
    set(&service, &mut station, 1, profile(2, "TxProfile", 1), "Accepted").await;
    set(&service, &mut station, 2, profile(3, "TxProfile", 0), "Accepted").await;
    set(&service, &mut station, 1, profile(4, "TxDefaultProfile", 0), "Accepted").await;
    assert_eq!(shown(&service).await[0], json!([1, 1, "TxProfile", 0, id]));
    let stop = json!({"transactionId": id, "meterStop": 1, "timestamp": "2026-03-01T13:00:00Z"});
    station.call("StopTransaction", stop).await;
    assert_eq!(
        shown(&service).await,
        [
            json!([3, 2, "TxProfile", 0, null]),
            json!([4, 1, "TxDefaultProfile", 0, null])
        ]
    );
}

#[tokio::test]
async fn a_remote_start_brings_a_profile_for_the_transaction_that_follows_from_it() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let request = json!({"idTag": "TAG", "chargingProfile": profile(1, "TxProfile", 0)});
    for answer in ["Rejected", "Accepted"] {
        assert_eq!(shown(&service).await, [Value::Null; 0]);
        service
            .exchange(
                &mut station,
                "RemoteStartTransaction",
                request.clone(),
                json!({"status": answer}),
            )
            .await;
    }
    assert_eq!(shown(&service).await, [json!([1, null, "TxProfile", 0, null])]);
    let id = station.start("tag", 0, "2026-03-01T12:00:00Z").await;
    assert_eq!(shown(&service).await, [json!([1, 1, "TxProfile", 0, id])]);
    let stop = json!({"transactionId": id, "meterStop": 1, "timestamp": "2026-03-01T13:00:00Z"});
    station.call("StopTransaction", stop).await;
    assert_eq!(shown(&service).await, [Value::Null; 0]);
}

/// 5.16.3: of a purpose and a stack level there is one profile on a connector.
#[tokio::test]
async fn the_profile_of_a_remote_start_replaces_its_like_when_its_transaction_starts_and_not_when_that_is_refused() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let remote_start = |tag: &str, id: i32| json!({"idTag": tag, "chargingProfile": profile(id, "TxProfile", 0)});
    let accepted = json!({"status": "Accepted"});
    for (connector, id, level) in [(1, 1, 0), (1, 2, 1), (2, 3, 0)] {
        set(
            &service,
            &mut station,
            connector,
            profile(id, "TxProfile", level),
            "Accepted",
        )
        .await;
    }
    service
        .exchange(
            &mut station,
            "RemoteStartTransaction",
            remote_start("STRANGER", 4),
            accepted.clone(),
        )
        .await;
    let before = [
        json!([1, 1, "TxProfile", 0, null]),
        json!([2, 1, "TxProfile", 1, null]),
        json!([3, 2, "TxProfile", 0, null]),
        json!([4, null, "TxProfile", 0, null]),
    ];
    station.start("STRANGER", 0, "2026-03-01T12:00:00Z").await;
    assert_eq!(shown(&service).await, before);
    service
        .exchange(&mut station, "RemoteStartTransaction", remote_start("TAG", 5), accepted)
        .await;
    // It takes the place of the stranger's too: the charge point has room for one that waits.
    let id = station.start("TAG", 0, "2026-03-01T12:10:00Z").await;
    assert_eq!(
        shown(&service).await,
        [
            json!([2, 1, "TxProfile", 1, null]),
            json!([3, 2, "TxProfile", 0, null]),
            json!([5, 1, "TxProfile", 0, id]),
        ]
    );
}

#[tokio::test]
async fn the_last_composite_schedule_of_each_connector_is_kept() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let schedule = |limit: i32| json!({"chargingRateUnit": "W", "duration": 60, "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}]});
    let mut ask = async |connector: i32, answer: Value| {
        let request = json!({"connectorId": connector, "duration": 60, "chargingRateUnit": "W"});
        service
            .exchange(&mut station, "GetCompositeSchedule", request, answer)
            .await
    };
    for limit in [1000, 2000] {
        ask(
            1,
            json!({"status": "Accepted", "connectorId": 1, "scheduleStart": "2026-03-01T12:00:00Z",
                "chargingSchedule": schedule(limit)}),
        )
        .await;
    }
    ask(1, json!({"status": "Rejected"})).await;
    ask(0, json!({"status": "Accepted"})).await;
    let kept = service.composite_schedules().await;
    let shown: Vec<_> = kept
        .iter()
        .map(|one| {
            let schedule = one
                .schedule
                .as_deref()
                .map(|schedule| serde_json::from_str::<Value>(schedule).unwrap());
            (
                one.connector_id,
                one.duration_seconds,
                schedule,
                one.starts_at.is_some(),
            )
        })
        .collect();
    assert_eq!(shown, [(0, 60, None, false), (1, 60, Some(schedule(2000)), true)]);
}
