//! What the audit log no longer says of an account that is deleted.

use service_kit::bus::Outcome;
use service_kit::clock::{Clock, SystemClock};
use service_kit::event;
use testbed::Database;
use uuid::Uuid;
use voltgate_proto::events::v1::AccountDeleted;
use voltgate_proto::ocpp::v1::charge_point_audit_service_client::ChargePointAuditServiceClient;
use voltgate_proto::ocpp::v1::{AuditEntry, ListAuditEntriesRequest};

use crate::files::{content, messages};
use crate::service::{Service, eventually};

async fn entries(service: &Service) -> Vec<AuditEntry> {
    let request = service.asks(ListAuditEntriesRequest::default());
    let mut client = ChargePointAuditServiceClient::new(service.channel.clone());
    client.list_audit_entries(request).await.unwrap().into_inner().entries
}

/// Tells of an account that was deleted, as auth-service does.
async fn tell(service: &Service, account: &str) -> Outcome {
    let deleted = AccountDeleted {
        account_id: account.to_owned(),
        username: "ada".to_owned(),
        email: None,
        email_is_shared: false,
    };
    let event = event::new("auth-service", SystemClock.now(), &deleted);
    let published = service.bus.publisher().publish(&[event]).await;
    published.unwrap().remove(0)
}

#[tokio::test]
async fn the_entries_of_a_deleted_account_lose_address_and_device_and_no_others_do() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for token in ["One", "Two"] {
        service.register_token(token).await;
    }
    let before = entries(&service).await;
    assert_eq!(before.len(), 2);
    assert!(
        before
            .iter()
            .all(|entry| entry.address.is_some() && entry.device.is_some())
    );

    assert_eq!(tell(&service, &Uuid::now_v7().to_string()).await, Outcome::Published);
    assert_eq!(entries(&service).await, before);

    let account = before[0].actor_id.clone().unwrap();
    let without = before.into_iter().map(|entry| AuditEntry {
        address: None,
        device: None,
        ..entry
    });
    let without: Vec<_> = without.collect();
    // The same event may come twice.
    for _ in 0..2 {
        assert_eq!(tell(&service, &account).await, Outcome::Published);
        assert_eq!(entries(&service).await, without);
    }
    service.stop().await;
}

/// Whoever uploads may be deleted before the upload is done.
#[tokio::test]
async fn what_a_deleted_account_still_had_under_way_loses_address_and_device_as_well() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register_token("One").await;
    let (sender, receiver) = tokio::sync::mpsc::channel(10);
    let request = service.asks(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let mut client = service.files();
    let uploading = tokio::spawn(async move { client.upload_firmware(request).await });
    let mut parts = messages("fw.bin", &content(400_000)).into_iter();
    let last = parts.next_back().unwrap();
    for part in parts {
        sender.send(part).await.unwrap();
    }
    eventually("some of it is there", async || service.pieces().await == 1).await;
    let account = entries(&service).await[0].actor_id.clone().unwrap();
    assert_eq!(tell(&service, &account).await, Outcome::Published);
    sender.send(last).await.unwrap();
    drop(sender);
    uploading.await.unwrap().unwrap();
    let upload = entries(&service).await.remove(0);
    assert!(upload.action == "firmware.uploaded" && upload.address.is_some());

    // It looks at once when it starts, and every hour then.
    let other = Service::start(&database).await;
    eventually("nothing is left", async || {
        let entries = entries(&service).await;
        entries
            .iter()
            .all(|entry| entry.address.is_none() && entry.device.is_none())
    })
    .await;
    let remembered = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM ocpp.deleted_account");
        count.fetch_one(&service.pool).await.unwrap()
    };
    assert_eq!(remembered().await, 1);
    sqlx::query("UPDATE ocpp.deleted_account SET deleted_at = now() - interval '25 hours'")
        .execute(&service.pool)
        .await
        .unwrap();
    let another = Service::start(&database).await;
    eventually("it is forgotten", async || remembered().await == 0).await;
    for service in [another, other, service] {
        service.stop().await;
    }
}

#[tokio::test]
async fn an_event_that_names_no_account_is_not_tried_again_and_again() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    // The subscription begins with the service.
    service.register_token("One").await;
    assert_eq!(tell(&service, "nobody").await, Outcome::Published);
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.dead_letter")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(kept, 1);
    service.stop().await;
}
