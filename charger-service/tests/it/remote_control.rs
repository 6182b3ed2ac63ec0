//! What operators have charge points do, in words that mean the same in every version of OCPP.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Request, Status};
use voltgate_proto::ocpp::v1::remote_control_service_client::RemoteControlServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};
use crate::state::connected;
use crate::station::Station;

type Asking = JoinHandle<Result<Command, Status>>;

/// Asks beside the test, which plays the charge point meanwhile.
macro_rules! ask {
    ($service:expr, $rpc:ident, $request:expr) => {{
        let (mut client, request) = (client($service), $service.asks($request));
        let asking: Asking = tokio::spawn(async move { client.$rpc(request).await.map(tonic::Response::into_inner) });
        asking
    }};
}

fn client(service: &Service) -> RemoteControlServiceClient<Channel> {
    RemoteControlServiceClient::new(service.channel.clone())
}

/// The charge point is sent this, and takes it.
async fn taken(station: &mut Station, asking: Asking, action: &str, payload: Value) -> Command {
    let (id, called, received) = station.called().await;
    assert_eq!((called.as_str(), &received), (action, &payload));
    station.answer(&id, json!({"status": "Accepted"})).await;
    let command = asking.await.unwrap().unwrap();
    assert_eq!((command.status.as_str(), command.action.as_str()), ("accepted", action));
    command
}

fn identity() -> String {
    "CP1".to_owned()
}

#[tokio::test]
async fn an_operator_starts_and_stops_a_charge_and_lets_go_of_the_cable() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("CARD1").await;
    let start = StartChargingRequest {
        identity: identity(),
        id_token: "CARD1".to_owned(),
        connector_id: Some(1),
        ..Default::default()
    };
    let asking = ask!(&service, start_charging, start);
    let payload = json!({"connectorId": 1, "idTag": "CARD1"});
    taken(&mut station, asking, "RemoteStartTransaction", payload).await;

    let transaction = station.start("CARD1", 0, "2026-03-01T12:00:00Z").await;
    let stop = StopChargingRequest {
        id: i32::try_from(transaction).unwrap(),
        ..Default::default()
    };
    let asking = ask!(&service, stop_charging, stop);
    let payload = json!({"transactionId": transaction});
    let command = taken(&mut station, asking, "RemoteStopTransaction", payload).await;
    assert_eq!(command.identity, "CP1");

    let unlock = UnlockConnectorRequest {
        identity: identity(),
        connector_id: Some(1),
        ..Default::default()
    };
    let asking = ask!(&service, unlock_connector, unlock);
    taken(&mut station, asking, "UnlockConnector", json!({"connectorId": 1})).await;
}

#[tokio::test]
async fn an_operator_resets_a_charge_point_and_takes_it_out_of_service() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    for (immediately, kind) in [(false, "Soft"), (true, "Hard")] {
        let reset = ResetChargePointRequest {
            identity: identity(),
            immediately,
            ..Default::default()
        };
        let asking = ask!(&service, reset_charge_point, reset);
        taken(&mut station, asking, "Reset", json!({"type": kind})).await;
    }
    let availability = SetAvailabilityRequest {
        identity: identity(),
        operative: Some(false),
        ..Default::default()
    };
    let asking = ask!(&service, set_availability, availability);
    let payload = json!({"connectorId": 0, "type": "Inoperative"});
    taken(&mut station, asking, "ChangeAvailability", payload).await;
}

