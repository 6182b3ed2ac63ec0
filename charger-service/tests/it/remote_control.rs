//! What operators have charge points do, in words that mean the same in every version of OCPP.

use chrono::TimeDelta;
use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Channel;
use voltgate_proto::ocpp::v1::certificate_service_client::CertificateServiceClient;
use voltgate_proto::ocpp::v1::job_service_client::JobServiceClient;
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
        // It holds whatever the clock of the charge point shows.
        assert_eq!(profile["chargingSchedule"]["startSchedule"], "1970-01-01T00:00:00Z");
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

/// 5.16.3: of two profiles of one purpose and level on a connector, a charge point keeps the later.
#[tokio::test]
async fn a_limit_takes_the_place_of_no_profile_that_was_sent_otherwise_and_stays_one_command_when_it_is_repeated() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let limit = |connector_id| {
        let mut request = service.asks(SetChargingLimitRequest {
            identity: identity(),
            connector_id,
            limit: Some(16.0),
            unit: Some("A".to_owned()),
            ..Default::default()
        });
        let key = format!("limit {connector_id}").parse().unwrap();
        request.metadata_mut().insert("idempotency-key", key);
        let mut client = client(&service);
        let asking: Asking = tokio::spawn(async move {
            client
                .set_charging_limit(request)
                .await
                .map(tonic::Response::into_inner)
        });
        asking
    };
    let mut profile = json!({"chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute", "chargingSchedule": {"chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32}]}});
    let sent = json!({"connectorId": 1, "csChargingProfiles": profile});
    let accepted = json!({"status": "Accepted"});
    service
        .exchange(&mut station, "SetChargingProfile", sent, accepted.clone())
        .await;
    let mut ids = Vec::new();
    // It has not said how many levels it knows, and there is none of this purpose on the other connectors.
    for (connector_id, level) in [(1, 1), (2, 0), (0, 0)] {
        let asking = limit(connector_id);
        let (id, _, payload) = station.called().await;
        assert_eq!(payload["csChargingProfiles"]["stackLevel"], level, "{payload}");
        station.answer(&id, accepted.clone()).await;
        ids.push(asking.await.unwrap().unwrap().id);
    }
    assert_eq!(service.charging_profiles().await.len(), 4);
    // Now it would be another level.
    profile["chargingProfileId"] = 2.into();
    profile["stackLevel"] = 1.into();
    let sent = json!({"connectorId": 2, "csChargingProfiles": profile});
    service
        .exchange(&mut station, "SetChargingProfile", sent, accepted.clone())
        .await;
    let configuration =
        json!({"configurationKey": [{"key": "ChargeProfileMaxStackLevel", "readonly": true, "value": "1"}]});
    service
        .exchange(&mut station, "GetConfiguration", json!({}), configuration)
        .await;
    for (connector_id, id) in [1, 2, 0].into_iter().zip(ids) {
        assert_eq!(limit(connector_id).await.unwrap().unwrap().id, id);
    }
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

/// Whatever is made here for them is another one each time: times, numbers, tokens.
#[tokio::test]
async fn every_verb_is_safe_to_repeat_under_its_key_and_another_request_is_refused() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("CARD1").await;
    let mut transactions = Vec::new();
    for started in ["2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"] {
        let transaction = station.start("CARD1", 0, started).await;
        transactions.push(i32::try_from(transaction).unwrap());
    }
    service.upload_firmware("fw.bin", b"firmware").await.unwrap();
    // What is sent waits.
    station.hang_up().await;
    macro_rules! repeat {
        ($client:expr, $rpc:ident, $request:ident { $($given:tt)* }, $field:ident: $other:expr) => {{
            let ask = async |request: $request| {
                let mut request = service.asks(request);
                let key = stringify!($rpc).parse().unwrap();
                request.metadata_mut().insert("idempotency-key", key);
                $client.$rpc(request).await.map(tonic::Response::into_inner)
            };
            let request = $request {
                wait_seconds: Some(0),
                $($given)*
                ..Default::default()
            };
            let first = ask(request.clone()).await.unwrap();
            service.clock.advance(TimeDelta::seconds(1));
            let mut again = request.clone();
            again.expires_in_seconds = Some(120);
            assert_eq!(ask(again).await.unwrap().id, first.id, stringify!($rpc));
            let mut other = request;
            other.$field = $other;
            let refused = ask(other).await.unwrap_err();
            assert_eq!(reason(&refused), Reason::IdempotencyKeyReused, stringify!($rpc));
        }};
    }
    let id_token = "CARD1".to_owned();
    repeat!(client(&service), start_charging, StartChargingRequest { identity: identity(), id_token, },
        connector_id: Some(1));
    let id = transactions[0];
    repeat!(client(&service), stop_charging, StopChargingRequest { id, }, id: transactions[1]);
    repeat!(client(&service), unlock_connector, UnlockConnectorRequest { identity: identity(), connector_id: Some(1), },
        connector_id: Some(2));
    repeat!(client(&service), reset_charge_point, ResetChargePointRequest { identity: identity(), }, immediately: true);
    repeat!(client(&service), set_availability, SetAvailabilityRequest { identity: identity(), operative: Some(true), },
        operative: Some(false));
    let unit = Some("A".to_owned());
    repeat!(client(&service), set_charging_limit,
        SetChargingLimitRequest { identity: identity(), limit: Some(16.0), unit, }, limit: Some(10.0));
    repeat!(client(&service), clear_charging_limit, ClearChargingLimitRequest { identity: identity(), },
        connector_id: 1);
    let jobs = || JobServiceClient::new(service.channel.clone());
    repeat!(jobs(), request_diagnostics, RequestDiagnosticsRequest { identity: identity(), }, retries: Some(1));
    let log_type = "SecurityLog".to_owned();
    repeat!(jobs(), request_log, RequestLogRequest { identity: identity(), log_type, },
        log_type: "DiagnosticsLog".to_owned());
    let firmware = "fw.bin".to_owned();
    repeat!(jobs(), update_firmware, UpdateFirmwareRequest { identity: identity(), firmware, },
        retrieve_at: Some(prost_types::Timestamp::default()));
    let charge_points = || service.charge_points();
    repeat!(charge_points(), rotate_password, RotatePasswordRequest { identity: identity(), },
        password: Some("another".to_owned()));
    service.register("CP2").await;
    let certificates = || CertificateServiceClient::new(service.channel.clone());
    repeat!(certificates(), renew_certificate, RenewCertificateRequest { identity: identity(), },
        identity: "CP2".to_owned());
    for (table, rows) in [("command", 12), ("transfer", 3)] {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM ocpp.{table}"));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&service.pool).await.unwrap();
        assert_eq!(count, rows, "{table}");
    }
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
