//! Charge points, transactions and the history of connectors as operators search them.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use testbed::Database;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, eventually, reason};
use crate::state::connected;
use crate::station::Station;

async fn charge_points(service: &Service, request: ListChargePointsRequest) -> Vec<String> {
    let listed = service.charge_points().list_charge_points(service.asks(request)).await;
    let listed = listed.unwrap().into_inner().charge_points;
    listed.into_iter().map(|charge_point| charge_point.identity).collect()
}

#[tokio::test]
async fn charge_points_are_found_by_what_they_are_and_how_their_names_begin() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let named = |identity: &str, display_name: &str, status: &str| CreateChargePointRequest {
        identity: identity.to_owned(),
        display_name: display_name.to_owned(),
        registration_status: Some(status.to_owned()),
        password: Some("a password of its own".to_owned()),
        ..Default::default()
    };
    for request in [
        named("A1", "Über dem Fluss", "Accepted"),
        named("a2", "Car park 50%", "Pending"),
        named("B1", "a2, the old one", "Accepted"),
    ] {
        let mut client = service.charge_points();
        client.create_charge_point(service.asks(request)).await.unwrap();
    }
    let mut first = Station::connect(&service, "A1", "a password of its own").await;
    first.boot().await;
    let other = Station::connect(&service, "B1", "a password of its own").await;
    other.hang_up().await;
    eventually("the other is offline", async || {
        !service.charge_point("B1").await.online
    })
    .await;

    let all = ListChargePointsRequest::default;
    let by_online = async |online| {
        let online = Some(online);
        charge_points(&service, ListChargePointsRequest { online, ..all() }).await
    };
    assert_eq!(by_online(true).await, ["A1"]);
    assert_eq!(by_online(false).await, ["B1", "a2"]);
    let pending = ListChargePointsRequest {
        registration_status: Some("Pending".to_owned()),
        ..all()
    };
    assert_eq!(charge_points(&service, pending).await, ["a2"]);
    let made = ListChargePointsRequest {
        vendor: Some("VOLT".to_owned()),
        model: Some("one".to_owned()),
        ..all()
    };
    assert_eq!(charge_points(&service, made.clone()).await, ["A1"]);
    let none = ListChargePointsRequest {
        online: Some(false),
        ..made
    };
    assert!(charge_points(&service, none).await.is_empty());
    let search = async |text: &str| {
        let search = Some(text.to_owned());
        charge_points(&service, ListChargePointsRequest { search, ..all() }).await
    };
    assert_eq!(search("A").await, ["A1", "B1", "a2"]);
    assert_eq!(search("A2").await, ["B1", "a2"]);
    assert_eq!(search("car PARK 5").await, ["a2"]);
    assert!(search("%park").await.is_empty());
    assert_eq!(search("Über").await, ["A1"]);
    assert_eq!(search("").await.len(), 3);

    // A page of what is searched goes on where it ended.
    let request = ListChargePointsRequest {
        page_size: 2,
        search: Some("a".to_owned()),
        ..all()
    };
    let mut client = service.charge_points();
    let page = client.list_charge_points(service.asks(request.clone())).await.unwrap();
    let page_token = page.into_inner().next_page_token;
    assert_eq!(
        charge_points(&service, ListChargePointsRequest { page_token, ..request }).await,
        ["a2"]
    );
}

async fn transactions(service: &Service, request: ListTransactionsRequest) -> Vec<i32> {
    let listed = service.transactions().list_transactions(service.asks(request)).await;
    let listed = listed.unwrap().into_inner().transactions;
    listed.into_iter().map(|transaction| transaction.id).collect()
}

