//! Rule 1: a newer connection takes over at its first frame, or after five seconds of silence; what the old one still says
//! of transactions counts.

use std::time::Duration;

use serde_json::json;
use testbed::Database;
use tokio::time::sleep;

use crate::service::{Service, eventually};
use crate::station::{Received, Station};

/// Longer than a new connection may be silent.
const SILENCE: Duration = Duration::from_secs(6);

async fn two_replicas(database: &Database) -> (Service, Service, String) {
    let (first, second) = (Service::start(database).await, Service::start(database).await);
    let password = first.register("CP1").await;
    first.register_token("TAG").await;
    (first, second, password)
}

/// Rule 1.
#[tokio::test]
async fn a_newer_connection_takes_over_with_its_first_frame_and_not_before() {
    let database = Database::create().await;
    let (first, second, password) = two_replicas(&database).await;
    for newer_at in [&first, &second] {
        let mut old = Station::connect(&first, "CP1", &password).await;
        old.boot().await;
        let mut new = Station::connect(newer_at, "CP1", &password).await;
        sleep(Duration::from_secs(1)).await;
        old.call("Heartbeat", json!({})).await;
        new.call("Heartbeat", json!({})).await;
        assert_eq!(old.closed().await.unwrap().code, 1008);
        assert!(first.charge_point("CP1").await.online);
        new.hang_up().await;
        eventually("it is offline", async || !first.charge_point("CP1").await.online).await;
    }
}

/// Rule 1.
#[tokio::test]
async fn a_newer_connection_that_says_nothing_takes_over_after_five_seconds() {
    let database = Database::create().await;
    let (first, second, password) = two_replicas(&database).await;
    let mut old = Station::connect(&first, "CP1", &password).await;
    old.boot().await;
    let mut new = Station::connect(&second, "CP1", &password).await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
    let sent = first.command("CP1", "ClearCache", json!({}), 0).await.unwrap().unwrap();
    assert_eq!(new.called().await.0, sent.id);
}

/// Rule 1.
#[tokio::test]
async fn where_the_newer_connection_closes_before_it_took_over_the_older_one_goes_on() {
    let database = Database::create().await;
    let (first, second, password) = two_replicas(&database).await;
    let mut old = Station::connect(&first, "CP1", &password).await;
    old.boot().await;
    let sent = first.command("CP1", "ClearCache", json!({}), 0).await.unwrap().unwrap();
    let (id, ..) = old.called().await;
    Station::connect(&second, "CP1", &password).await.hang_up().await;
    // The gateway of this one dies, so that nobody says that it closed.
    drop(Station::connect(&first, "CP1", &password).await);
    old.answer(&id, json!({"status": "Accepted"})).await;
    sleep(SILENCE).await;
    old.call("Heartbeat", json!({})).await;
    assert_eq!(first.get_command(&sent.id).await.status, "accepted");
    assert!(first.charge_point("CP1").await.online);
}

