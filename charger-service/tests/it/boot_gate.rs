//! Rule 2: what a charge point may say follows from what its last BootNotification was answered with.

use chrono::TimeDelta;
use serde_json::{Value, json};
use testbed::Database;
use tonic::Status;
use voltgate_proto::ocpp::v1::registration_service_client::RegistrationServiceClient;
use voltgate_proto::ocpp::v1::{GetRegistrationRequest, PendingCommand, Registration, ReplaceRegistrationRequest};

use crate::service::{Service, eventually};
use crate::station::{Station, exchange};

async fn connected(database: &Database, status: &str) -> (Service, Station) {
    let service = Service::start(database).await;
    let password = service.register_as("CP1", status).await;
    let station = Station::connect(&service, "CP1", &password).await;
    (service, station)
}

async fn replace(service: &Service, registration: Registration) -> Result<Registration, Status> {
    let request = ReplaceRegistrationRequest {
        identity: "CP1".to_owned(),
        registration: Some(registration),
    };
    let mut client = RegistrationServiceClient::new(service.channel.clone());
    let replaced = client.replace_registration(service.asks(request)).await;
    replaced.map(tonic::Response::into_inner)
}

fn status(connector: i32) -> Value {
    json!({"connectorId": connector, "errorCode": "NoError", "status": "Available"})
}

/// Rule 2.
#[tokio::test]
async fn while_pending_what_we_asked_for_is_answered_and_nothing_else() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database, "Pending").await;
    assert_eq!(station.boot().await["status"], "Pending");
    assert_eq!(station.refused("StatusNotification", status(1)).await, "SecurityError");

    let trigger = json!({"requestedMessage": "StatusNotification"});
    let sent = service
        .command("CP1", "TriggerMessage", trigger, 0)
        .await
        .unwrap()
        .unwrap();
    let (id, ..) = station.called().await;
    // One may come before the answer, and one for each connector after it.
    station.call("StatusNotification", status(0)).await;
    station.answer(&id, json!({"status": "Accepted"})).await;
    for connector in 1..=2 {
        station.call("StatusNotification", status(connector)).await;
    }
    eventually("it is accepted", async || {
        service.get_command(&sent.id).await.status == "accepted"
    })
    .await;
    assert_eq!(service.charge_point("CP1").await.connectors.len(), 3);
    assert_eq!(station.refused("Heartbeat", json!({})).await, "SecurityError");
    assert_eq!(
        station.refused("Authorize", json!({"idTag": "TAG"})).await,
        "SecurityError"
    );

    service.clock.advance(TimeDelta::minutes(2));
    assert_eq!(station.refused("StatusNotification", status(1)).await, "SecurityError");
}

/// Rule 2.
#[tokio::test]
async fn what_was_asked_for_and_declined_is_not_let_through() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database, "Pending").await;
    station.boot().await;
    let trigger = json!({"requestedMessage": "StatusNotification"});
    let sent = service
        .command("CP1", "TriggerMessage", trigger, 0)
        .await
        .unwrap()
        .unwrap();
    let (id, ..) = station.called().await;
    station.answer(&id, json!({"status": "NotImplemented"})).await;
    eventually("it is rejected", async || {
        service.get_command(&sent.id).await.status == "rejected"
    })
    .await;
    assert_eq!(station.refused("StatusNotification", status(1)).await, "SecurityError");
}

