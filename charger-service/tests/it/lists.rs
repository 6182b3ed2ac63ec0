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

#[tokio::test]
async fn charge_points_come_in_the_order_that_is_asked_for_page_by_page_and_the_other_way_round() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for (identity, display_name) in [("c", "Beta"), ("a", "alpha"), ("d", "BETA"), ("b", "Alpha")] {
        let request = CreateChargePointRequest {
            identity: identity.to_owned(),
            display_name: display_name.to_owned(),
            password: Some("a password of its own".to_owned()),
            ..Default::default()
        };
        let mut client = service.charge_points();
        client.create_charge_point(service.asks(request)).await.unwrap();
        service.clock.advance(TimeDelta::minutes(1));
    }
    // Two were seen, one after the other.
    for identity in ["d", "a"] {
        let mut station = Station::connect(&service, identity, "a password of its own").await;
        station.boot().await;
        service.clock.advance(TimeDelta::minutes(1));
    }
    for (order_by, expected) in [
        (None, ["a", "b", "c", "d"]),
        (Some("identity"), ["a", "b", "c", "d"]),
        (Some("displayName"), ["a", "b", "c", "d"]),
        (Some("lastSeenAt"), ["b", "c", "d", "a"]),
        (Some("createdAt"), ["c", "a", "d", "b"]),
    ] {
        for desc in [false, true] {
            for page_size in [1, 3, 4] {
                let (mut seen, mut page_token) = (Vec::new(), String::new());
                loop {
                    let request = ListChargePointsRequest {
                        page_size,
                        page_token,
                        order_by: order_by.map(str::to_owned),
                        desc,
                        ..Default::default()
                    };
                    let page = service.charge_points().list_charge_points(service.asks(request)).await;
                    let page = page.unwrap().into_inner();
                    seen.extend(page.charge_points.into_iter().map(|charge_point| charge_point.identity));
                    page_token = page.next_page_token;
                    if page_token.is_empty() {
                        break;
                    }
                }
                let mut expected = expected.to_vec();
                if desc {
                    expected.reverse();
                }
                assert_eq!(seen, expected, "{order_by:?} {desc} {page_size}");
            }
        }
    }
}

#[tokio::test]
async fn charge_points_are_found_by_their_tags_their_firmware_and_the_group_of_their_site() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for (identity, tags) in [("CP1", &["indoor", "fast"][..]), ("CP2", &["fast"]), ("CP3", &[])] {
        let request = CreateChargePointRequest {
            identity: identity.to_owned(),
            password: Some("a password of its own".to_owned()),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Default::default()
        };
        let created = service.charge_points().create_charge_point(service.asks(request)).await;
        let mut sorted = tags.to_vec();
        sorted.sort_unstable();
        assert_eq!(created.unwrap().into_inner().tags, sorted);
    }
    let all = ListChargePointsRequest::default;
    let tagged = async |tags: &[&str]| {
        let tag = tags.iter().map(|tag| (*tag).to_owned()).collect();
        charge_points(&service, ListChargePointsRequest { tag, ..all() }).await
    };
    assert_eq!(tagged(&["fast"]).await, ["CP1", "CP2"]);
    assert_eq!(tagged(&["indoor", "fast"]).await, ["CP1"]);
    assert_eq!(tagged(&["Fast"]).await, [""; 0], "letters count");
    let change = async |tags: &[&str], paths: &[&str]| {
        let request = UpdateChargePointRequest {
            identity: "CP2".to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
            ..Default::default()
        };
        let changed = service.charge_points().update_charge_point(service.asks(request)).await;
        changed.unwrap().into_inner().tags
    };
    assert_eq!(change(&["owner:acme", "indoor"], &[]).await, ["indoor", "owner:acme"]);
    assert_eq!(tagged(&["owner:acme"]).await, ["CP2"]);
    assert_eq!(change(&[], &[]).await.len(), 2, "nothing was said of them");
    assert_eq!(change(&[], &["tags"]).await, [""; 0]);
    assert_eq!(tagged(&["indoor"]).await, ["CP1"]);

    let mut station = Station::connect(&service, "CP3", "a password of its own").await;
    let boot = json!({"chargePointVendor": "Volt", "chargePointModel": "One", "firmwareVersion": "V1.2"});
    station.call("BootNotification", boot).await;
    let with_firmware = ListChargePointsRequest {
        firmware_version: Some("v1.2".to_owned()),
        ..all()
    };
    assert_eq!(charge_points(&service, with_firmware).await, ["CP3"]);
    let mut sites = site_service_client::SiteServiceClient::new(service.channel.clone());
    for (name, identity, groups) in [("Harbour", "CP1", &["north", "sea"][..]), ("Mall", "CP2", &["south"])] {
        let request = CreateSiteRequest {
            name: name.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..Default::default()
        };
        let site = sites.create_site(service.asks(request)).await.unwrap().into_inner().id;
        service.stands_at(identity, &site).await;
    }
    let in_group = async |group: &str| {
        let site_group = Some(group.to_owned());
        charge_points(&service, ListChargePointsRequest { site_group, ..all() }).await
    };
    assert_eq!(in_group("sea").await, ["CP1"]);
    assert_eq!(in_group("west").await, [""; 0]);
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
