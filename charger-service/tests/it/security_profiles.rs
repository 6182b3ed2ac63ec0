//! Charge points move up to a higher security profile, and no message of OCPP moves them down (A05).

use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use testbed::certificates::{Authority, Subject};
use voltgate_proto::ocpp::v1::{ListSecurityEventsRequest, UpdateChargePointRequest};

use crate::service::{Service, reason};
use crate::station::{Offer, Station};

async fn agree(service: &Service, station: &mut Station, profile: &str, status: &str) {
    // A connection that has spoken is the present one.
    station.call("Heartbeat", json!({})).await;
    let payload = json!({"key": "SecurityProfile", "value": profile});
    let asking = service.command("CP1", "ChangeConfiguration", payload, 30);
    let (id, ..) = station.called().await;
    station.answer(&id, json!({"status": status})).await;
    asking.await.unwrap().unwrap();
}

async fn profiles(service: &Service) -> (i32, Option<i32>) {
    let charge_point = service.charge_point("CP1").await;
    (charge_point.security_profile, charge_point.next_security_profile)
}

fn secure<'a>(password: &str) -> Offer<'a> {
    Offer {
        tls: true,
        ..Offer::of("CP1", password)
    }
}

fn with_certificate(authority: &Authority, name: &str) -> Offer<'static> {
    Offer {
        authorization: None,
        tls: true,
        certificate: Some(authority.issue(&Subject::named(name)).der()),
        ..Offer::of("CP1", "")
    }
}

async fn event_types(service: &Service) -> Vec<String> {
    let mut client = voltgate_proto::ocpp::v1::security_event_service_client::SecurityEventServiceClient::new(
        service.channel.clone(),
    );
    let request = service.asks(ListSecurityEventsRequest::default());
    let events = client.list_security_events(request).await.unwrap().into_inner();
    events.security_events.into_iter().map(|event| event.r#type).collect()
}

/// A05.FR.08 and A05.FR.09.
#[tokio::test]
async fn a_charge_point_may_fall_back_until_it_has_come_in_with_the_higher_profile_and_never_after() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    agree(&service, &mut station, "2", "Rejected").await;
    assert_eq!(profiles(&service).await, (1, None));
    agree(&service, &mut station, "2", "Accepted").await;
    assert_eq!(profiles(&service).await, (1, Some(2)));

    Station::connect(&service, "CP1", &password).await;
    assert_eq!(profiles(&service).await, (1, Some(2)));
    let mut station = Station::open(&service, secure(&password)).await.unwrap();
    assert_eq!(profiles(&service).await, (2, None));
    let lower = Station::open(&service, Offer::of("CP1", &password))
        .await
        .err()
        .unwrap();
    assert_eq!(reason(&lower), Reason::StationUnauthorized);
    assert_eq!(event_types(&service).await, ["SecurityProfileDowngradeAttempt"]);

    agree(&service, &mut station, "3", "Accepted").await;
    let authority = Authority::new("test");
    Station::open(&service, with_certificate(&authority, "CP2"))
        .await
        .err()
        .unwrap();
    assert_eq!(profiles(&service).await, (2, Some(3)));
    let mut station = Station::open(&service, with_certificate(&authority, "CP1"))
        .await
        .unwrap();
    assert_eq!(profiles(&service).await, (3, None));
    Station::open(&service, secure(&password)).await.err().unwrap();

    // A00.FR.005
    for lower in ["2", "1", "0", "3"] {
        agree(&service, &mut station, lower, "Accepted").await;
        assert_eq!(profiles(&service).await, (3, None), "{lower}");
    }
    Station::open(&service, with_certificate(&authority, "CP2"))
        .await
        .err()
        .unwrap();
    assert_eq!(event_types(&service).await[0], "WrongChargePointCertificate");
}

/// A05: a charge point may reboot into the new profile before its answer has arrived.
#[tokio::test]
async fn a_profile_whose_answer_never_came_or_cannot_be_read_lets_the_charge_point_in_either_way() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    let ask = |profile: &str| {
        let payload = json!({"key": "SecurityProfile", "value": profile});
        service.command("CP1", "ChangeConfiguration", payload, 30)
    };
    let asking = ask("2");
    let (id, ..) = station.called().await;
    station.send(&json!([4, id, "InternalError", "", {}]).to_string()).await;
    assert_eq!(asking.await.unwrap().unwrap().status, "error");
    assert_eq!(profiles(&service).await, (1, None));

    let asking = ask("2");
    station.called().await;
    assert_eq!(asking.await.unwrap().unwrap().status, "timeout");
    assert_eq!(profiles(&service).await, (1, Some(2)));
    Station::connect(&service, "CP1", &password).await;
    let mut station = Station::open(&service, secure(&password)).await.unwrap();
    assert_eq!(profiles(&service).await, (2, None));

    // Only upwards.
    station.call("Heartbeat", json!({})).await;
    let asking = ask("1");
    station.called().await;
    assert_eq!(asking.await.unwrap().unwrap().status, "timeout");
    assert_eq!(profiles(&service).await, (2, None));
    let asking = ask("3");
    let (id, ..) = station.called().await;
    station.send(&format!("[3,\"{id}\"]")).await;
    assert_eq!(asking.await.unwrap().unwrap().status, "error");
    Station::open(&service, secure(&password)).await.unwrap();
    Station::open(&service, with_certificate(&Authority::new("test"), "CP1"))
        .await
        .unwrap();
    assert_eq!(profiles(&service).await, (3, None));
}

#[tokio::test]
async fn an_operator_sets_the_profile_either_way_and_gets_a_password_where_one_is_needed() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let set = async |profile: i32, name: Option<&str>| {
        let request = UpdateChargePointRequest {
            identity: "CP1".to_owned(),
            security_profile: Some(profile),
            certificate_name: name.map(str::to_owned),
            ..Default::default()
        };
        let changed = service.charge_points().update_charge_point(service.asks(request)).await;
        changed.map(tonic::Response::into_inner)
    };
    assert_eq!(set(2, None).await.unwrap().security_profile, 2);
    Station::open(&service, secure(&password)).await.unwrap();
    Station::open(&service, Offer::of("CP1", &password))
        .await
        .err()
        .unwrap();
    let misfit = set(2, Some("SN-1")).await.unwrap_err();
    assert_eq!(reason(&misfit), Reason::InvalidRequest);
    assert_eq!(
        set(3, Some("SN-1")).await.unwrap().certificate_name.as_deref(),
        Some("SN-1")
    );
    Station::open(&service, with_certificate(&Authority::new("test"), "SN-1"))
        .await
        .unwrap();
    assert_eq!(set(1, None).await.unwrap().password, None);
    Station::connect(&service, "CP1", &password).await;

    sqlx::query("UPDATE ocpp.charge_point SET password_hash = NULL, security_profile = 0")
        .execute(&service.pool)
        .await
        .unwrap();
    let made = set(1, None).await.unwrap().password.unwrap();
    Station::connect(&service, "CP1", &made).await;
}
