//! What charge points say to vendors, and what vendors answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use charger_service::Settings;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use testbed::Database;
use voltgate_proto::ocpp::v1::ReplaceDataTransferVendorRequest;
use voltgate_proto::ocpp::v1::data_transfer_vendor_service_client::DataTransferVendorServiceClient;

use crate::service::{Service, settings};
use crate::sink::{Seen, Sink};
use crate::station::Station;

const SECRET: &[u8] = b"a secret of thirty-two bytes 123";

async fn started(database: &Database) -> (Service, Station) {
    let settings = Settings {
        charger_webhook_allow_internal: true,
        ..settings()
    };
    let service = Service::start_with(database, settings).await;
    let password = service.register("CP1").await;
    let station = Station::connect(&service, "CP1", &password).await;
    (service, station)
}

fn vendor(url: &str) -> ReplaceDataTransferVendorRequest {
    ReplaceDataTransferVendorRequest {
        vendor_id: "com.example".to_owned(),
        url: url.to_owned(),
        timeout_seconds: Some(20),
        signing_secret: Some(format!("whsec_{}", STANDARD.encode(SECRET))),
        ..Default::default()
    }
}

async fn register(service: &Service, vendor: ReplaceDataTransferVendorRequest) {
    DataTransferVendorServiceClient::new(service.channel.clone())
        .replace_data_transfer_vendor(service.asks(vendor))
        .await
        .unwrap();
}