#[tokio::test]
async fn a_limit_stands_above_other_profiles_and_takes_the_place_of_the_one_before_until_it_is_cleared() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let configuration =
        json!({"configurationKey": [{"key": "ChargeProfileMaxStackLevel", "readonly": true, "value": "8"}]});
    service
        .exchange(&mut station, "GetConfiguration", json!({}), configuration)
        .await;
    for limit in [16.0, 10.05] {
        let request = SetChargingLimitRequest {
            identity: identity(),
            connector_id: 1,
            limit: Some(limit),
            unit: Some("A".to_owned()),
            ..Default::default()
        };
        let asking = ask!(&service, set_charging_limit, request);
        let (id, action, payload) = station.called().await;
        assert_eq!(action, "SetChargingProfile");
        let profile = &payload["csChargingProfiles"];
        assert_eq!(payload["connectorId"], 1);
        assert_eq!(
            (&profile["stackLevel"], &profile["chargingProfilePurpose"]),
            (&json!(8), &json!("TxDefaultProfile"))
        );
        let start: DateTime<Utc> = profile["chargingSchedule"]["startSchedule"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((Utc::now() - start).num_seconds().abs() < 60, "{start}");
        station.answer(&id, json!({"status": "Accepted"})).await;
        asking.await.unwrap().unwrap();
    }
    let profiles = service.charging_profiles().await;
    let [profile] = profiles.as_slice() else {
        panic!("there is one, not {profiles:?}")
    };
    assert!(profile.profile.contains(r#""limit":10}"#), "{profile:?}");

    let clear = ClearChargingLimitRequest {
        identity: identity(),
        connector_id: 1,
        ..Default::default()
    };
    let asking = ask!(&service, clear_charging_limit, clear);
    let payload = json!({"id": profile.charging_profile_id});
    taken(&mut station, asking, "ClearChargingProfile", payload).await;
    assert_eq!(service.charging_profiles().await, []);
}

/// Rule 10: nothing is guessed, and what the charge point says is kept as it is.
#[tokio::test]
async fn a_charge_point_is_asked_for_what_it_may_refuse() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let unlock = UnlockConnectorRequest {
        identity: identity(),
        connector_id: Some(99),
        ..Default::default()
    };
    let asking = ask!(&service, unlock_connector, unlock);
    let (id, _, payload) = station.called().await;
    assert_eq!(payload, json!({"connectorId": 99}));
    station.answer(&id, json!({"status": "NotSupported"})).await;
    let command = asking.await.unwrap().unwrap();
    assert_eq!(
        (command.status.as_str(), command.response.as_deref()),
        ("rejected", Some(r#"{"status":"NotSupported"}"#))
    );
}

#[tokio::test]
async fn a_verb_is_safe_to_repeat_under_its_key_and_another_one_is_refused() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let reset = |immediately| {
        let request = ResetChargePointRequest {
            identity: identity(),
            immediately,
            wait_seconds: Some(0),
            ..Default::default()
        };
        let mut request: Request<ResetChargePointRequest> = service.asks(request);
        request
            .metadata_mut()
            .insert("idempotency-key", "monday".parse().unwrap());
        let mut client = client(&service);
        async move { client.reset_charge_point(request).await }
    };
    let first = reset(false).await.unwrap().into_inner();
    let again = reset(false).await.unwrap().into_inner();
    assert_eq!(first.id, again.id);
    assert_eq!(reason(&reset(true).await.unwrap_err()), Reason::IdempotencyKeyReused);
    let (id, _, _) = station.called().await;
    assert_eq!(id, first.id);
}

#[tokio::test]
async fn a_start_for_nobody_and_a_stop_of_nothing_are_refused() {
    let database = Database::create().await;
    let (service, _station) = connected(&database).await;
    let refused = ask!(
        &service,
        stop_charging,
        StopChargingRequest {
            id: 4711,
            ..Default::default()
        }
    );
    assert_eq!(reason(&refused.await.unwrap().unwrap_err()), Reason::NotFound);
    let elsewhere = SetChargingLimitRequest {
        identity: "CP2".to_owned(),
        limit: Some(1.0),
        unit: Some("W".to_owned()),
        ..Default::default()
    };
    let refused = ask!(&service, set_charging_limit, elsewhere);
    assert_eq!(reason(&refused.await.unwrap().unwrap_err()), Reason::NotFound);
    let nobody = StartChargingRequest {
        identity: identity(),
        wait_seconds: Some(121),
        ..Default::default()
    };
    let refused = ask!(&service, start_charging, nobody);
    assert_eq!(reason(&refused.await.unwrap().unwrap_err()), Reason::InvalidRequest);
}
