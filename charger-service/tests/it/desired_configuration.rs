//! What operators want configuration keys to be, whether the charge point is there or not, and agrees or not.

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tonic::transport::Channel;
use tonic::{Response, Status};
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::charge_point_audit_service_client::ChargePointAuditServiceClient;
use voltgate_proto::ocpp::v1::configuration_service_client::ConfigurationServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, eventually, reason};
use crate::state::connected;
use crate::station::Station;

fn client(service: &Service) -> ConfigurationServiceClient<Channel> {
    ConfigurationServiceClient::new(service.channel.clone())
}

async fn desire(service: &Service, key: &str, value: &str) -> Result<ConfigurationKey, Status> {
    let request = DesireConfigurationRequest {
        identity: "CP1".to_owned(),
        key: key.to_owned(),
        value: Some(value.to_owned()),
    };
    let desired = client(service).desire_configuration(service.asks(request)).await;
    desired.map(Response::into_inner)
}

async fn withdraw(service: &Service, key: &str) -> Result<(), Status> {
    let request = WithdrawConfigurationRequest {
        identity: "CP1".to_owned(),
        key: key.to_owned(),
    };
    let withdrawn = client(service).withdraw_configuration(service.asks(request)).await;
    withdrawn.map(Response::into_inner)
}

/// Reported and desired value, the state of the wish, what the charge point answered, and whether there is drift.
fn shown(key: &ConfigurationKey) -> Value {
    json!([
        key.reported_value,
        key.desired_value,
        key.desired_state,
        key.desired_status,
        key.drift
    ])
}

async fn of_key(service: &Service, name: &str) -> Value {
    let keys = service.configuration().await;
    let key = keys.iter().find(|key| key.key.eq_ignore_ascii_case(name));
    key.map(shown).unwrap_or_default()
}

async fn answers(service: &Service, station: &mut Station, value: &str, answer: &str) {
    let (id, action, payload) = station.called().await;
    assert_eq!(
        (action.as_str(), payload),
        (
            "ChangeConfiguration",
            json!({"key": "HeartbeatInterval", "value": value})
        )
    );
    station.answer(&id, json!({ "status": answer })).await;
    eventually("the wish is answered", async || {
        of_key(service, "HeartbeatInterval").await[2] != "pending"
    })
    .await;
}

#[tokio::test]
async fn a_wish_stands_whatever_the_charge_point_answers() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let key = "HeartbeatInterval";
    let stated = desire(&service, key, "60").await.unwrap();
    assert_eq!(shown(&stated), json!([null, "60", "pending", null, true]));
    answers(&service, &mut station, "60", "Rejected").await;
    assert_eq!(
        of_key(&service, key).await,
        json!([null, "60", "rejected", "Rejected", true])
    );
    desire(&service, key, "60").await.unwrap();
    answers(&service, &mut station, "60", "Accepted").await;
    assert_eq!(
        of_key(&service, key).await,
        json!(["60", "60", "accepted", "Accepted", false])
    );
    desire(&service, key, "90").await.unwrap();
    answers(&service, &mut station, "90", "RebootRequired").await;
    assert_eq!(
        of_key(&service, key).await,
        json!(["60", "90", "rebootRequired", "RebootRequired", true])
    );
    desire(&service, key, "120").await.unwrap();
    answers(&service, &mut station, "120", "NotSupported").await;
    assert_eq!(
        of_key(&service, key).await,
        json!([null, "120", "notSupported", "NotSupported", true])
    );
    desire(&service, key, "30").await.unwrap();
    let (id, _, _) = station.called().await;
    station.send(&json!([4, id, "InternalError", "", {}]).to_string()).await;
    eventually("it has failed", async || of_key(&service, key).await[2] == "failed").await;
}

