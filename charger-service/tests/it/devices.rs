//! Charge points get other devices, are taken out of use, and come back.

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use testbed::certificates::{Authority, Subject};
use tonic::{Response, Status};
use voltgate_proto::ocpp::v1::certificate_service_client::CertificateServiceClient;
use voltgate_proto::ocpp::v1::configuration_service_client::ConfigurationServiceClient;
use voltgate_proto::ocpp::v1::local_list_service_client::LocalListServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::certificate_names::{asked, open, sent};
use crate::connectors::{coded, declare};
use crate::identities::{events, get, tag};
use crate::operator::Driver;
use crate::service::{Service, reason};
use crate::state::connected;
use crate::station::{Offer, Station};

pub fn replacing(identity: &str) -> ReplaceChargePointRequest {
    ReplaceChargePointRequest {
        identity: identity.to_owned(),
        ..Default::default()
    }
}

pub async fn replace(service: &Service, request: ReplaceChargePointRequest) -> Result<ChargePoint, Status> {
    let replaced = service
        .charge_points()
        .replace_charge_point(service.asks(request))
        .await;
    replaced.map(Response::into_inner)
}

pub async fn retire(service: &Service, identity: &str, close_transactions: bool) -> Result<ChargePoint, Status> {
    let request = RetireChargePointRequest {
        identity: identity.to_owned(),
        close_transactions,
    };
    let retired = service.charge_points().retire_charge_point(service.asks(request)).await;
    retired.map(Response::into_inner)
}

async fn restore(service: &Service, identity: &str) -> Result<ChargePoint, Status> {
    let request = RestoreChargePointRequest {
        identity: identity.to_owned(),
        password: None,
    };
    let restored = service
        .charge_points()
        .restore_charge_point(service.asks(request))
        .await;
    restored.map(Response::into_inner)
}

async fn is_let_in(service: &Service, identity: &str, password: &str) -> Result<(), Reason> {
    let opened = Station::open(service, Offer::of(identity, password)).await;
    opened.map(drop).map_err(|status| reason(&status))
}

/// A charge point of which everything is known that can be.
async fn well_known(database: &Database) -> (Service, Station) {
    let (service, mut station) = connected(database).await;
    let boot = json!({"chargePointVendor": "Volt", "chargePointModel": "One", "chargePointSerialNumber": "SN-1",
        "firmwareVersion": "1.0"});
    station.call("BootNotification", boot).await;
    let status = json!({"connectorId": 1, "status": "Available", "errorCode": "NoError"});
    station.call("StatusNotification", status).await;
    let accepted = json!({"status": "Accepted"});
    let wanted = json!({"key": "HeartbeatInterval", "value": "60"});
    service
        .exchange(&mut station, "ChangeConfiguration", wanted, accepted.clone())
        .await;
    let told = json!({"configurationKey": [
        {"key": "HeartbeatInterval", "readonly": false, "value": "60"},
        {"key": "NumberOfConnectors", "readonly": true, "value": "2"}]});
    service
        .exchange(&mut station, "GetConfiguration", json!({}), told)
        .await;
    let list = json!({"listVersion": 3, "updateType": "Full",
        "localAuthorizationList": [{"idTag": "TAG", "idTagInfo": {"status": "Accepted"}}]});
    service
        .exchange(&mut station, "SendLocalList", list, accepted.clone())
        .await;
    let out_of_use = json!({"connectorId": 1, "type": "Inoperative"});
    service
        .exchange(&mut station, "ChangeAvailability", out_of_use, accepted.clone())
        .await;
    let profile = json!({"connectorId": 1, "csChargingProfiles": {"chargingProfileId": 1, "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Relative",
        "chargingSchedule": {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 11000}]}}});
    service
        .exchange(&mut station, "SetChargingProfile", profile, accepted.clone())
        .await;
    let reserved = json!({"connectorId": 1, "expiryDate": "2099-01-01T00:00:00Z", "idTag": "TAG", "reservationId": 7});
    service.exchange(&mut station, "ReserveNow", reserved, accepted).await;
    (service, station)
}

