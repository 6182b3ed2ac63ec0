//! Who may charge, where, and how often at once.

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};
use crate::station::Station;

async fn connected(service: &Service, identity: &str) -> Station {
    let password = service.register(identity).await;
    Station::connect(service, identity, &password).await
}

fn token(id_token: &str) -> CreateIdTokenRequest {
    CreateIdTokenRequest {
        id_token: id_token.to_owned(),
        ..Default::default()
    }
}

fn limited(id_token: &str, most: i32) -> CreateIdTokenRequest {
    CreateIdTokenRequest {
        max_concurrent_transactions: Some(most),
        ..token(id_token)
    }
}

fn member(id_token: &str, group: &str) -> CreateIdTokenRequest {
    CreateIdTokenRequest {
        group_id: Some(group.to_owned()),
        ..token(id_token)
    }
}

fn place(identity: &str, connector_id: Option<i32>) -> IdTokenLocation {
    IdTokenLocation {
        identity: identity.to_owned(),
        connector_id,
    }
}

async fn authorize(station: &mut Station, tag: &str) -> Value {
    station.call("Authorize", json!({ "idTag": tag })).await["idTagInfo"].clone()
}

async fn start(station: &mut Station, connector: i32, tag: &str) -> Value {
    let start = json!({"connectorId": connector, "idTag": tag, "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"});
    station.call("StartTransaction", start).await
}

async fn stop(station: &mut Station, transaction: &Value, tag: &str) -> Value {
    let stop = json!({"transactionId": transaction["transactionId"], "idTag": tag, "meterStop": 10, "timestamp": "2026-03-01T13:00:00Z"});
    station.call("StopTransaction", stop).await["idTagInfo"].clone()
}

/// Rule 7: a limit holds against starts, and never against stops. Rule 3: a refused start is stored with an id of its own, and a
/// repeated one is recognised first.
#[tokio::test]
async fn a_token_charges_no_more_often_at_once_than_it_may_and_can_always_stop() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register_tokens([limited("TAG", 1)]).await;
    let mut here = connected(&service, "CP1").await;
    let mut there = connected(&service, "CP2").await;

    let running = start(&mut here, 1, "TAG").await;
    assert_eq!(running["idTagInfo"]["status"], "Accepted");
    assert_eq!(start(&mut here, 1, "tag").await, running);

    let refused = start(&mut there, 1, "tag").await;
    assert_eq!(refused["idTagInfo"]["status"], "ConcurrentTx");
    let kept = service.transaction(refused["transactionId"].as_i64().unwrap()).await;
    assert_eq!(kept.status, "refused");
    assert_eq!(start(&mut here, 2, "TAG").await["idTagInfo"]["status"], "ConcurrentTx");

    // The status is relevant for a start only (7.2): it may be shown to stop what runs.
    assert_eq!(authorize(&mut there, "TAG").await["status"], "Accepted");
    assert_eq!(authorize(&mut here, "TAG").await["status"], "Accepted");
    assert_eq!(stop(&mut here, &running, "TAG").await, json!({"status": "Accepted"}));

    assert_eq!(authorize(&mut there, "TAG").await["status"], "Accepted");
    assert_eq!(start(&mut there, 2, "TAG").await["idTagInfo"]["status"], "Accepted");
}

/// Rule 7.
#[tokio::test]
async fn of_starts_at_the_same_moment_no_more_are_accepted_than_the_token_may_have() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut stations = Vec::new();
    for station in 0..6 {
        stations.push(connected(&service, &format!("CP{station}")).await);
    }
    for round in 0..5 {
        let tag = format!("TAG{round}");
        service.register_tokens([limited(&tag, 2)]).await;
        let start = json!([2, format!("start-{round}"), "StartTransaction",
            {"connectorId": round + 1, "idTag": tag, "meterStart": 0, "timestamp": "2026-03-01T12:00:00Z"}]);
        for station in &mut stations {
            station.send(&start.to_string()).await;
        }
        let mut statuses = Vec::new();
        for station in &mut stations {
            statuses.push(
                station.frame().await[2]["idTagInfo"]["status"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        let accepted = statuses.iter().filter(|status| *status == "Accepted").count();
        let concurrent = statuses.iter().filter(|status| *status == "ConcurrentTx").count();
        assert_eq!((accepted, concurrent), (2, 4), "{statuses:?}");
    }
}

/// Rule 7: the limit of a group is that of its parent token.
#[tokio::test]
async fn the_tokens_of_a_group_share_the_limit_of_the_token_that_the_group_is_named_after() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service
        .register_tokens([
            limited("FLEET", 2),
            member("A", "fleet"),
            member("B", "FLEET"),
            member("C", "Fleet"),
        ])
        .await;
    let mut here = connected(&service, "CP1").await;
    let mut there = connected(&service, "CP2").await;
    let first = start(&mut here, 1, "A").await;
    assert_eq!(
        first["idTagInfo"],
        json!({"parentIdTag": "fleet", "status": "Accepted"})
    );
    assert_eq!(start(&mut here, 2, "B").await["idTagInfo"]["status"], "Accepted");
    assert_eq!(start(&mut there, 1, "C").await["idTagInfo"]["status"], "ConcurrentTx");
    assert_eq!(
        start(&mut there, 2, "FLEET").await["idTagInfo"]["status"],
        "ConcurrentTx"
    );
    stop(&mut here, &first, "A").await;
    assert_eq!(
        start(&mut there, 1, "C").await["idTagInfo"]["status"],
        "ConcurrentTx",
        "it is repeated"
    );
    assert_eq!(start(&mut there, 3, "C").await["idTagInfo"]["status"], "Accepted");
}

/// Rule 7: a limit is never against a stop, which one of a group may end for another.
#[tokio::test]
async fn a_card_of_a_group_that_charges_elsewhere_already_can_end_what_another_one_began() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let one = CreateIdTokenRequest {
        group_id: Some("FLEET".to_owned()),
        ..limited("B", 1)
    };
    service
        .register_tokens([token("FLEET"), member("A", "FLEET"), one])
        .await;
    let mut here = connected(&service, "CP1").await;
    let mut there = connected(&service, "CP2").await;
    let running = start(&mut here, 1, "A").await;
    assert_eq!(start(&mut there, 1, "B").await["idTagInfo"]["status"], "Accepted");
    let shown = json!({"parentIdTag": "FLEET", "status": "Accepted"});
    assert_eq!(authorize(&mut here, "B").await, shown);
    assert_eq!(stop(&mut here, &running, "B").await, shown);
}