fn is_signed(call: &Seen) -> bool {
    let signed = format!(
        "{}.{}.{}",
        call.header("webhook-id"),
        call.header("webhook-timestamp"),
        call.body
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(signed.as_bytes());
    call.header("webhook-signature") == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Rule 16.
#[tokio::test]
async fn a_registered_vendor_is_sent_what_is_said_to_it_signed_and_its_answer_is_passed_on() {
    let database = Database::create().await;
    let (service, mut station) = started(&database).await;
    let sink = Sink::start(r#"{"status":"Accepted","data":"0.42"}"#).await;
    register(&service, vendor(&sink.url)).await;
    let transfer = json!({"vendorId": "COM.Example", "messageId": "TariffQuery", "data": "{\"kWh\":12.0}"});
    assert_eq!(
        station.call("DataTransfer", transfer).await,
        json!({"status": "Accepted", "data": "0.42"})
    );
    sink.answers(200, r#"{"status":"UnknownMessageId"}"#);
    let bare = station.call("DataTransfer", json!({"vendorId": "com.example"})).await;
    assert_eq!(bare, json!({"status": "UnknownMessageId"}));
    let seen = sink.seen();
    assert_eq!(
        seen.iter().map(Seen::json).collect::<Vec<_>>(),
        [
            json!({"identity": "CP1", "vendorId": "COM.Example", "messageId": "TariffQuery", "data": "{\"kWh\":12.0}"}),
            json!({"identity": "CP1", "vendorId": "com.example"}),
        ]
    );
    assert!(seen.iter().all(is_signed));
    assert_ne!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
}

/// Rule 16: a vendor nobody registered.
#[tokio::test]
async fn nobody_is_sent_what_is_said_to_others_or_in_messages_that_the_vendor_does_not_know() {
    let database = Database::create().await;
    let (service, mut station) = started(&database).await;
    let sink = Sink::start(r#"{"status":"Accepted"}"#).await;
    let choosy = ReplaceDataTransferVendorRequest {
        message_ids: vec!["TariffQuery".to_owned()],
        ..vendor(&sink.url)
    };
    register(&service, choosy).await;
    for (transfer, status) in [
        (json!({"vendorId": "org.other", "data": "x"}), "UnknownVendorId"),
        (
            json!({"vendorId": "com.example", "messageId": "Other"}),
            "UnknownMessageId",
        ),
        (json!({"vendorId": "com.example"}), "UnknownMessageId"),
    ] {
        assert_eq!(
            station.call("DataTransfer", transfer).await,
            json!({ "status": status })
        );
    }
    assert!(sink.seen().is_empty());
    let known = json!({"vendorId": "com.example", "messageId": "tariffquery"});
    assert_eq!(station.call("DataTransfer", known).await["status"], "Accepted");
}

async fn rejected(service: &Service, station: &mut Station, why: &str) {
    let answer = station.call("DataTransfer", json!({"vendorId": "com.example"})).await;
    assert_eq!(answer, json!({"status": "Rejected"}), "{why}");
    let violations = &service.messages("CP1").await[0].violations;
    assert_eq!(*violations, [format!("the vendor's webhook did not answer: {why}")]);
}

/// Rule 16.
#[tokio::test]
async fn a_vendor_that_is_slow_gone_or_broken_rejects_and_the_log_says_why() {
    let database = Database::create().await;
    let (service, mut station) = started(&database).await;
    station.boot().await;
    let sink = Sink::start_held("{}").await;
    let slow = ReplaceDataTransferVendorRequest {
        timeout_seconds: Some(1),
        ..vendor(&sink.url)
    };
    register(&service, slow).await;
    rejected(&service, &mut station, "there was no answer in time").await;
    sink.release(100);
    register(&service, vendor(&sink.url)).await;
    let unreadable = "its answer is not what it should be";
    let large = format!(r#"{{"status":"Accepted","data":"{}"}}"#, "x".repeat(70_000));
    for (status, body, why) in [
        (500, "{}", "it answered with status 500"),
        (307, r#"{"status":"Accepted"}"#, "it answered with status 307"),
        (200, "{}", unreadable),
        (200, r#"{"status":"accepted"}"#, unreadable),
        (200, r#"{"status":"Accepted","data":{"a":1}}"#, unreadable),
        (200, large.as_str(), "its answer is too large"),
    ] {
        sink.answers(status, body);
        rejected(&service, &mut station, why).await;
    }
    drop(sink);
    register(&service, vendor("http://127.0.0.1:1/")).await;
    rejected(&service, &mut station, "it cannot be reached").await;
}

/// Rule 16.
#[tokio::test]
async fn an_internal_address_is_not_called_by_whatever_name() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let sink = Sink::start(r#"{"status":"Accepted"}"#).await;
    let port = sink.url.rsplit(':').next().unwrap();
    register(&service, vendor(&format!("https://localhost:{port}"))).await;
    rejected(
        &service,
        &mut station,
        "its name stands for no address that may be called",
    )
    .await;
    // One that was registered when that was allowed.
    sqlx::query("UPDATE ocpp.data_transfer_vendor SET url = $1")
        .bind(&sink.url)
        .execute(&service.pool)
        .await
        .unwrap();
    rejected(
        &service,
        &mut station,
        "its name stands for no address that may be called",
    )
    .await;
    assert!(sink.seen().is_empty());
}

#[tokio::test]
async fn while_a_vendor_is_waited_for_commands_go_out_and_are_answered() {
    let database = Database::create().await;
    let (service, mut station) = started(&database).await;
    let sink = Sink::start_held(r#"{"status":"Accepted"}"#).await;
    register(&service, vendor(&sink.url)).await;
    station
        .send(r#"[2,"d","DataTransfer",{"vendorId":"com.example"}]"#)
        .await;
    sink.has_been_called(1).await;
    let command = service.command("CP1", "ClearCache", json!({}), 10);
    let (id, _, _) = station.called().await;
    station.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(command.await.unwrap().unwrap().status, "accepted");
    sink.release(1);
    assert_eq!(station.frame().await, json!([3, "d", {"status": "Accepted"}]));
}

/// The vendor is told of a transfer that had to be sent again, by its id.
#[tokio::test]
async fn a_transfer_that_comes_again_after_a_break_is_the_same_call() {
    let database = Database::create().await;
    let (service, mut station) = started(&database).await;
    let sink = Sink::start_held(r#"{"status":"Accepted"}"#).await;
    register(&service, vendor(&sink.url)).await;
    let transfer = r#"[2,"d","DataTransfer",{"vendorId":"com.example"}]"#;
    station.send(transfer).await;
    sink.has_been_called(1).await;
    station.resume(&service).await.unwrap().ended().await;
    station.send_again(1, transfer).await;
    sink.has_been_called(2).await;
    sink.release(2);
    assert_eq!(station.frame().await[2], json!({"status": "Accepted"}));
    let seen = sink.seen();
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
}

/// A connection that is superseded is heard out for facts about transactions only.
#[tokio::test]
async fn a_transfer_on_a_connection_that_was_superseded_is_kept_and_not_answered() {
    let database = Database::create().await;
    let settings = Settings {
        charger_webhook_allow_internal: true,
        ..settings()
    };
    let service = Service::start_with(&database, settings).await;
    let password = service.register("CP1").await;
    let mut old = Station::connect(&service, "CP1", &password).await;
    let sink = Sink::start_held(r#"{"status":"Accepted"}"#).await;
    register(&service, vendor(&sink.url)).await;
    old.send(r#"[2,"d","DataTransfer",{"vendorId":"com.example"}]"#).await;
    sink.has_been_called(1).await;
    let mut new = Station::connect(&service, "CP1", &password).await;
    new.call("Heartbeat", json!({})).await;
    assert_eq!(old.closed().await.unwrap().code, 1008);
    crate::service::eventually("the transfer is in the log", async || {
        let messages = service.messages("CP1").await;
        let kept = messages
            .iter()
            .find(|message| message.message_id.as_deref() == Some("d"));
        kept.is_some_and(|kept| kept.response.is_none() && kept.violations[0].contains("was not dealt with"))
    })
    .await;
}

#[tokio::test]
async fn neither_url_nor_secret_of_a_vendor_is_in_a_log() {
    let database = Database::create().await;
    let (service, mut station) = started(&database).await;
    station.boot().await;
    register(&service, vendor("http://127.0.0.1:1/path-secret?key=query-secret")).await;
    rejected(&service, &mut station, "it cannot be reached").await;
    let logs: String = sqlx::query_scalar(
        "SELECT (SELECT string_agg(row_to_json(audit)::text, '') FROM ocpp.audit)
             || (SELECT string_agg(row_to_json(message)::text, '') FROM ocpp.message)
             || (SELECT string_agg(encode(signing_secret, 'escape'), '') FROM ocpp.data_transfer_vendor)",
    )
    .fetch_one(&service.pool)
    .await
    .unwrap();
    let shown = STANDARD.encode(SECRET);
    for secret in ["path-secret", "query-secret", &shown, "a secret of thirty-two"] {
        assert!(!logs.contains(secret), "{logs}");
    }
    let details: Value =
        sqlx::query_scalar("SELECT details FROM ocpp.audit WHERE action = 'data-transfer-vendor.created'")
            .fetch_one(&service.pool)
            .await
            .unwrap();
    assert_eq!(details["origin"], "http://127.0.0.1:1");
}