/// Rule 1; seen in the wild: hard Reset.
#[tokio::test]
async fn after_a_hard_reset_the_stop_on_the_dying_socket_and_two_new_sockets_a_second_apart_do_no_harm() {
    let database = Database::create().await;
    let (first, second, password) = two_replicas(&database).await;
    let mut dying = Station::connect(&first, "CP1", &password).await;
    dying.boot().await;
    let id = dying.start("TAG", 100, "2026-03-01T12:00:00Z").await;
    let reset = first
        .command("CP1", "Reset", json!({"type": "Hard"}), 0)
        .await
        .unwrap()
        .unwrap();
    dying.called().await;

    let mut silent = Station::connect(&second, "CP1", &password).await;
    sleep(Duration::from_secs(1)).await;
    let mut new = Station::connect(&second, "CP1", &password).await;
    new.boot().await;
    // The stop was sent before, and was longer on its way than the new connection.
    assert_eq!(dying.closed().await.unwrap().code, 1008);
    let stop =
        json!({"transactionId": id, "meterStop": 600, "reason": "HardReset", "timestamp": "2026-03-01T13:00:00Z"});
    dying.call("StopTransaction", stop.clone()).await;
    dying.hang_up().await;
    assert_eq!(first.transaction(id).await.energy_wh, Some(500));

    // It was never answered there, so it comes again.
    new.call("StopTransaction", stop).await;
    assert_eq!(first.transactions_of("CP1").await.len(), 1);
    assert_eq!(first.unmatched().await, [json!(null); 0]);
    let reset = first.get_command(&reset.id).await;
    assert_eq!(reset.status, "timeout");
    assert!(reset.error_description.unwrap().contains("the connection ended"));
    // The earlier of the two does not take over any more, whatever it says.
    silent.send(r#"[2,"late","Heartbeat",{}]"#).await;
    assert_eq!(silent.closed().await.unwrap().code, 1008);
    new.call("Heartbeat", json!({})).await;
    assert!(first.charge_point("CP1").await.online);
}

/// Rule 1: facts are accepted from either; nothing else that the old one says counts.
#[tokio::test]
async fn what_a_superseded_connection_says_of_a_connector_is_kept_and_changes_nothing() {
    let database = Database::create().await;
    let (first, second, password) = two_replicas(&database).await;
    let mut old = Station::connect(&first, "CP1", &password).await;
    old.boot().await;
    let mut new = Station::connect(&second, "CP1", &password).await;
    new.call("Heartbeat", json!({})).await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
    old.send(r#"[2,"x","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Faulted"}]"#)
        .await;
    let id = old.start("TAG", 100, "2026-03-01T12:00:00Z").await;
    assert_eq!(new.start("TAG", 100, "2026-03-01T12:00:00Z").await, id);
    assert!(first.charge_point("CP1").await.connectors.is_empty());
    let messages = first.messages("CP1").await;
    let kept = messages
        .iter()
        .find(|message| message.message_id.as_deref() == Some("x"))
        .unwrap();
    assert!(kept.violations[0].contains("a newer one had taken over"), "{kept:?}");
}

/// Rule 1: nothing but facts, also before the old connection has heard of the newer one.
#[tokio::test]
async fn a_connection_that_does_not_know_yet_that_it_is_superseded_changes_nothing_but_facts() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    service.register_token("TAG").await;
    let mut old = Station::connect(&service, "CP1", &password).await;
    old.boot().await;
    sqlx::query("UPDATE ocpp.session SET epoch = epoch + 1, last_epoch = last_epoch + 1")
        .execute(&service.pool)
        .await
        .unwrap();
    let id = old.start("TAG", 100, "2026-03-01T12:00:00Z").await;
    old.send(r#"[2,"x","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Faulted"}]"#)
        .await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
    assert!(service.charge_point("CP1").await.connectors.is_empty());
    let stop = json!({"transactionId": id, "meterStop": 600, "timestamp": "2026-03-01T13:00:00Z"});
    old.call("StopTransaction", stop).await;
    assert_eq!(service.transaction(id).await.energy_wh, Some(500));
    let messages = service.messages("CP1").await;
    let kept = messages
        .iter()
        .find(|message| message.message_id.as_deref() == Some("x"))
        .unwrap();
    assert!(kept.violations[0].contains("a newer one had taken over"), "{kept:?}");
    assert_eq!(kept.response, None);
}

/// Rule 1, and the protocol of `SessionService`.
#[tokio::test]
async fn a_connection_that_has_not_taken_over_yet_is_resumed_like_any_other() {
    let database = Database::create().await;
    let (first, second, password) = two_replicas(&database).await;
    let mut old = Station::connect(&first, "CP1", &password).await;
    old.boot().await;
    let mut new = Station::connect(&second, "CP1", &password).await;
    let mut before = new.resume(&first).await.unwrap();
    before.ended_in(SILENCE).await;
    new.call("Heartbeat", json!({})).await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
    assert!(matches!(old.receive().await, Received::End));
    assert!(second.charge_point("CP1").await.online);
}

/// Rule 1, and a rolling restart.
#[tokio::test]
async fn a_connection_that_has_not_taken_over_yet_outlives_its_replica() {
    let database = Database::create().await;
    let (first, second, password) = two_replicas(&database).await;
    let mut old = Station::connect(&first, "CP1", &password).await;
    old.boot().await;
    let mut new = Station::connect(&second, "CP1", &password).await;
    let stopping = tokio::spawn(second.stop());
    new.left().await;
    stopping.await.unwrap();
    new.resume(&first).await.unwrap();
    new.call("Heartbeat", json!({})).await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
}
