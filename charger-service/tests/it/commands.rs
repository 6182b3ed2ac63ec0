//! CALLs of ours: a durable ledger, one outstanding at a time.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::{Connector, ListCommandsRequest, SendCommandRequest};

use crate::service::{Service, eventually, reason};
use crate::station::Station;

async fn connected(database: &Database) -> (Service, Station, String) {
    let service = Service::start(database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    (service, station, password)
}

#[tokio::test]
async fn a_remote_start_reaches_the_charge_point_and_its_answer_comes_back() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let sending = service.command(
        "CP1",
        "RemoteStartTransaction",
        json!({"idTag": "TAG", "connectorId": 1}),
        30,
    );
    let (id, action, payload) = station.called().await;
    assert_eq!(
        (action.as_str(), payload),
        ("RemoteStartTransaction", json!({"connectorId": 1, "idTag": "TAG"}))
    );
    // A charge point may ask something of its own before it answers.
    station.call("Authorize", json!({"idTag": "TAG"})).await;
    station
        .answer(&id, json!({"status": "Accepted", "vendor": {"x": 1}}))
        .await;
    let command = sending.await.unwrap().unwrap();
    assert_eq!(
        (command.id.as_str(), command.status.as_str()),
        (id.as_str(), "accepted")
    );
    assert_eq!(
        command.response.as_deref(),
        Some(r#"{"status":"Accepted","vendor":{"x":1}}"#)
    );
    assert!(command.sent_at.is_some() && command.completed_at.is_some());

    let messages = service.messages("CP1").await;
    let message = messages.iter().find(|message| message.origin == "csms").unwrap();
    assert!(
        message
            .request
            .starts_with(&format!(r#"[2,"{id}","RemoteStartTransaction""#))
    );
    assert!(
        message
            .response
            .as_deref()
            .unwrap()
            .starts_with(&format!(r#"[3,"{id}""#))
    );
    assert!(message.responded_at.is_some());
}

/// Rule 10: the station's status is kept verbatim.
#[tokio::test]
async fn a_refusal_and_an_error_are_told_as_they_came() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let sending = service.command("CP1", "Reset", json!({"type": "Hard"}), 30);
    let (id, ..) = station.called().await;
    station.answer(&id, json!({"status": "Rejected"})).await;
    assert_eq!(sending.await.unwrap().unwrap().status, "rejected");

    let sending = service.command("CP1", "Reset", json!({"type": "Hard"}), 30);
    let (id, ..) = station.called().await;
    station
        .send(&json!([4, id, "CoffeeMachineEmpty", "no beans", {}]).to_string())
        .await;
    let command = sending.await.unwrap().unwrap();
    assert_eq!(command.status, "error");
    assert_eq!(command.error_code.as_deref(), Some("CoffeeMachineEmpty"));
    assert_eq!(command.error_description.as_deref(), Some("no beans"));

    let sending = service.command("CP1", "Reset", json!({"type": "Hard"}), 30);
    let (id, ..) = station.called().await;
    station.send(&json!([3, id, 17]).to_string()).await;
    let command = sending.await.unwrap().unwrap();
    assert_eq!((command.status.as_str(), command.response), ("error", None));
}

/// Row "one CALL at a time" of the OCPP decisions on framing.
#[tokio::test]
async fn one_that_is_not_answered_times_out_and_a_late_answer_changes_nothing() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let sending = service.command("CP1", "ClearCache", json!({}), 30);
    let (late, ..) = station.called().await;
    let command = sending.await.unwrap().unwrap();
    assert_eq!(command.status, "timeout");

    station.answer(&late, json!({"status": "Accepted"})).await;
    station.call("Heartbeat", json!({})).await;
    assert_eq!(service.get_command(&late).await.status, "timeout");
    // And the next one goes out.
    let sending = service.command("CP1", "ClearCache", json!({}), 30);
    let (id, ..) = station.called().await;
    station.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(sending.await.unwrap().unwrap().status, "accepted");
}

/// Row "one CALL at a time" of the OCPP decisions on framing.
#[tokio::test]
async fn only_one_is_outstanding_at_a_time_and_they_leave_in_their_order() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let mut ids = Vec::new();
    for action in ["ClearCache", "GetLocalListVersion", "GetConfiguration"] {
        ids.push(service.command("CP1", action, json!({}), 0).await.unwrap().unwrap().id);
    }
    for (position, expected) in ids.iter().enumerate() {
        let (id, ..) = station.called().await;
        assert_eq!(&id, expected);
        // Were the next one sent already, it would come before this answer.
        station.call("Heartbeat", json!({})).await;
        let answers = [
            json!({"status": "Accepted"}),
            json!({"listVersion": 0}),
            json!({"configurationKey": []}),
        ];
        station.answer(&id, answers[position].clone()).await;
    }
    for id in ids {
        eventually("it is accepted", async || {
            service.get_command(&id).await.status == "accepted"
        })
        .await;
    }
}

#[tokio::test]
async fn one_for_a_charge_point_that_is_away_waits_for_it() {
    let database = Database::create().await;
    let (service, station, password) = connected(&database).await;
    station.hang_up().await;
    eventually("it is offline", async || !service.charge_point("CP1").await.online).await;
    let queued = service
        .command("CP1", "Reset", json!({"type": "Soft"}), 0)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((queued.status.as_str(), queued.sent_at), ("queued", None));
    service.stop().await;

    let service = Service::start(&database).await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    let (id, action, _) = station.called().await;
    assert_eq!((id.as_str(), action.as_str()), (queued.id.as_str(), "Reset"));
    station.answer(&id, json!({"status": "Accepted"})).await;
    eventually("it is accepted", async || {
        service.get_command(&id).await.status == "accepted"
    })
    .await;
}

#[tokio::test]
async fn one_that_waited_too_long_expires_and_is_never_sent() {
    let database = Database::create().await;
    let (service, station, password) = connected(&database).await;
    station.hang_up().await;
    eventually("it is offline", async || !service.charge_point("CP1").await.online).await;
    let request = SendCommandRequest {
        expires_in_seconds: Some(600),
        ..Service::command_request("CP1", "ClearCache", json!({}), 60)
    };
    let mut client = service.commands();
    let request = service.asks(request);
    let sending = tokio::spawn(async move { client.send_command(request).await.unwrap().into_inner() });
    eventually("it is queued", async || {
        sqlx::query("SELECT FROM ocpp.command WHERE status = 'queued'")
            .fetch_optional(&service.pool)
            .await
            .unwrap()
            .is_some()
    })
    .await;
    service.clock.advance(TimeDelta::seconds(601));
    let command = sending.await.unwrap();
    assert_eq!((command.status.as_str(), command.sent_at), ("expired", None));
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.call("Heartbeat", json!({})).await;
}

#[tokio::test]
async fn the_end_of_the_connection_is_the_end_of_what_was_sent_on_it() {
    let database = Database::create().await;
    let (service, mut station, password) = connected(&database).await;
    let sending = service.command("CP1", "Reset", json!({"type": "Hard"}), 30);
    let (id, ..) = station.called().await;
    // A hard reset is not answered; the charge point is simply back, on a new socket.
    let mut again = Station::connect(&service, "CP1", &password).await;
    let command = sending.await.unwrap().unwrap();
    assert_eq!((command.id.as_str(), command.status.as_str()), (id.as_str(), "timeout"));
    again.answer(&id, json!({"status": "Accepted"})).await;
    again.call("Heartbeat", json!({})).await;
    assert_eq!(service.get_command(&id).await.status, "timeout");
}

#[tokio::test]
async fn one_given_to_another_replica_reaches_the_charge_point_too() {
    let database = Database::create().await;
    let (owner, mut station, _) = connected(&database).await;
    let other = Service::start(&database).await;
    let sending = other.command("CP1", "ClearCache", json!({}), 30);
    let (id, ..) = station.called().await;
    station.answer(&id, json!({"status": "Accepted"})).await;
    let begun = Instant::now();
    assert_eq!(sending.await.unwrap().unwrap().status, "accepted");
    assert!(begun.elapsed() < Duration::from_secs(5), "it is woken, not timed out");
    drop(owner);
}

/// Rule 10.
#[tokio::test]
async fn a_client_that_hangs_up_cancels_nothing() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let sending = service.command("CP1", "ClearCache", json!({}), 30);
    let (id, ..) = station.called().await;
    sending.abort();
    station.answer(&id, json!({"status": "Accepted"})).await;
    eventually("it is accepted", async || {
        service.get_command(&id).await.status == "accepted"
    })
    .await;
}

#[tokio::test]
async fn what_is_no_command_is_refused_with_everything_that_is_wrong() {
    let database = Database::create().await;
    let (service, ..) = connected(&database).await;
    let unknown = service
        .command("CP9", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(reason(&unknown), Reason::NotFound);
    let wrong = service
        .command("CP1", "Heartbeat", json!({}), 0)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(reason(&wrong), Reason::InvalidRequest);
    let wrong = service
        .command("CP1", "ChangeAvailability", json!({"type": "Sometimes"}), 0)
        .await
        .unwrap()
        .unwrap_err();
    let fields: Vec<_> = wrong
        .get_details_bad_request()
        .unwrap()
        .field_violations
        .into_iter()
        .map(|v| v.field)
        .collect();
    assert_eq!(fields, ["$.type", "$.connectorId"]);
    // Connector 99 is the charge point's to refuse.
    let sent = service
        .command("CP1", "UnlockConnector", json!({"connectorId": 99}), 0)
        .await
        .unwrap()
        .unwrap();
    assert!(["queued", "sent"].contains(&sent.status.as_str()));
}

#[tokio::test]
async fn an_idempotency_key_makes_it_safe_to_ask_again() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let ask = async |key: &'static str, payload: serde_json::Value| {
        let mut request = service.asks(Service::command_request("CP1", "Reset", payload, 0));
        request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
        service
            .commands()
            .send_command(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let first = ask("k1", json!({"type": "Soft"})).await.unwrap();
    let (id, ..) = station.called().await;
    station.answer(&id, json!({"status": "Accepted"})).await;
    let again = ask("k1", json!({"type": "Soft"})).await.unwrap();
    assert_eq!(first.id, again.id);
    let other = ask("k1", json!({"type": "Hard"})).await.unwrap_err();
    assert_eq!(reason(&other), Reason::IdempotencyKeyReused);
    assert_ne!(ask("k2", json!({"type": "Soft"})).await.unwrap().id, first.id);
}

#[tokio::test]
async fn a_password_on_its_way_is_shown_and_kept_nowhere() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    let secret = "0123456789abcdef";
    let sending = service.command(
        "CP1",
        "ChangeConfiguration",
        json!({"key": "AuthorizationKey", "value": secret}),
        30,
    );
    let (id, _, payload) = station.called().await;
    assert_eq!(payload["value"], secret);
    station.answer(&id, json!({"status": "Accepted"})).await;
    let command = sending.await.unwrap().unwrap();
    assert_eq!(command.payload, r#"{"key":"AuthorizationKey","value":"***"}"#);

    let sending = service.command("CP1", "GetConfiguration", json!({}), 30);
    let (id, ..) = station.called().await;
    let keys = json!({"configurationKey": [{"key": "AuthorizationKey", "readonly": false, "value": secret}]});
    station.answer(&id, keys).await;
    assert!(!sending.await.unwrap().unwrap().response.unwrap().contains(secret));
    for table in ["ocpp.message", "ocpp.command"] {
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t")))
            .fetch_all(&service.pool)
            .await
            .unwrap();
        assert!(rows.iter().all(|row| !row.contains(secret)), "{table}");
    }
}

#[tokio::test]
async fn nothing_goes_to_one_that_was_rejected_and_no_remote_start_to_one_that_is_pending() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register_as("CP1", "Rejected").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let start = service
        .command("CP1", "RemoteStartTransaction", json!({"idTag": "TAG"}), 0)
        .await
        .unwrap()
        .unwrap();
    let reset = service
        .command("CP1", "Reset", json!({"type": "Soft"}), 0)
        .await
        .unwrap()
        .unwrap();
    station.refused("Heartbeat", json!({})).await;
    assert_eq!(service.get_command(&reset.id).await.status, "queued");

    let answer = async |status: &str| {
        sqlx::query("UPDATE ocpp.charge_point SET registration_status = $1")
            .bind(status)
            .execute(&service.pool)
            .await
            .unwrap();
    };
    answer("Pending").await;
    station.boot().await;
    let (id, ..) = station.called().await;
    assert_eq!(id, reset.id);
    station.answer(&id, json!({"status": "Accepted"})).await;
    station.refused("Heartbeat", json!({})).await;
    answer("Accepted").await;
    station.boot().await;
    assert_eq!(station.called().await.0, start.id);
}

#[tokio::test]
async fn commands_are_listed_newest_first() {
    let database = Database::create().await;
    let (service, ..) = connected(&database).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(
            service
                .command("CP1", "ClearCache", json!({}), 0)
                .await
                .unwrap()
                .unwrap()
                .id,
        );
    }
    ids.reverse();
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let request = ListCommandsRequest {
            identity: "CP1".to_owned(),
            page_size: 2,
            page_token: token,
        };
        let page = service
            .commands()
            .list_commands(service.asks(request))
            .await
            .unwrap()
            .into_inner();
        listed.extend(page.commands.into_iter().map(|command| command.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ids);
}

/// Rule 10: what the charge point answers is kept to the letter, whether or not more follows from it.
#[tokio::test]
async fn every_answer_stays_with_its_command_verbatim() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    for (action, payload, answer, status) in [
        ("ClearCache", json!({}), json!({"status": "Rejected"}), "rejected"),
        (
            "DataTransfer",
            json!({"vendorId": "V"}),
            json!({"status": "Accepted", "data": "d"}),
            "accepted",
        ),
        (
            "DataTransfer",
            json!({"vendorId": "V"}),
            json!({"status": "UnknownMessageId"}),
            "rejected",
        ),
        (
            "RemoteStopTransaction",
            json!({"transactionId": 4711}),
            json!({"status": "Rejected"}),
            "rejected",
        ),
        (
            "Reset",
            json!({"type": "Hard"}),
            json!({"status": "Accepted"}),
            "accepted",
        ),
        (
            "TriggerMessage",
            json!({"requestedMessage": "Heartbeat"}),
            json!({"status": "NotImplemented"}),
            "rejected",
        ),
        (
            "UnlockConnector",
            json!({"connectorId": 99}),
            json!({"status": "NotSupported"}),
            "rejected",
        ),
    ] {
        let command = service.exchange(&mut station, action, payload, answer.clone()).await;
        assert_eq!(command.status, status, "{action}");
        assert_eq!(command.response.as_deref(), Some(&*answer.to_string()), "{action}");
    }
}

