//! What threatens charge points' security, as they tell it and as it is noticed here.

use chrono::TimeDelta;
use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use voltgate_proto::ocpp::v1::security_event_service_client::SecurityEventServiceClient;
use voltgate_proto::ocpp::v1::{ListSecurityEventsRequest, SecurityEvent};

use crate::service::{Service, reason};
use crate::station::{Offer, Station};

async fn list(service: &Service, request: ListSecurityEventsRequest) -> Vec<SecurityEvent> {
    let mut client = SecurityEventServiceClient::new(service.channel.clone());
    let events = client.list_security_events(service.asks(request)).await.unwrap();
    events.into_inner().security_events
}

fn types(events: &[SecurityEvent]) -> Vec<&str> {
    events.iter().map(|event| event.r#type.as_str()).collect()
}

/// A04.FR.03
#[tokio::test]
async fn events_of_a_charge_point_are_kept_and_found_by_type_and_criticality() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for identity in ["CP1", "CP2"] {
        let password = service.register(identity).await;
        let mut station = Station::connect(&service, identity, &password).await;
        for kind in ["StartupOfTheDevice", "InvalidMessages", "X-DoorOpen"] {
            let payload = json!({"type": kind, "timestamp": "2031-01-02T03:04:05Z", "techInfo": "door"});
            assert_eq!(station.call("SecurityEventNotification", payload).await, json!({}));
        }
        let code = station.refused("SecurityEventNotification", json!({"type": "X"})).await;
        assert_eq!(code, "OccurenceConstraintViolation");
    }
    let all = list(&service, ListSecurityEventsRequest::default()).await;
    assert_eq!(all.len(), 6);
    assert_eq!(
        (all[0].identity.as_str(), all[0].r#type.as_str()),
        ("CP2", "X-DoorOpen")
    );
    assert_eq!(
        (all[0].origin.as_str(), all[0].tech_info.as_deref()),
        ("station", Some("door"))
    );
    assert_eq!(all[0].occurred_at.as_ref().unwrap().seconds, 1_925_089_445);

    let of_one = ListSecurityEventsRequest {
        identity: Some("CP1".to_owned()),
        ..Default::default()
    };
    assert_eq!(
        types(&list(&service, of_one.clone()).await),
        ["X-DoorOpen", "InvalidMessages", "StartupOfTheDevice"]
    );
    let uncritical = ListSecurityEventsRequest {
        critical: Some(false),
        ..of_one.clone()
    };
    assert_eq!(types(&list(&service, uncritical).await), ["InvalidMessages"]);
    let critical = ListSecurityEventsRequest {
        critical: Some(true),
        ..Default::default()
    };
    assert_eq!(list(&service, critical).await.len(), 4);
    let of_a_type = ListSecurityEventsRequest {
        r#type: Some("StartupOfTheDevice".to_owned()),
        ..Default::default()
    };
    assert_eq!(list(&service, of_a_type.clone()).await.len(), 2);
    let both = ListSecurityEventsRequest {
        identity: Some("CP1".to_owned()),
        ..of_a_type
    };
    assert_eq!(list(&service, both).await.len(), 1);

    let mut client = SecurityEventServiceClient::new(service.channel.clone());
    let unknown = ListSecurityEventsRequest {
        identity: Some("CP3".to_owned()),
        ..Default::default()
    };
    let unknown = client.list_security_events(service.asks(unknown)).await.unwrap_err();
    assert_eq!(reason(&unknown), Reason::NotFound);
    let mut paged = Vec::new();
    let mut token = String::new();
    loop {
        let request = ListSecurityEventsRequest {
            page_size: 2,
            page_token: token,
            ..of_one.clone()
        };
        let page = client
            .list_security_events(service.asks(request))
            .await
            .unwrap()
            .into_inner();
        paged.extend(page.security_events);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(paged.len(), 3);
}

#[tokio::test]
async fn what_a_charge_point_reports_takes_nothing_away_from_what_was_noticed_about_it() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    let fill = "INSERT INTO ocpp.security_event (id, charge_point_id, origin, type, critical, occurred_at, received_at)
        SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, id, CASE n WHEN 0 THEN 'csms' ELSE 'station' END,
            'X', true, now(), now()
        FROM ocpp.charge_point, generate_series(0, 10000) AS n";
    sqlx::query(fill).execute(&service.pool).await.unwrap();
    let payload = json!({"type": "Y", "timestamp": "2031-01-02T03:04:05Z"});
    station.call("SecurityEventNotification", payload).await;
    let kept: Vec<(String, i64)> =
        sqlx::query_as("SELECT origin, count(*) FROM ocpp.security_event GROUP BY origin ORDER BY origin")
            .fetch_all(&service.pool)
            .await
            .unwrap();
    assert_eq!(kept, [("csms".to_owned(), 1), ("station".to_owned(), 10_000)]);
}

#[tokio::test]
async fn wrong_passwords_become_an_event_at_the_fifth_and_not_again_for_ten_minutes() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let mut events = Vec::new();
    for attempt in 1..=12 {
        Station::open(&service, Offer::of("CP1", "wrong")).await.err().unwrap();
        Station::open(&service, Offer::of("nobody", "wrong"))
            .await
            .err()
            .unwrap();
        events = list(&service, ListSecurityEventsRequest::default()).await;
        assert_eq!(events.len(), usize::from(attempt >= 5), "{attempt}");
    }
    assert_eq!(
        (events[0].r#type.as_str(), events[0].origin.as_str(), events[0].critical),
        ("FailedToAuthenticationAtCentralSystem", "csms", false)
    );
    assert!(events[0].tech_info.as_deref().unwrap().ends_with("from 192.0.2.7:4711"));
    service.clock.advance(TimeDelta::minutes(11));
    for _ in 0..5 {
        Station::open(&service, Offer::of("CP1", "wrong")).await.err().unwrap();
    }
    assert_eq!(list(&service, ListSecurityEventsRequest::default()).await.len(), 2);
}
