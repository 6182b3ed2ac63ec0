//! A session goes on when the stream that carries it does not.

use std::time::Duration;

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;

use crate::service::{Service, eventually};
use crate::station::Station;

const START: &str = r#"[2,"s1","StartTransaction",{"connectorId":1,"idTag":"TAG","meterStart":100,"timestamp":"2026-03-01T12:00:00Z"}]"#;

/// Two replicas, and a charge point at the first.
async fn connected(database: &Database) -> (Service, Service, Station) {
    let (first, second) = (Service::start(database).await, Service::start(database).await);
    let password = first.register("CP1").await;
    first.register_token("TAG").await;
    let mut station = Station::connect(&first, "CP1", &password).await;
    station.boot().await;
    (first, second, station)
}

#[tokio::test]
async fn it_goes_on_at_another_replica() {
    let database = Database::create().await;
    let (first, second, mut station) = connected(&database).await;
    first.kill();
    station.resume(&second).await.unwrap();
    station.call("Heartbeat", json!({})).await;
    assert!(second.charge_point("CP1").await.online);
    let sent = second
        .command("CP1", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap();
    let (id, ..) = station.called().await;
    station.answer(&id, json!({"status": "Accepted"})).await;
    eventually("the command is accepted", async || {
        second.get_command(&sent.id).await.status == "accepted"
    })
    .await;
}

#[tokio::test]
async fn a_call_whose_answer_got_lost_is_answered_as_before_and_took_effect_once() {
    let database = Database::create().await;
    let (first, second, mut station) = connected(&database).await;
    station.send(START).await;
    let answer = station.frame().await;
    let number = station.acknowledged;
    let values = r#"[2,"m1","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-03-01T12:10:00Z","sampledValue":[{"value":"150"}]}]}]"#;
    station.send(values).await;
    station.frame().await;
    let messages = first.messages("CP1").await.len();
    first.kill();

    station.has_received_only(1);
    station.acknowledged = 0;
    station.resume(&second).await.unwrap();
    station.send_again(number, START).await;
    assert_eq!(station.frame().await, answer);
    assert_eq!(station.acknowledged, number);
    station.send_again(number + 1, values).await;
    assert_eq!(station.frame().await, json!([3, "m1", {}]));
    assert_eq!(second.transactions_of("CP1").await.len(), 1);
    let stored = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM ocpp.meter_value")
        .fetch_one(&second.pool)
        .await
        .unwrap();
    assert_eq!(stored, 1);
    assert_eq!(second.messages("CP1").await.len(), messages);
}

#[tokio::test]
async fn a_call_that_never_arrived_is_dealt_with_on_the_next_stream() {
    let database = Database::create().await;
    let (first, second, mut station) = connected(&database).await;
    first.kill();
    // It was given to the stream, which broke.
    let number = station.acknowledged + 1;
    station.has_sent(number);
    station.resume(&second).await.unwrap();
    station.send_again(number, START).await;
    let answer = station.frame().await;
    assert_eq!(answer[2]["idTagInfo"]["status"], "Accepted");
    assert_eq!(second.transactions_of("CP1").await.len(), 1);
}

#[tokio::test]
async fn what_the_old_stream_still_brings_does_not_count() {
    let database = Database::create().await;
    let (_first, second, mut station) = connected(&database).await;
    let mut old = station.resume(&second).await.unwrap();
    old.try_send(station.sent() + 1, START).await;
    old.ended().await;
    assert_eq!(second.transactions_of("CP1").await.len(), 0);
    // The end of the old stream is not the end of the session.
    station.call("Heartbeat", json!({})).await;
    assert!(second.charge_point("CP1").await.online);
}

#[tokio::test]
async fn a_command_that_got_lost_on_the_way_is_sent_again() {
    let database = Database::create().await;
    let (first, second, mut station) = connected(&database).await;
    let sent = first.command("CP1", "ClearCache", json!({}), 0).await.unwrap().unwrap();
    let before = station.received();
    let called = station.called().await;
    first.kill();
    station.has_received_only(before);
    station.resume(&second).await.unwrap();
    assert_eq!(station.called().await, called);
    station.answer(&called.0, json!({"status": "Accepted"})).await;
    eventually("the command is accepted", async || {
        second.get_command(&sent.id).await.status == "accepted"
    })
    .await;
}

#[tokio::test]
async fn a_command_that_arrived_is_not_sent_again_and_may_be_answered_twice() {
    let database = Database::create().await;
    let (first, second, mut station) = connected(&database).await;
    let sent = first.command("CP1", "ClearCache", json!({}), 0).await.unwrap().unwrap();
    let (id, ..) = station.called().await;
    first.kill();
    station.resume(&second).await.unwrap();
    station.answer(&id, json!({"status": "Accepted"})).await;
    eventually("the command is accepted", async || {
        second.get_command(&sent.id).await.status == "accepted"
    })
    .await;
    // The acknowledgement got lost too.
    let number = station.sent();
    station.resume(&second).await.unwrap();
    station
        .send_again(number, &json!([3, id, {"status": "Accepted"}]).to_string())
        .await;
    station.call("Heartbeat", json!({})).await;
    let messages = second.messages("CP1").await;
    assert!(
        messages.iter().all(|message| message.violations.is_empty()),
        "{messages:?}"
    );
}

#[tokio::test]
async fn a_command_with_a_secret_that_got_lost_is_not_sent_without_it() {
    let database = Database::create().await;
    let (first, second, mut station) = connected(&database).await;
    let payload = json!({"key": "AuthorizationKey", "value": "0123456789abcdef"});
    let sent = first
        .command("CP1", "ChangeConfiguration", payload, 0)
        .await
        .unwrap()
        .unwrap();
    let before = station.received();
    station.called().await;
    first.kill();
    station.has_received_only(before);
    station.resume(&second).await.unwrap();
    station.call("Heartbeat", json!({})).await;
    let command = second.get_command(&sent.id).await;
    assert_eq!(command.status, "timeout");
    assert!(command.error_description.unwrap().contains("send it again"));
}

/// The commands that count as sent just now.
async fn sent(service: &Service) -> Vec<String> {
    sqlx::query_scalar::<_, uuid::Uuid>("SELECT id FROM ocpp.command WHERE status = 'sent'")
        .fetch_all(&service.pool)
        .await
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[tokio::test]
async fn a_command_whose_outcome_cannot_be_stored_stays_the_only_one_that_is_sent() {
    let database = Database::create().await;
    let (service, proxy) = Service::start_behind_proxy(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let unanswered = service.command("CP1", "ClearCache", json!({}), 0).await.unwrap();
    let unanswered = unanswered.unwrap().id;
    let next = service.command("CP1", "ClearCache", json!({}), 0).await.unwrap();
    let next = next.unwrap().id;
    assert_eq!(station.called().await.0, unanswered);

    // It is overdue after two seconds, and nobody can note that.
    proxy.refuse().await;
    assert!(
        station.closed().await.is_none(),
        "the stream breaks, and the socket stays"
    );
    assert_eq!(sent(&service).await, [unanswered.as_str()]);

    proxy.resume().await;
    eventually("the session goes on", async || station.resume(&service).await.is_ok()).await;
    assert_eq!(station.called().await.0, next);
    assert_eq!(sent(&service).await, [next.as_str()]);
    assert_eq!(service.get_command(&unanswered).await.status, "timeout");
}

#[tokio::test]
async fn where_it_is_not_known_whether_a_command_was_taken_the_ledger_is_asked() {
    let database = Database::create().await;
    let (first, second, mut station) = connected(&database).await;
    let fail_at_the_commit = "
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'lost'; END $$;
        CREATE CONSTRAINT TRIGGER fail AFTER UPDATE ON ocpp.command DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.status = 'sent') EXECUTE FUNCTION fail()";
    sqlx::raw_sql(fail_at_the_commit).execute(&first.pool).await.unwrap();
    let queued = first.command("CP1", "ClearCache", json!({}), 0).await.unwrap();
    let queued = queued.unwrap().id;
    assert!(station.closed().await.is_none());

    let repair = "DROP TRIGGER fail ON ocpp.command";
    sqlx::raw_sql(repair).execute(&first.pool).await.unwrap();
    station.resume(&second).await.unwrap();
    assert_eq!(station.called().await.0, queued);
    assert_eq!(sent(&second).await, [queued.as_str()]);
}

#[tokio::test]
async fn an_answer_that_the_database_will_never_take_ends_the_session_and_the_command() {
    let database = Database::create().await;
    let (service, _, mut station) = connected(&database).await;
    let refuse_the_answer = "
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON ocpp.command FOR EACH ROW WHEN (NEW.status = 'accepted')
            EXECUTE FUNCTION refuse()";
    sqlx::raw_sql(refuse_the_answer).execute(&service.pool).await.unwrap();
    let command = service.command("CP1", "ClearCache", json!({}), 0).await.unwrap();
    let (id, ..) = station.called().await;
    assert_eq!(command.unwrap().id, id);
    station.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(station.closed().await.unwrap().code, 1011);
    eventually("the command is over", async || {
        service.get_command(&id).await.status == "timeout"
    })
    .await;
}

#[tokio::test]
async fn a_session_with_a_successor_cannot_be_resumed() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut old = Station::connect(&service, "CP1", &password).await;
    let mut new = Station::connect(&service, "CP1", &password).await;
    new.call("Heartbeat", json!({})).await;
    let refused = old.resume(&service).await.unwrap_err();
    assert_eq!(Reason::of(&refused), Reason::SessionOver);
    new.call("Heartbeat", json!({})).await;
}

#[tokio::test]
async fn a_session_that_was_taken_for_dead_lives_again() {
    let database = Database::create().await;
    let (first, second, mut station) = connected(&database).await;
    first.kill();
    // The lease of the dead process has to run out.
    tokio::time::sleep(Duration::from_secs(12)).await;
    eventually("it is offline", async || !second.charge_point("CP1").await.online).await;
    station.resume(&second).await.unwrap();
    let answer: Value = station.call("Heartbeat", json!({})).await;
    assert!(answer["currentTime"].is_string());
    assert!(second.charge_point("CP1").await.online);
}

/// Row "message id": counters start anew, within a session too.
#[tokio::test]
async fn a_frame_that_never_arrived_is_not_answered_as_one_of_the_same_text_was() {
    let database = Database::create().await;
    let (first, second, mut station) = connected(&database).await;
    let status = |status: &str| {
        json!([2, "1", "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": status}]).to_string()
    };
    let heartbeat = r#"[2,"2","Heartbeat",{}]"#;
    station.send(heartbeat).await;
    let earlier = station.frame().await;
    for state in ["Available", "Charging"] {
        station.send(&status(state)).await;
        station.frame().await;
    }
    first.kill();

    // Two more were given to the stream, which broke.
    let number = station.sent();
    station.has_sent(number + 2);
    station.resume(&second).await.unwrap();
    station.send_again(number + 1, &status("Available")).await;
    station.frame().await;
    assert_eq!(
        second.charge_point("CP1").await.connectors[0].status.as_deref(),
        Some("Available")
    );
    station.send_again(number + 2, heartbeat).await;
    let answer = station.frame().await;
    assert_eq!(answer[1], "2");
    assert_ne!(answer, earlier);
}