#[tokio::test]
async fn the_availability_that_was_asked_for_stands_beside_the_status() {
    let database = Database::create().await;
    let (service, mut station, _) = connected(&database).await;
    for connector in 0..=2 {
        let status = json!({"connectorId": connector, "status": "Available", "errorCode": "NoError"});
        station.call("StatusNotification", status).await;
    }
    let mut change = async |connector: i32, kind: &str, answer: &str| {
        let request = json!({"connectorId": connector, "type": kind});
        service
            .exchange(&mut station, "ChangeAvailability", request, json!({"status": answer}))
            .await;
        let connectors = service.charge_point("CP1").await.connectors;
        let shown = |connector: Connector| (connector.availability, connector.availability_answer);
        connectors.into_iter().map(shown).collect::<Vec<_>>()
    };
    let is = |kind: &str, answer: &str| (Some(kind.to_owned()), Some(answer.to_owned()));
    assert_eq!(
        change(1, "Inoperative", "Scheduled").await,
        [(None, None), is("Inoperative", "Scheduled"), (None, None)]
    );
    assert_eq!(
        change(0, "Inoperative", "Rejected").await,
        [
            is("Inoperative", "Rejected"),
            is("Inoperative", "Scheduled"),
            is("Inoperative", "Rejected")
        ]
    );
    let all = is("Operative", "Accepted");
    assert_eq!(
        change(0, "Operative", "Accepted").await,
        [all.clone(), all.clone(), all]
    );
}