#[tokio::test]
async fn transactions_are_found_by_token_connector_state_and_time() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let password = service.register("CP2").await;
    let mut other = Station::connect(&service, "CP2", &password).await;
    service.register_token("Tag").await;
    let mut ids = Vec::new();
    for (of_the_other, connector, tag) in [(false, 1, "Tag"), (true, 1, "TAG"), (false, 2, "STRANGER")] {
        let start =
            json!({"connectorId": connector, "idTag": tag, "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
        let from = if of_the_other { &mut other } else { &mut station };
        let answer = from.call("StartTransaction", start).await;
        ids.push(i32::try_from(answer["transactionId"].as_i64().unwrap()).unwrap());
        service.clock.advance(TimeDelta::minutes(10));
    }
    let came_in: Vec<_> = service
        .transactions()
        .list_transactions(service.asks(ListTransactionsRequest::default()))
        .await
        .unwrap()
        .into_inner()
        .transactions
        .into_iter()
        .rev()
        .map(|transaction| transaction.start_received_at)
        .collect();

    let all = ListTransactionsRequest::default;
    let found = async |request| {
        let found = transactions(&service, request).await;
        let place = |id: i32| ids.iter().position(|one| *one == id).unwrap();
        found.into_iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(found(all()).await, [2, 1, 0]);
    let by_token = ListTransactionsRequest {
        id_token: Some("tag".to_owned()),
        ..all()
    };
    assert_eq!(found(by_token.clone()).await, [1, 0]);
    let of_one = ListTransactionsRequest {
        identity: Some("CP1".to_owned()),
        ..by_token
    };
    assert_eq!(found(of_one.clone()).await, [0]);
    let of_connector = ListTransactionsRequest {
        id_token: None,
        connector_id: Some(2),
        ..of_one
    };
    assert_eq!(found(of_connector.clone()).await, [2]);
    let refused = ListTransactionsRequest {
        status: Some("refused".to_owned()),
        ..of_connector
    };
    assert_eq!(found(refused.clone()).await, [2]);
    let in_time = ListTransactionsRequest {
        started_after: came_in[1],
        started_before: came_in[2],
        ..all()
    };
    assert_eq!(found(in_time.clone()).await, [1]);
    let refused_in_time = ListTransactionsRequest {
        status: Some("refused".to_owned()),
        ..in_time
    };
    assert_eq!(found(refused_in_time).await, [0_usize; 0]);
    let of_nobody = ListTransactionsRequest {
        identity: Some("nobody".to_owned()),
        ..all()
    };
    assert_eq!(found(of_nobody).await, [0_usize; 0]);

    // Page by page, with an end of the time that goes on to hold.
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListTransactionsRequest {
            page_size: 1,
            page_token,
            started_before: came_in[2],
            ..all()
        };
        let page = service.transactions().list_transactions(service.asks(request)).await;
        let page = page.unwrap().into_inner();
        seen.extend(page.transactions.into_iter().map(|transaction| transaction.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [ids[1], ids[0]]);
    let without_identity = ListTransactionsRequest {
        connector_id: Some(1),
        ..all()
    };
    let refused = service
        .transactions()
        .list_transactions(service.asks(without_identity))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::InvalidRequest);
}

/// Rule 9: what came late is in the history, though it is not the state.
#[tokio::test]
async fn every_status_of_a_connector_is_in_its_history_newest_first() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    for (connector, status, at) in [
        (1, "Available", "2026-03-01T12:00:00Z"),
        (1, "Charging", "2026-03-01T12:10:00Z"),
        (2, "Available", "2026-03-01T12:10:00Z"),
        (1, "Preparing", "2026-03-01T12:05:00Z"),
    ] {
        let payload = json!({"connectorId": connector, "status": status, "errorCode": "NoError", "timestamp": at,
            "info": "by hand", "vendorId": "Volt", "vendorErrorCode": "E7"});
        station.call("StatusNotification", payload).await;
    }
    let history = async |connector_id, page_size, page_token: &str| {
        let request = ListConnectorHistoryRequest {
            identity: "CP1".to_owned(),
            connector_id,
            page_size,
            page_token: page_token.to_owned(),
        };
        let listed = service
            .charge_points()
            .list_connector_history(service.asks(request))
            .await;
        listed.unwrap().into_inner()
    };
    let first = history(1, 2, "").await;
    let second = history(1, 2, &first.next_page_token).await;
    let told: Vec<_> = first.statuses.iter().chain(&second.statuses).collect();
    let statuses: Vec<_> = told.iter().map(|told| told.status.as_str()).collect();
    assert_eq!(statuses, ["Preparing", "Charging", "Available"]);
    assert_eq!(told[0].status_at, Some(timestamp(time("2026-03-01T12:05:00Z"))));
    assert_eq!(
        (told[0].error_code.as_str(), told[0].info.as_deref()),
        ("NoError", Some("by hand"))
    );
    assert_eq!(
        (told[0].vendor_id.as_deref(), told[0].vendor_error_code.as_deref()),
        (Some("Volt"), Some("E7"))
    );
    assert_eq!(second.next_page_token, "");
    assert_eq!(
        service.charge_point("CP1").await.connectors[0].status.as_deref(),
        Some("Charging")
    );
    assert!(history(3, 0, "").await.statuses.is_empty());
    let nobody = ListConnectorHistoryRequest {
        identity: "nobody".to_owned(),
        ..Default::default()
    };
    let refused = service
        .charge_points()
        .list_connector_history(service.asks(nobody))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::NotFound);
}