/// Rule 2.
#[tokio::test]
async fn an_operator_sets_answer_interval_and_steps_and_they_count_at_the_next_boot() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database, "Accepted").await;
    let answer = station.boot().await;
    assert_eq!(
        (&answer["status"], &answer["interval"]),
        (&json!("Accepted"), &json!(300))
    );

    let steps = [
        ("GetConfiguration", r#"{ "key" : ["HeartbeatInterval"] }"#),
        ("ChangeConfiguration", r#"{"key":"HeartbeatInterval","value":"60"}"#),
        ("TriggerMessage", r#"{"requestedMessage":"StatusNotification"}"#),
    ];
    let wanted = Registration {
        registration_status: "Pending".to_owned(),
        interval_seconds: Some(7),
        pending_commands: steps
            .iter()
            .map(|(action, payload)| PendingCommand {
                action: (*action).to_owned(),
                payload: (*payload).to_owned(),
            })
            .collect(),
    };
    assert_eq!(replace(&service, wanted.clone()).await.unwrap(), wanted);
    // Until it boots, it is what it was told.
    station.call("Heartbeat", json!({})).await;

    for _ in 0..2 {
        let answer = station.boot().await;
        assert_eq!((&answer["status"], &answer["interval"]), (&json!("Pending"), &json!(7)));
        let (id, action, payload) = station.called().await;
        assert_eq!(
            (action.as_str(), payload),
            ("GetConfiguration", json!({"key": ["HeartbeatInterval"]}))
        );
        station.answer(&id, json!({"configurationKey": []})).await;
        let (id, action, _) = station.called().await;
        assert_eq!(action, "ChangeConfiguration");
        // That it is refused does not keep the others back.
        station.answer(&id, json!({"status": "Rejected"})).await;
        let (id, action, _) = station.called().await;
        assert_eq!(action, "TriggerMessage");
        station.answer(&id, json!({"status": "Accepted"})).await;
        station.call("StatusNotification", status(1)).await;
    }

    let accepted = Registration {
        registration_status: "Accepted".to_owned(),
        ..wanted
    };
    replace(&service, accepted).await.unwrap();
    let answer = station.boot().await;
    assert_eq!(
        (&answer["status"], &answer["interval"]),
        (&json!("Accepted"), &json!(7))
    );
    station.call("Heartbeat", json!({})).await;
}

/// Rule 2: the gate follows our last boot answer, whichever connection it went to.
#[tokio::test]
async fn a_boot_on_one_of_two_connections_counts_on_the_other() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register_as("CP1", "Pending").await;
    let mut old = Station::connect(&service, "CP1", &password).await;
    assert_eq!(old.boot().await["status"], "Pending");
    let mut new = Station::connect(&service, "CP1", &password).await;
    let accepted = Registration {
        registration_status: "Accepted".to_owned(),
        ..Default::default()
    };
    replace(&service, accepted).await.unwrap();
    assert_eq!(old.boot().await["status"], "Accepted");
    new.call("Heartbeat", json!({})).await;
}

/// Rule 2, and row "HTTP binding".
#[tokio::test]
async fn a_boot_without_a_socket_counts_on_the_socket_and_wakes_it_for_the_steps() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register_as("CP1", "Pending").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    assert_eq!(station.boot().await["status"], "Pending");
    let post = async || {
        let boot = json!([2, "1", "BootNotification", {"chargePointVendor": "Volt", "chargePointModel": "One"}]);
        let answer = exchange(&service, "CP1", &password, &boot.to_string()).await.unwrap();
        let answer: Value = serde_json::from_str(&answer.unwrap()).unwrap();
        answer[2]["status"].as_str().unwrap().to_owned()
    };
    let answered_with = async |status: &str, commands: &[&str]| {
        let registration = Registration {
            registration_status: status.to_owned(),
            interval_seconds: None,
            pending_commands: commands
                .iter()
                .map(|action| PendingCommand {
                    action: (*action).to_owned(),
                    payload: String::new(),
                })
                .collect(),
        };
        replace(&service, registration).await.unwrap();
    };
    answered_with("Pending", &["ClearCache"]).await;
    assert_eq!(post().await, "Pending");
    let (id, action, _) = station.called().await;
    assert_eq!(action, "ClearCache");
    station.answer(&id, json!({"status": "Accepted"})).await;

    // What waited for the gate to open is sent, too.
    let payload = json!({"idTag": "TAG"});
    let start = service.command("CP1", "RemoteStartTransaction", payload, 0).await;
    answered_with("Accepted", &[]).await;
    assert_eq!(post().await, "Accepted");
    assert_eq!(station.called().await.0, start.unwrap().unwrap().id);
    station.call("Heartbeat", json!({})).await;
}

/// Rule 2: let through, flagged.
#[tokio::test]
async fn what_a_charge_point_says_that_never_booted_here_comes_through_and_is_flagged() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database, "Accepted").await;
    let flags = async || service.messages("CP1").await[0].violations.clone();
    station.call("StatusNotification", status(1)).await;
    assert_eq!(
        flags().await,
        ["the charge point has never sent a BootNotification here"]
    );
    assert_eq!(service.charge_point("CP1").await.connectors.len(), 1);
    station.boot().await;
    assert_eq!(flags().await, [""; 0]);
    station.call("StatusNotification", status(1)).await;
    assert_eq!(flags().await, [""; 0]);
}