#[tokio::test]
async fn what_a_charge_point_reports_later_and_what_others_send_shows_as_drift() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    desire(&service, "HeartbeatInterval", "60").await.unwrap();
    answers(&service, &mut station, "60", "Accepted").await;
    desire(&service, "MeterValueSampleInterval", "30").await.unwrap();
    let (id, _, _) = station.called().await;
    station.answer(&id, json!({"status": "Accepted"})).await;
    let report = json!({"configurationKey": [
        {"key": "HeartbeatInterval", "readonly": false, "value": "300"},
        {"key": "MeterValueSampleInterval", "readonly": false, "value": "30"}]});
    service
        .exchange(&mut station, "GetConfiguration", json!({}), report)
        .await;
    let list = async |drift| {
        let request = ListConfigurationRequest {
            identity: "CP1".to_owned(),
            drift: Some(drift),
            ..Default::default()
        };
        let listed = client(&service)
            .list_configuration(service.asks(request))
            .await
            .unwrap();
        let keys = listed.into_inner().keys.into_iter().map(|key| key.key);
        keys.collect::<Vec<_>>()
    };
    assert_eq!(list(true).await, ["HeartbeatInterval"]);
    assert_eq!(list(false).await, ["MeterValueSampleInterval"]);

    let by_hand = json!({"key": "MeterValueSampleInterval", "value": "10"});
    service
        .exchange(
            &mut station,
            "ChangeConfiguration",
            by_hand,
            json!({"status": "Accepted"}),
        )
        .await;
    assert_eq!(
        of_key(&service, "MeterValueSampleInterval").await,
        json!(["10", "30", "accepted", "Accepted", true])
    );
}

#[tokio::test]
async fn a_charge_point_that_is_away_is_told_the_last_wish_when_it_is_back() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let first = desire(&service, "HeartbeatInterval", "60").await.unwrap();
    // The same once more is no other wish.
    let again = desire(&service, "heartbeatinterval", "60").await.unwrap();
    assert_eq!(again.desired_command_id, first.desired_command_id);
    desire(&service, "HeartbeatInterval", "90").await.unwrap();
    let command = service.get_command(&first.desired_command_id.unwrap()).await;
    assert_eq!(command.status, "expired");
    // Longer than any other command waits where nobody says how long.
    service.clock.advance(chrono::TimeDelta::hours(25));
    let mut station = Station::connect(&service, "CP1", &password).await;
    answers(&service, &mut station, "90", "Accepted").await;
    assert_eq!(
        of_key(&service, "HeartbeatInterval").await,
        json!(["90", "90", "accepted", "Accepted", false])
    );
    let sent: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.command WHERE sent_at IS NOT NULL")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(sent, 1);
}

#[tokio::test]
async fn a_wish_is_withdrawn_with_what_waits_and_what_was_reported_stays() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let stated = desire(&service, "Fancy", "1").await.unwrap();
    withdraw(&service, "FANCY").await.unwrap();
    assert_eq!(of_key(&service, "Fancy").await, Value::Null);
    let command = service.get_command(&stated.desired_command_id.unwrap()).await;
    assert_eq!(command.status, "expired");
    assert_eq!(
        reason(&withdraw(&service, "Fancy").await.unwrap_err()),
        Reason::NotFound
    );

    sqlx::query(
        "INSERT INTO ocpp.configuration_key (charge_point_id, key, known, reported_value, reported_at)
         SELECT id, 'HeartbeatInterval', true, '300', now() FROM ocpp.charge_point",
    )
    .execute(&service.pool)
    .await
    .unwrap();
    desire(&service, "HeartbeatInterval", "60").await.unwrap();
    withdraw(&service, "HeartbeatInterval").await.unwrap();
    assert_eq!(
        of_key(&service, "HeartbeatInterval").await,
        json!(["300", null, null, null, false])
    );
    let listed = ChargePointAuditServiceClient::new(service.channel.clone())
        .list_audit_entries(service.asks(ListAuditEntriesRequest {
            charge_point: Some("CP1".to_owned()),
            ..Default::default()
        }))
        .await
        .unwrap()
        .into_inner();
    let actions: Vec<_> = listed.entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions[..6],
        [
            "configuration.withdrawn",
            "configuration.desired",
            "command.requested",
            "configuration.withdrawn",
            "configuration.desired",
            "command.requested"
        ]
    );
}

#[tokio::test]
async fn a_password_is_refused_with_a_word_on_where_it_is_changed() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let status = desire(&service, "authorizationkey", "0123456789abcdef")
        .await
        .unwrap_err();
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "key");
    assert!(violations[0].description.contains("rotate-password"), "{violations:?}");
    assert!(!service.everything_kept().await.contains("0123456789abcdef"));
    let unknown = DesireConfigurationRequest {
        identity: "CP9".to_owned(),
        key: "a".to_owned(),
        value: Some(String::new()),
    };
    let status = client(&service)
        .desire_configuration(service.asks(unknown))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::NotFound);
}