/// Rule 7: strays do not count.
#[tokio::test]
async fn a_transaction_whose_stop_got_lost_counts_until_the_next_one_on_its_connector() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register_tokens([limited("TAG", 1), token("OTHER")]).await;
    let mut here = connected(&service, "CP1").await;
    let mut there = connected(&service, "CP2").await;
    start(&mut here, 1, "TAG").await;
    assert_eq!(start(&mut there, 1, "TAG").await["idTagInfo"]["status"], "ConcurrentTx");
    start(&mut here, 1, "OTHER").await;
    assert_eq!(start(&mut there, 2, "TAG").await["idTagInfo"]["status"], "Accepted");
    // Its own next one on the same connector, with another meter.
    let next = json!({"connectorId": 2, "idTag": "TAG", "meterStart": 5, "timestamp": "2026-03-01T14:00:00Z"});
    let next = there.call("StartTransaction", next).await;
    assert_eq!(next["idTagInfo"]["status"], "Accepted");
}

/// Rule 7: by charge point and connector.
#[tokio::test]
async fn a_token_that_is_for_some_places_is_invalid_elsewhere() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut here = connected(&service, "CP1").await;
    let mut there = connected(&service, "CP2").await;
    let mut elsewhere = connected(&service, "CP3").await;
    let restricted = CreateIdTokenRequest {
        allowed_locations: vec![place("CP1", None), place("CP2", Some(2))],
        ..token("TAG")
    };
    service.register_tokens([restricted]).await;
    for (station, expected) in [
        (&mut here, "Accepted"),
        (&mut there, "Accepted"),
        (&mut elsewhere, "Invalid"),
    ] {
        assert_eq!(authorize(station, "TAG").await["status"], expected);
    }
    assert_eq!(start(&mut here, 7, "TAG").await["idTagInfo"]["status"], "Accepted");
    assert_eq!(start(&mut there, 1, "TAG").await["idTagInfo"]["status"], "Invalid");
    assert_eq!(start(&mut there, 2, "TAG").await["idTagInfo"]["status"], "Accepted");
    assert_eq!(start(&mut elsewhere, 2, "TAG").await["idTagInfo"]["status"], "Invalid");
}

/// Rule 7: 1.6 tags match tokens of any type.
#[tokio::test]
async fn a_tag_is_a_token_of_whatever_type() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut station = connected(&service, "CP1").await;
    for (id_token, r#type) in [
        ("04A1B2C3", "ISO14443"),
        ("E004010012345678", "ISO15693"),
        ("DE-8AA-CA2B3C4D5-1", "eMAID"),
        ("4711", "KeyCode"),
        ("local-1", "Local"),
        ("00:11:22:33:44:55", "MacAddress"),
        ("remote-start-1", "Central"),
    ] {
        let typed = CreateIdTokenRequest {
            r#type: Some(r#type.to_owned()),
            ..token(id_token)
        };
        service.register_tokens([typed]).await;
        let shown = id_token.to_lowercase();
        assert_eq!(
            authorize(&mut station, &shown).await,
            json!({"status": "Accepted"}),
            "{type}"
        );
    }
}