#[tokio::test]
async fn what_a_device_has_said_goes_with_it_and_what_operators_have_decided_stays() {
    let database = Database::create().await;
    let (service, mut station) = well_known(&database).await;
    let site = service.site("Harbour").await;
    service.stands_at("CP1", &site).await;
    declare(&service, 1, coded("DE*ABC*1"), None).await.unwrap();
    let before = service.charge_point("CP1").await;
    assert_eq!(before.serial_number.as_deref(), Some("SN-1"));
    let waiting = service
        .command("CP1", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap();
    station.called().await;
    let secret = json!({"key": "AuthorizationKey", "value": "0123456789abcdef0123"});
    let queued = service
        .command("CP1", "ChangeConfiguration", secret, 0)
        .await
        .unwrap()
        .unwrap();

    let pending = ReplaceChargePointRequest {
        registration_status: Some("Pending".to_owned()),
        ..replacing("CP1")
    };
    let after = replace(&service, pending).await.unwrap();
    assert_eq!(station.closed().await.unwrap().code, 1008);
    let password = after.password.clone().unwrap();
    assert_eq!(
        after,
        ChargePoint {
            id: before.id.clone(),
            identity: "CP1".to_owned(),
            display_name: "CP1".to_owned(),
            registration_status: "Pending".to_owned(),
            security_profile: 1,
            password: Some(password.clone()),
            created_at: before.created_at,
            site_id: Some(site),
            connectors: vec![Connector {
                connector_id: 1,
                code: Some("DE*ABC*1".to_owned()),
                evse_id: Some(1),
                // Wanted still, and nobody knows of the new device.
                availability: Some("Inoperative".to_owned()),
                ..Default::default()
            }],
            ..Default::default()
        }
    );
    let keys = service.configuration().await;
    assert_eq!(keys.len(), 1);
    assert_eq!(
        (
            keys[0].desired_value.as_deref(),
            keys[0].reported_value.as_deref(),
            keys[0].drift
        ),
        (Some("60"), None, true)
    );
    let list = service.local_list().await;
    assert_eq!((list.desired_version, list.reported_version), (Some(3), None));
    assert!(list.entries.is_empty() && list.drift);
    assert!(service.charging_profiles().await.is_empty());
    assert_eq!(service.reservations().await[0].status, "cancelled");
    assert_eq!(service.get_command(&waiting.id).await.status, "timeout");
    let queued = service.get_command(&queued.id).await;
    assert_eq!(queued.status, "expired");
    assert_eq!(
        queued.error_description.as_deref(),
        Some("the charge point was replaced")
    );
    assert!(!service.everything_kept().await.contains("0123456789abcdef0123"));
    // What was seen of the old one stays to be read.
    assert!(!service.messages("CP1").await.is_empty());
    let audited = service.audited("charge-point.replaced").await;
    assert_eq!(
        audited[0].1,
        json!({"registrationStatus": "Pending", "formerVendor": "Volt", "formerModel": "One",
            "formerSerialNumber": "SN-1", "formerFirmwareVersion": "1.0"})
    );
    assert_eq!(service.audited("charge-point.password-made").await.len(), 1);

    let mut new = Station::connect(&service, "CP1", &password).await;
    assert_eq!(new.boot().await["status"], "Pending");
    assert_eq!(service.charge_point("CP1").await.serial_number, None);
}

#[tokio::test]
async fn the_device_that_was_replaced_does_not_come_in_any_more() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let old = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &old).await;
    // Sent to the old one, and not answered.
    let offered = json!({"key": "AuthorizationKey", "value": "a password on its way"});
    service
        .command("CP1", "ChangeConfiguration", offered, 0)
        .await
        .unwrap()
        .unwrap();
    station.called().await;
    let chosen = ReplaceChargePointRequest {
        password: Some("a password of its own".to_owned()),
        ..replacing("CP1")
    };
    let replaced = replace(&service, chosen).await.unwrap();
    assert_eq!(replaced.password, None, "whoever has chosen it knows it");
    station.closed().await.unwrap();
    assert!(station.resume(&service).await.is_err());
    for gone in [old.as_str(), "a password on its way"] {
        assert_eq!(is_let_in(&service, "CP1", gone).await, Err(Reason::StationUnauthorized));
    }
    assert_eq!(is_let_in(&service, "CP1", "a password of its own").await, Ok(()));
    // The profile of the new one may be another; then another thing lets it in.
    let certified = ReplaceChargePointRequest {
        security_profile: Some(3),
        certificate_name: Some("SN-2".to_owned()),
        ..replacing("CP1")
    };
    let replaced = replace(&service, certified).await.unwrap();
    assert_eq!((replaced.security_profile, replaced.password), (3, None));
    assert_eq!(replaced.certificate_name.as_deref(), Some("SN-2"));
    let refused = replace(
        &service,
        ReplaceChargePointRequest {
            password: Some("x".to_owned()),
            ..replacing("CP1")
        },
    );
    assert_eq!(reason(&refused.await.unwrap_err()), Reason::InvalidRequest);
}

