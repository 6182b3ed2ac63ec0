//! What other services are told: by the outbox, with the fact.

use charger_service::Settings;
use prost::{Message, Name};
use serde_json::json;
use service_kit::event::{self, Event};
use testbed::Database;
use voltgate_proto::events::v1::{
    CertificateExpiring, ChargePointFaulted, ChargePointOffline, ChargingFinished, ChargingStarted,
};
use voltgate_proto::ocpp::v1::*;

use crate::drivers::{seconds_ago, token};
use crate::operator::Driver;
use crate::service::{Service, eventually, settings};
use crate::state::connected;
use crate::station::Station;
use crate::strays::only_stray;
use crate::tariffs::{create, named};

/// Events of one type in the outbox, in the order in which they were written.
async fn told<M: Message + Name + Default>(service: &Service) -> Vec<M> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT data FROM ocpp.outbox WHERE type = $1 ORDER BY position")
        .bind(M::full_name())
        .fetch_all(&service.pool)
        .await
        .unwrap();
    let decode = |data: Vec<u8>| {
        let event = Event {
            r#type: M::full_name(),
            data: data.into(),
            ..Event::default()
        };
        event::decode(&event).unwrap()
    };
    rows.into_iter().map(decode).collect()
}

#[tokio::test]
async fn a_charge_is_told_with_its_driver_its_lines_and_its_power_once_however_often_it_is_stopped() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let driver = Driver::sign_up().await;
    service.register_tokens([token("TAG", &driver)]).await;
    create(&service, named("Harbour", "0.39")).await.unwrap();
    let id = station.start("TAG", 1000, &seconds_ago(240)).await;
    let started: Vec<ChargingStarted> = told(&service).await;
    assert_eq!(started.len(), 1);
    assert_eq!(started[0].account_id.as_ref(), Some(&driver.account));
    assert_eq!(
        (i64::from(started[0].transaction_id), started[0].identity.as_str()),
        (id, "CP1")
    );
    assert!(told::<ChargingFinished>(&service).await.is_empty());

    for (seconds, watts) in [(200, 11_000), (120, 7400)] {
        let power = json!({"connectorId": 1, "transactionId": id, "meterValue": [{"timestamp": seconds_ago(seconds),
            "sampledValue": [{"value": watts.to_string(), "measurand": "Power.Active.Import", "unit": "W"}]}]});
        station.call("MeterValues", power).await;
    }
    let stop =
        json!({"transactionId": id, "meterStop": 13_345, "timestamp": seconds_ago(0), "reason": "EVDisconnected"});
    for _ in 0..2 {
        assert_eq!(station.call("StopTransaction", stop.clone()).await, json!({}));
    }
    let finished: Vec<ChargingFinished> = told(&service).await;
    let [finished] = &finished[..] else {
        panic!("{finished:?}")
    };
    assert_eq!(finished.account_id.as_ref(), Some(&driver.account));
    assert_eq!(
        (finished.energy_wh.as_deref(), finished.stop_reason.as_deref()),
        (Some("12345"), Some("EVDisconnected"))
    );
    let cost = finished.cost.as_ref().unwrap();
    assert_eq!(
        (cost.total.as_str(), cost.currency.as_str(), cost.record_number),
        ("4.81", "EUR", 1)
    );
    assert_eq!(
        (cost.lines[0].part.as_str(), cost.lines[0].amount.as_str()),
        ("energy", "4.81455")
    );
    assert_eq!(
        finished.power.iter().map(|point| point.watts).collect::<Vec<_>>(),
        [11_000, 7400]
    );
    assert_eq!((finished.highest_watts, finished.corrected), (Some(11_000), false));
    assert!(cost.remarks.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_charge_that_is_nobodys_and_costs_nothing_is_told_too_and_one_that_was_refused_is_not() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    for (tag, connector) in [("TAG", 1), ("STRANGER", 2)] {
        let start = json!({"connectorId": connector, "idTag": tag, "meterStart": 0, "timestamp": seconds_ago(60)});
        let id = station.call("StartTransaction", start).await["transactionId"]
            .as_i64()
            .unwrap();
        let stop = json!({"transactionId": id, "meterStop": 10, "timestamp": seconds_ago(0)});
        station.call("StopTransaction", stop).await;
    }
    assert_eq!(told::<ChargingStarted>(&service).await.len(), 1);
    let finished: Vec<ChargingFinished> = told(&service).await;
    let [finished] = &finished[..] else {
        panic!("{finished:?}")
    };
    assert!(finished.account_id.is_none() && finished.cost.is_none() && finished.power.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_charge_point_that_is_lost_or_broken_is_told_once_with_its_site_by_however_many_replicas() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let second = Service::start(&database).await;
    let site = site_service_client::SiteServiceClient::new(service.channel.clone())
        .create_site(service.asks(CreateSiteRequest {
            name: "Harbour".to_owned(),
            time_zone: Some("Europe/Berlin".to_owned()),
            groups: vec!["north".to_owned()],
            ..Default::default()
        }))
        .await
        .unwrap()
        .into_inner();
    let password = service.register("CP1").await;
    let update = UpdateChargePointRequest {
        identity: "CP1".to_owned(),
        site_id: Some(site.id),
        ..Default::default()
    };
    service
        .charge_points()
        .update_charge_point(service.asks(update))
        .await
        .unwrap();
    // What happened before the first look is told to nobody.
    eventually("there was a first look", async || {
        sqlx::query_scalar("SELECT server IS NOT NULL FROM ocpp.announced")
            .fetch_one(&service.pool)
            .await
            .unwrap()
    })
    .await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let status = |status: &str, error: &str| json!({"connectorId": 1, "status": status, "errorCode": error, "timestamp": seconds_ago(0)});
    station
        .call("StatusNotification", status("Faulted", "GroundFailure"))
        .await;
    station.call("StatusNotification", status("Available", "NoError")).await;
    station.hang_up().await;
    eventually("both are told", async || {
        told::<ChargePointOffline>(&service).await.len() == 1 && told::<ChargePointFaulted>(&service).await.len() == 1
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    let (lost, broken): (Vec<ChargePointOffline>, Vec<ChargePointFaulted>) =
        (told(&service).await, told(&service).await);
    assert_eq!((lost.len(), broken.len()), (1, 1));
    assert_eq!(
        (broken[0].connector_id, broken[0].error_code.as_str()),
        (1, "GroundFailure")
    );
    let place = lost[0].place.as_ref().unwrap();
    assert_eq!(
        (place.site_name.as_str(), &place.groups[..]),
        ("Harbour", &["north".to_owned()][..])
    );
    second.stop().await;
    service.stop().await;
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told_once_and_by_one_replica() {
    let database = Database::create().await;
    let short = || Settings {
        charger_certificate_days: 20,
        ..settings()
    };
    let service = Service::start_with(&database, short()).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let mut asked = rcgen::CertificateParams::default();
    asked.distinguished_name = rcgen::DistinguishedName::new();
    asked.distinguished_name.push(rcgen::DnType::CommonName, "CP1");
    let csr = asked.serialize_request(&key).unwrap().pem().unwrap();
    station.call("SignCertificate", json!({ "csr": csr })).await;
    let (id, _, _) = station.called().await;
    station.answer(&id, json!({"status": "Accepted"})).await;
    let accepted =
        "SELECT EXISTS (SELECT FROM ocpp.command WHERE action = 'CertificateSigned' AND status = 'accepted')";
    eventually("it is accepted", async || {
        sqlx::query_scalar::<_, bool>(accepted)
            .fetch_one(&service.pool)
            .await
            .unwrap()
    })
    .await;
    // Each looks when it starts, and then every hour.
    let second = Service::start_with(&database, short()).await;
    let third = Service::start_with(&database, short()).await;
    eventually("it is told", async || {
        !told::<CertificateExpiring>(&service).await.is_empty()
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let expiring: Vec<CertificateExpiring> = told(&service).await;
    assert_eq!((expiring.len(), expiring[0].identity.as_str()), (1, "CP1"));
    assert!(!expiring[0].serial_number.is_empty() && expiring[0].ends_at.is_some());
    for replica in [third, second, service] {
        replica.stop().await;
    }
}

#[tokio::test]
async fn what_happens_after_a_first_look_at_nothing_is_told() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    sqlx::query("UPDATE ocpp.announced SET server = NULL")
        .execute(&service.pool)
        .await
        .unwrap();
    // Nothing of the feed is as new as the transaction that looks.
    let begun = "SELECT server IS NOT NULL FROM ocpp.announced";
    eventually("it has looked, and keeps from where", async || {
        sqlx::query_scalar::<_, bool>(begun)
            .fetch_one(&service.pool)
            .await
            .unwrap()
    })
    .await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let broken =
        json!({"connectorId": 1, "status": "Faulted", "errorCode": "GroundFailure", "timestamp": seconds_ago(0)});
    station.call("StatusNotification", broken).await;
    eventually("it is told", async || {
        told::<ChargePointFaulted>(&service).await.len() == 1
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn a_charge_whose_stop_is_corrected_is_told_once_more_as_such_also_where_it_costs_nothing() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, &seconds_ago(3600)).await;
    for meter_stop in [100, 200] {
        let stop = json!({"transactionId": id, "meterStop": meter_stop, "timestamp": seconds_ago(60)});
        station.call("StopTransaction", stop).await;
    }
    service.merge(&only_stray(&service).await, id).await.unwrap();
    let finished: Vec<ChargingFinished> = told(&service).await;
    let told: Vec<_> = finished
        .iter()
        .map(|finished| (finished.energy_wh.as_deref(), finished.corrected))
        .collect();
    assert_eq!(told, [(Some("100"), false), (Some("200"), true)]);
    service.stop().await;
}
