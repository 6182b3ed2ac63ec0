//! The message log, by what one looks for.

use serde_json::json;
use testbed::Database;
use voltgate_proto::ocpp::v1::message_service_client::MessageServiceClient;
use voltgate_proto::ocpp::v1::{ListMessagesRequest, Message};

use crate::service::Service;
use crate::station::Station;

fn of_cp1() -> ListMessagesRequest {
    ListMessagesRequest {
        identity: "CP1".to_owned(),
        ..Default::default()
    }
}

/// Every page, newest first.
async fn all(service: &Service, mut request: ListMessagesRequest) -> Vec<Message> {
    request.page_size = 2;
    let mut client = MessageServiceClient::new(service.channel.clone());
    let mut messages = Vec::new();
    loop {
        let page = client
            .list_messages(service.asks(request.clone()))
            .await
            .unwrap()
            .into_inner();
        messages.extend(page.messages);
        if page.next_page_token.is_empty() {
            return messages;
        }
        request.page_token = page.next_page_token;
    }
}

async fn ids(service: &Service, request: ListMessagesRequest) -> Vec<String> {
    let messages = all(service, request).await;
    messages
        .into_iter()
        .map(|message| message.message_id.unwrap())
        .collect()
}

#[tokio::test]
async fn messages_are_found_by_origin_id_time_violations_and_errors_and_all_of_it_together() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    // It has booted before the log begins.
    sqlx::query("UPDATE ocpp.charge_point SET boot_answer = 'Accepted'")
        .execute(&service.pool)
        .await
        .unwrap();
    for _ in 0..3 {
        station.call("Heartbeat", json!({})).await;
    }
    // call-4 has an error, call-5 a violation and none.
    station.refused("Authorize", json!({})).await;
    station.start(&"x".repeat(21), 0, "2026-03-01T12:00:00Z").await;
    let command = service
        .command("CP1", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap();
    let (id, ..) = station.called().await;
    station.answer(&id, json!({"status": "Accepted"})).await;
    station.call("Heartbeat", json!({})).await;

    let everything = ids(&service, of_cp1()).await;
    assert_eq!(
        everything,
        ["call-6", &command.id, "call-5", "call-4", "call-3", "call-2", "call-1"]
    );
    let of = |origin: &str| ListMessagesRequest {
        origin: Some(origin.to_owned()),
        ..of_cp1()
    };
    assert_eq!(ids(&service, of("csms")).await, [command.id.as_str()]);
    assert_eq!(ids(&service, of("station")).await.len(), 6);
    let with_id = ListMessagesRequest {
        message_id: Some("call-2".to_owned()),
        ..of_cp1()
    };
    assert_eq!(ids(&service, with_id).await, ["call-2"]);
    let with_errors = ListMessagesRequest {
        with_errors: true,
        ..of_cp1()
    };
    assert_eq!(ids(&service, with_errors.clone()).await, ["call-4"]);
    let with_violations = ListMessagesRequest {
        with_violations: true,
        ..of_cp1()
    };
    assert_eq!(ids(&service, with_violations.clone()).await, ["call-5", "call-4"]);
    let both = ListMessagesRequest {
        with_errors: true,
        ..with_violations.clone()
    };
    assert_eq!(ids(&service, both).await, ["call-4"]);
    let of_authorize = ListMessagesRequest {
        action: Some("Authorize".to_owned()),
        ..with_violations
    };
    assert_eq!(ids(&service, of_authorize).await, ["call-4"]);
    let heartbeats = ListMessagesRequest {
        action: Some("Heartbeat".to_owned()),
        ..of_cp1()
    };
    assert_eq!(
        ids(&service, heartbeats.clone()).await,
        ["call-6", "call-3", "call-2", "call-1"]
    );

    let second = all(&service, of_cp1()).await.swap_remove(5);
    let since = ListMessagesRequest {
        since: second.requested_at,
        ..heartbeats.clone()
    };
    assert_eq!(ids(&service, since).await, ["call-6", "call-3", "call-2"]);
    let until = ListMessagesRequest {
        until: second.requested_at,
        ..heartbeats
    };
    assert_eq!(ids(&service, until).await, ["call-1"]);
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_search_is_named() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let request = ListMessagesRequest {
        page_size: -1,
        page_token: "?".to_owned(),
        origin: Some("moon".to_owned()),
        since: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        }),
        ..of_cp1()
    };
    let mut client = MessageServiceClient::new(service.channel.clone());
    let refused = client.list_messages(service.asks(request)).await.unwrap_err();
    let fields: Vec<_> = tonic_types::StatusExt::get_details_bad_request(&refused)
        .unwrap()
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(fields, ["pageSize", "pageToken", "origin", "since"]);
}