#[tokio::test]
async fn neither_certificates_of_ours_nor_those_of_others_let_in_a_device_that_was_replaced() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    assert_eq!(asked(&mut station, None).await, "Accepted");
    let ours = sent(&mut station).await;
    let factory = Authority::new("factory");
    let theirs = factory.issue(&Subject::named("CP1")).der();
    let raise = UpdateChargePointRequest {
        identity: "CP1".to_owned(),
        security_profile: Some(3),
        ..Default::default()
    };
    service
        .charge_points()
        .update_charge_point(service.asks(raise))
        .await
        .unwrap();
    for certificate in [&ours, &theirs] {
        open(&service, "CP1", certificate).await.unwrap();
    }
    replace(&service, replacing("CP1")).await.unwrap();
    for certificate in [&ours, &theirs] {
        let refused = open(&service, "CP1", certificate).await.err().unwrap();
        assert_eq!(reason(&refused), Reason::StationUnauthorized);
    }
    let request = ListCertificatesRequest {
        identity: "CP1".to_owned(),
    };
    let mut client = CertificateServiceClient::new(service.channel.clone());
    let listed = client
        .list_certificates(service.asks(request))
        .await
        .unwrap()
        .into_inner();
    assert!(listed.issued[0].void_since.is_some());
    // The new one has another key.
    let new = factory.issue(&Subject::named("CP1")).der();
    open(&service, "CP1", &new).await.unwrap();
}

#[tokio::test]
async fn transactions_that_are_open_are_in_the_way_unless_they_are_to_be_closed() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 1000, "2026-03-01T12:00:00Z").await;
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
        {"timestamp": "2026-03-01T12:45:00Z", "sampledValue": [{"value": "3500"}]}]});
    station.call("MeterValues", values).await;
    let in_the_way = replace(&service, replacing("CP1")).await.unwrap_err();
    assert_eq!(reason(&in_the_way), Reason::TransactionsOpen);
    assert!(in_the_way.message().contains(&id.to_string()), "{in_the_way:?}");
    let in_the_way = retire(&service, "CP1", false).await.unwrap_err();
    assert_eq!(reason(&in_the_way), Reason::TransactionsOpen);
    // Nothing has happened.
    station.call("Heartbeat", json!({})).await;

    let close = ReplaceChargePointRequest {
        close_transactions: true,
        ..replacing("CP1")
    };
    replace(&service, close).await.unwrap();
    let closed = service.transaction(id).await;
    assert_eq!(
        (closed.status.as_str(), closed.energy_wh, closed.close_reason.as_deref()),
        ("completed", Some(2500), Some("The charge point was replaced"))
    );
    assert_eq!(
        service.audited("charge-point.replaced").await[0].1["closedTransactions"],
        json!([id])
    );
    assert_eq!(service.audited("transaction.closed").await.len(), 1);
    assert_eq!(events(&service, "transaction.stopped").await.len(), 1);
}

#[tokio::test]
async fn what_a_device_starts_as_another_takes_its_place_counts_for_nobody() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    replace(&service, replacing("CP1")).await.unwrap();
    assert_eq!(station.closed().await.unwrap().code, 1008);
    // It came in before the socket was closed.
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    assert_eq!(service.transaction(id).await.status, "refused");
}

#[tokio::test]
async fn what_a_charge_point_starts_as_it_is_retired_counts_for_nobody() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    retire(&service, "CP1", false).await.unwrap();
    assert_eq!(station.closed().await.unwrap().code, 1008);
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    assert_eq!(service.transaction(id).await.status, "refused");
}

async fn listed(service: &Service, retired: bool) -> Vec<String> {
    let request = ListChargePointsRequest {
        retired,
        ..Default::default()
    };
    let listed = service.charge_points().list_charge_points(service.asks(request)).await;
    let listed = listed.unwrap().into_inner().charge_points.into_iter();
    listed.map(|charge_point| charge_point.identity).collect()
}

