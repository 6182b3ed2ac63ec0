//! What a charge point says of its configuration, and what operators make of it.

use serde_json::{Value, json};
use testbed::Database;
use voltgate_proto::ocpp::v1::ConfigurationKey;

use crate::service::Service;
use crate::state::connected;

/// Name, whether it is known, reported and desired value, and whether they differ.
async fn shown(service: &Service) -> Vec<Value> {
    let keys = service.configuration().await;
    keys.into_iter()
        .map(|key: ConfigurationKey| json!([key.key, key.known, key.reported_value, key.desired_value, key.drift]))
        .collect()
}

#[tokio::test]
async fn what_get_configuration_tells_is_known_key_by_key() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let answer = json!({"configurationKey": [
        {"key": "NumberOfConnectors", "readonly": true, "value": "2"},
        {"key": "HeartbeatInterval", "readonly": false, "value": "300"},
        {"key": "SupportedFeatureProfiles", "readonly": true}],
        "unknownKey": ["Fancy"]});
    let asked = json!({"key": ["NumberOfConnectors", "HeartbeatInterval", "SupportedFeatureProfiles", "Fancy"]});
    service.exchange(&mut station, "GetConfiguration", asked, answer).await;
    assert_eq!(
        shown(&service).await,
        [
            json!(["Fancy", false, null, null, false]),
            json!(["HeartbeatInterval", true, "300", null, false]),
            json!(["NumberOfConnectors", true, "2", null, false]),
            json!(["SupportedFeatureProfiles", true, null, null, false]),
        ]
    );
    assert_eq!(service.configuration().await[2].readonly, Some(true));
    assert_eq!(service.charge_point("CP1").await.number_of_connectors, Some(2));

    // Key names are compared without case; of one that is told twice, the last counts.
    let answer = json!({"configurationKey": [
        {"key": "heartbeatinterval", "readonly": false, "value": "10"},
        {"key": "HeartBeatInterval", "readonly": false, "value": "20"}]});
    let asked = json!({"key": ["HeartbeatInterval"]});
    service.exchange(&mut station, "GetConfiguration", asked, answer).await;
    assert_eq!(
        shown(&service).await[1],
        json!(["HeartBeatInterval", true, "20", null, false])
    );
    assert_eq!(shown(&service).await.len(), 4);
}

#[tokio::test]
async fn a_complete_answer_forgets_what_is_not_in_it_but_not_what_was_set() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let change = json!({"key": "HeartbeatInterval", "value": "60"});
    service
        .exchange(
            &mut station,
            "ChangeConfiguration",
            change,
            json!({"status": "Accepted"}),
        )
        .await;
    for keys in [["A", "B"], ["B", "C"]] {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| json!({"key": key, "readonly": false, "value": "1"}))
            .collect();
        service
            .exchange(
                &mut station,
                "GetConfiguration",
                json!({}),
                json!({"configurationKey": keys}),
            )
            .await;
    }
    assert_eq!(
        shown(&service).await,
        [
            json!(["B", true, "1", null, false]),
            json!(["C", true, "1", null, false]),
            json!(["HeartbeatInterval", true, null, "60", true]),
        ]
    );
}

#[tokio::test]
async fn a_change_counts_as_the_charge_point_answers_it() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let mut answered = async |status: &str, value: &str| {
        let change = json!({"key": "MeterValueSampleInterval", "value": value});
        let answer = json!({"status": status});
        service
            .exchange(&mut station, "ChangeConfiguration", change, answer)
            .await;
        shown(&service).await.pop()
    };
    assert_eq!(answered("Rejected", "1").await, None);
    assert_eq!(
        answered("Accepted", "60").await,
        Some(json!(["MeterValueSampleInterval", true, "60", "60", false]))
    );
    assert_eq!(
        answered("RebootRequired", "30").await,
        Some(json!(["MeterValueSampleInterval", true, "60", "30", true]))
    );
    assert_eq!(
        answered("Rejected", "1").await,
        Some(json!(["MeterValueSampleInterval", true, "60", "30", true]))
    );
    assert_eq!(
        answered("NotSupported", "1").await,
        Some(json!(["MeterValueSampleInterval", false, null, "30", true]))
    );
}

#[tokio::test]
async fn a_password_is_no_configuration_and_its_value_is_nowhere() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let secret = "0123456789abcdef";
    let change = json!({"key": "authorizationKey", "value": secret});
    service
        .exchange(
            &mut station,
            "ChangeConfiguration",
            change,
            json!({"status": "Accepted"}),
        )
        .await;
    assert_eq!(shown(&service).await, [Value::Null; 0]);
    let answer = json!({"configurationKey": [{"key": "AuthorizationKey", "readonly": false, "value": secret}]});
    service
        .exchange(&mut station, "GetConfiguration", json!({}), answer)
        .await;
    assert_eq!(
        shown(&service).await,
        [json!(["AuthorizationKey", true, null, null, false])]
    );
}

#[tokio::test]
async fn a_key_that_is_far_too_long_for_one_is_left_out() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let answer = json!({"configurationKey": [{"key": "k".repeat(10_000), "readonly": false, "value": "1"},
        {"key": "Short", "readonly": false, "value": "v".repeat(10_000)}], "unknownKey": ["u".repeat(10_000)]});
    let command = service
        .exchange(&mut station, "GetConfiguration", json!({}), answer)
        .await;
    assert_eq!(command.status, "accepted");
    let keys = service.configuration().await;
    assert_eq!(keys.iter().map(|key| key.key.as_str()).collect::<Vec<_>>(), ["Short"]);
}