/// Rule 2.
#[tokio::test]
async fn steps_that_were_not_sent_are_gone_when_the_charge_point_boots_again() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database, "Pending").await;
    let step = PendingCommand {
        action: "ClearCache".to_owned(),
        payload: String::new(),
    };
    let pending = Registration {
        registration_status: "Pending".to_owned(),
        interval_seconds: None,
        pending_commands: vec![step; 2],
    };
    replace(&service, pending).await.unwrap();
    station.boot().await;
    let (first, ..) = station.called().await;
    for _ in 0..5 {
        station.boot().await;
    }
    station.answer(&first, json!({"status": "Accepted"})).await;
    for _ in 0..2 {
        let (id, ..) = station.called().await;
        station.answer(&id, json!({"status": "Accepted"})).await;
    }
    station
        .call("MeterValues", json!({"connectorId": 1, "meterValue": []}))
        .await;
    let statuses: Vec<String> = sqlx::query_scalar("SELECT status FROM ocpp.command ORDER BY id")
        .fetch_all(&service.pool)
        .await
        .unwrap();
    assert_eq!(statuses, ["accepted"; 3]);
}

#[tokio::test]
async fn a_registration_is_replaced_in_the_version_that_was_seen_and_everything_wrong_is_named() {
    let database = Database::create().await;
    let (service, _station) = connected(&database, "Accepted").await;
    let wrong = Registration {
        registration_status: "accepted".to_owned(),
        interval_seconds: Some(0),
        pending_commands: vec![PendingCommand {
            action: "RemoteStartTransaction".to_owned(),
            payload: r#"{"idTag":"TAG"}"#.to_owned(),
        }],
    };
    let refused = replace(&service, wrong).await.unwrap_err();
    let fields: Vec<_> = tonic_types::StatusExt::get_details_bad_request(&refused)
        .unwrap()
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(
        fields,
        ["registrationStatus", "intervalSeconds", "pendingCommands[0].action"]
    );

    let mut client = RegistrationServiceClient::new(service.channel.clone());
    let get = |identity: &str| GetRegistrationRequest {
        identity: identity.to_owned(),
    };
    let seen = client.get_registration(service.asks(get("CP1"))).await.unwrap();
    assert_eq!(seen.get_ref().registration_status, "Accepted");
    let nobody = client.get_registration(service.asks(get("CP2"))).await.unwrap_err();
    assert_eq!(crate::service::reason(&nobody), service_kit::reason::Reason::NotFound);
    let mut stale = service.asks(ReplaceRegistrationRequest {
        identity: "CP1".to_owned(),
        registration: Some(seen.get_ref().clone()),
    });
    stale.metadata_mut().insert("if-match", "\"0\"".parse().unwrap());
    let refused = client.replace_registration(stale).await.unwrap_err();
    assert_eq!(
        crate::service::reason(&refused),
        service_kit::reason::Reason::PreconditionFailed
    );
}

/// Rule 2.
#[tokio::test]
async fn while_rejected_nothing_is_sent_and_not_even_what_was_asked_for_comes_through() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database, "Accepted").await;
    station.boot().await;
    let trigger = json!({"requestedMessage": "StatusNotification"});
    service
        .command("CP1", "TriggerMessage", trigger, 0)
        .await
        .unwrap()
        .unwrap();
    let (id, ..) = station.called().await;
    station.answer(&id, json!({"status": "Accepted"})).await;
    let rejected = Registration {
        registration_status: "Rejected".to_owned(),
        ..Default::default()
    };
    replace(&service, rejected).await.unwrap();
    assert_eq!(station.boot().await["status"], "Rejected");
    assert_eq!(station.refused("StatusNotification", status(1)).await, "SecurityError");
    // Energy is a fact whoever tells of it.
    let stop = json!({"transactionId": 7, "meterStop": 1, "timestamp": "2026-03-01T12:00:00Z"});
    station.call("StopTransaction", stop).await;
    assert_eq!(service.unmatched().await, [json!(["stop", 7, "unknown_transaction"])]);
}