#[tokio::test]
async fn a_charge_point_that_is_retired_is_out_of_the_way_and_comes_back_with_another_password() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    service.register("CP2").await;
    service.register_token("TAG").await;
    declare(&service, 1, coded("DE*ABC*1"), None).await.unwrap();
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let stop = json!({"transactionId": id, "meterStop": 500, "timestamp": "2026-03-01T13:00:00Z"});
    station.call("StopTransaction", stop).await;

    let retired = retire(&service, "CP1", false).await.unwrap();
    assert!(retired.retired_at.is_some() && !retired.online);
    assert_eq!(station.closed().await.unwrap().code, 1008);
    assert_eq!(is_let_in(&service, "CP1", &password).await, Err(Reason::NotFound));
    let again = retire(&service, "CP1", false).await.unwrap();
    assert_eq!(again, retired, "it stays so");
    assert_eq!(listed(&service, false).await, ["CP2"]);
    assert_eq!(listed(&service, true).await, ["CP1"]);
    // What it did is there.
    assert_eq!(service.transactions_of("CP1").await.len(), 1);
    assert_eq!(service.charge_point("CP1").await.vendor.as_deref(), Some("Volt"));
    // Nothing can be asked of it.
    let refused = service
        .command("CP1", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::ChargePointRetired);
    assert_eq!(
        reason(&replace(&service, replacing("CP1")).await.unwrap_err()),
        Reason::ChargePointRetired
    );
    let key = DesireConfigurationRequest {
        identity: "CP1".to_owned(),
        key: "HeartbeatInterval".to_owned(),
        value: Some("60".to_owned()),
    };
    let mut configuration = ConfigurationServiceClient::new(service.channel.clone());
    let refused = configuration.desire_configuration(service.asks(key)).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::ChargePointRetired);
    let list = DesireLocalListRequest {
        identity: "CP1".to_owned(),
        all_tokens: true,
        ..Default::default()
    };
    let mut lists = LocalListServiceClient::new(service.channel.clone());
    let refused = lists.desire_local_list(service.asks(list)).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::ChargePointRetired);
    let driver = Driver::sign_up().await;
    let request = GetMyConnectorRequest {
        code: "DE*ABC*1".to_owned(),
    };
    let connector = async || {
        let mut client = driver_service_client::DriverServiceClient::new(service.channel.clone());
        client.get_my_connector(driver.asks(request.clone())).await.map(drop)
    };
    assert_eq!(reason(&connector().await.unwrap_err()), Reason::NotFound);
    // Its identity is its own still.
    let taken = CreateChargePointRequest {
        identity: "CP1".to_owned(),
        ..Default::default()
    };
    let taken = service.charge_points().create_charge_point(service.asks(taken)).await;
    assert_eq!(reason(&taken.unwrap_err()), Reason::ChargePointExists);

    let restored = restore(&service, "CP1").await.unwrap();
    assert_eq!(restored.retired_at, None);
    let new = restored.password.unwrap();
    assert_eq!(
        is_let_in(&service, "CP1", &password).await,
        Err(Reason::StationUnauthorized)
    );
    assert_eq!(is_let_in(&service, "CP1", &new).await, Ok(()));
    assert_eq!(listed(&service, false).await, ["CP1", "CP2"]);
    connector().await.unwrap();
    assert_eq!(
        reason(&restore(&service, "CP1").await.unwrap_err()),
        Reason::ChargePointNotRetired
    );
    let audited: Vec<(String, Value)> = service.audited("charge-point.re").await;
    assert_eq!(
        audited,
        [
            ("charge-point.retired".to_owned(), json!({})),
            ("charge-point.restored".to_owned(), json!({}))
        ]
    );
}

#[tokio::test]
async fn each_of_these_is_done_in_the_version_that_was_seen() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let seen = tag(&get(&service, "CP1").await.unwrap());
    let other = UpdateChargePointRequest {
        identity: "CP1".to_owned(),
        display_name: Some("Car park".to_owned()),
        ..Default::default()
    };
    service
        .charge_points()
        .update_charge_point(service.asks(other))
        .await
        .unwrap();
    let mut replaced = service.asks(replacing("CP1"));
    replaced.metadata_mut().insert("if-match", seen.parse().unwrap());
    let refused = service
        .charge_points()
        .replace_charge_point(replaced)
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::PreconditionFailed);
    let request = |if_match: &str| {
        let mut retired = service.asks(RetireChargePointRequest {
            identity: "CP1".to_owned(),
            close_transactions: false,
        });
        retired.metadata_mut().insert("if-match", if_match.parse().unwrap());
        retired
    };
    let refused = service
        .charge_points()
        .retire_charge_point(request(&seen))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::PreconditionFailed);
    let now = tag(&get(&service, "CP1").await.unwrap());
    let retired = service
        .charge_points()
        .retire_charge_point(request(&now))
        .await
        .unwrap();
    assert_ne!(tag(&retired), now);
}

/// Seen in the wild: a charge point that was taken down here is put up there.
#[tokio::test]
async fn the_serial_number_of_a_charge_point_that_is_retired_may_be_anothers() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let factory = Authority::new("factory").issue(&Subject::named("SN-1")).der();
    for identity in ["CP1", "CP2"] {
        let password = service.register(identity).await;
        let mut station = Station::connect(&service, identity, &password).await;
        let boot = json!({"chargePointVendor": "Volt", "chargePointModel": "One", "chargePointSerialNumber": "SN-1"});
        station.call("BootNotification", boot).await;
        let raise = UpdateChargePointRequest {
            identity: identity.to_owned(),
            security_profile: Some(3),
            ..Default::default()
        };
        service
            .charge_points()
            .update_charge_point(service.asks(raise))
            .await
            .unwrap();
    }
    let refused = open(&service, "CP2", &factory).await.err().unwrap();
    assert_eq!(reason(&refused), Reason::StationUnauthorized);
    retire(&service, "CP1", false).await.unwrap();
    open(&service, "CP2", &factory).await.unwrap();
}