/// Rule 7: every stop with a token is answered with what is known of it, and a group's tokens stop each other's transactions.
#[tokio::test]
async fn another_card_of_the_group_may_stop_a_transaction_and_is_told_so() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service
        .register_tokens([member("DRIVER", "FAMILY"), member("SPOUSE", "FAMILY")])
        .await;
    let mut station = connected(&service, "CP1").await;
    let running = start(&mut station, 1, "DRIVER").await;
    // By the parent of both, the station knows that the second may stop what the first has begun.
    let parent = json!({"parentIdTag": "FAMILY", "status": "Accepted"});
    assert_eq!(running["idTagInfo"], parent);
    assert_eq!(authorize(&mut station, "SPOUSE").await, parent);
    assert_eq!(stop(&mut station, &running, "SPOUSE").await, parent);
    let stopped = service.transaction(running["transactionId"].as_i64().unwrap()).await;
    assert_eq!(stopped.status, "completed");
    // A stop that means nothing tells of its token too, and one without a token of none.
    assert_eq!(
        stop(&mut station, &json!({"transactionId": 4711}), "NOBODY").await,
        json!({"status": "Invalid"})
    );
    let silent = json!({"transactionId": 4711, "meterStop": 1, "timestamp": "2026-03-01T13:00:00Z"});
    assert_eq!(station.call("StopTransaction", silent).await, json!({}));
}

async fn get(service: &Service, id_token: &str) -> (IdToken, String) {
    let get = GetIdTokenRequest {
        id_token: id_token.to_owned(),
    };
    let answer = service.id_tokens().get_id_token(service.asks(get)).await.unwrap();
    let tag = answer.metadata().get("etag").unwrap().to_str().unwrap().to_owned();
    (answer.into_inner(), tag)
}

#[tokio::test]
async fn limit_and_places_of_a_token_are_set_changed_and_cleared_in_the_version_that_was_seen() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for identity in ["CP1", "CP2"] {
        service.register(identity).await;
    }
    let created = CreateIdTokenRequest {
        allowed_locations: vec![
            place("CP2", Some(2)),
            place("CP2", None),
            place("CP1", None),
            place("CP1", None),
        ],
        ..limited("TAG", 3)
    };
    service.register_tokens([created]).await;
    let places = |id_token: &IdToken| -> Vec<_> {
        let places = id_token.allowed_locations.iter();
        places
            .map(|place| (place.identity.clone(), place.connector_id))
            .collect()
    };
    let (seen, first) = get(&service, "tag").await;
    assert_eq!(seen.max_concurrent_transactions, Some(3));
    let cp = |identity: &str, connector_id| (identity.to_owned(), connector_id);
    assert_eq!(places(&seen), [cp("CP1", None), cp("CP2", None), cp("CP2", Some(2))]);

    let change = UpdateIdTokenRequest {
        id_token: "TAG".to_owned(),
        allowed_locations: vec![place("CP1", Some(1))],
        ..Default::default()
    };
    let changed = service.id_tokens().update_id_token(service.asks(change.clone())).await;
    let changed = changed.unwrap().into_inner();
    assert_eq!(changed.max_concurrent_transactions, Some(3));
    assert_eq!(places(&changed), [cp("CP1", Some(1))]);
    // Somebody who has seen the version before changes nothing.
    let mut late = service.asks(change);
    late.metadata_mut().insert("if-match", first.parse().unwrap());
    let refused = service.id_tokens().update_id_token(late).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::PreconditionFailed);

    let clear = UpdateIdTokenRequest {
        id_token: "TAG".to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["max_concurrent_transactions".to_owned(), "allowed_locations".to_owned()],
        }),
        ..Default::default()
    };
    service.id_tokens().update_id_token(service.asks(clear)).await.unwrap();
    let (cleared, _) = get(&service, "TAG").await;
    assert_eq!((cleared.max_concurrent_transactions, places(&cleared)), (None, vec![]));
    let list = service
        .id_tokens()
        .list_id_tokens(service.asks(ListIdTokensRequest::default()))
        .await;
    assert_eq!(list.unwrap().into_inner().id_tokens, [cleared]);
}

#[tokio::test]
async fn every_place_that_is_not_there_is_named_and_nothing_is_stored() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    service.register_token("TAG").await;
    let fields = |status: tonic::Status| -> Vec<String> {
        let violations = status.get_details_bad_request().unwrap().field_violations;
        violations.into_iter().map(|violation| violation.field).collect()
    };
    let places = vec![place("CP1", None), place("cp1", None), place("CP9", Some(1))];
    let expected = ["allowedLocations[1].identity", "allowedLocations[2].identity"];
    let create = CreateIdTokenRequest {
        allowed_locations: places.clone(),
        ..token("NEW")
    };
    let refused = service
        .id_tokens()
        .create_id_token(service.asks(create))
        .await
        .unwrap_err();
    assert_eq!(fields(refused), expected);
    let update = UpdateIdTokenRequest {
        id_token: "TAG".to_owned(),
        blocked: Some(true),
        allowed_locations: places,
        ..Default::default()
    };
    let refused = service
        .id_tokens()
        .update_id_token(service.asks(update))
        .await
        .unwrap_err();
    assert_eq!(fields(refused), expected);
    let list = service
        .id_tokens()
        .list_id_tokens(service.asks(ListIdTokensRequest::default()))
        .await;
    let tokens = list.unwrap().into_inner().id_tokens;
    assert_eq!(
        tokens
            .iter()
            .map(|token| (token.id_token.as_str(), token.blocked))
            .collect::<Vec<_>>(),
        [("TAG", false)]
    );
}
