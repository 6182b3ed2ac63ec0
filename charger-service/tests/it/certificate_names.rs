//! By which names certificates open a door (rule 15): what an operator has fixed, and of what a charge point tells of itself only
//! what is nobody else's.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use service_kit::reason::Reason;
use service_kit::tls::Certificate;
use testbed::Database;
use testbed::certificates::{Authority, Subject};
use tonic::Status;
use voltgate_proto::ocpp::v1::UpdateChargePointRequest;

use crate::service::{Service, reason};
use crate::station::{Offer, Station};

/// A signing request, with a common name or without.
fn request(common_name: Option<&str>) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let key = KeyPair::generate().unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap()
}

/// A charge point that has told its serial number.
async fn booted(service: &Service, identity: &str, serial_number: &str) -> Station {
    let password = service.register(identity).await;
    let mut station = Station::connect(service, identity, &password).await;
    station.call("BootNotification", boot(Some(serial_number))).await;
    station
}

/// What the charge point's request for a certificate is answered.
pub async fn asked(station: &mut Station, common_name: Option<&str>) -> String {
    let answer = station
        .call("SignCertificate", json!({"csr": request(common_name)}))
        .await;
    answer["status"].as_str().unwrap().to_owned()
}

/// The certificate that the charge point is sent, in DER.
pub async fn sent(station: &mut Station) -> Vec<u8> {
    use base64::Engine as _;
    let (id, action, payload) = station.called().await;
    assert_eq!(action, "CertificateSigned");
    station.answer(&id, json!({"status": "Accepted"})).await;
    let chain = payload["certificateChain"].as_str().unwrap();
    let lines = chain.lines().skip(1).take_while(|line| !line.starts_with("-----"));
    let text: String = lines.collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

async fn raise(service: &Service, identity: &str, certificate_name: Option<&str>) {
    let raise = UpdateChargePointRequest {
        identity: identity.to_owned(),
        security_profile: Some(3),
        certificate_name: certificate_name.map(str::to_owned),
        ..Default::default()
    };
    let mut charge_points = service.charge_points();
    charge_points.update_charge_point(service.asks(raise)).await.unwrap();
}

pub async fn open(service: &Service, identity: &str, certificate: &[u8]) -> Result<Station, Status> {
    let offer = Offer {
        authorization: None,
        tls: true,
        certificate: Some(certificate.to_vec()),
        ..Offer::of(identity, "")
    };
    Station::open(service, offer).await
}

async fn is_refused(service: &Service, identity: &str, certificate: &[u8]) -> bool {
    match open(service, identity, certificate).await {
        Ok(_) => false,
        Err(status) => {
            assert_eq!(reason(&status), Reason::StationUnauthorized);
            true
        }
    }
}

/// Rule 15.
#[tokio::test]
async fn a_charge_point_that_boots_under_anothers_name_gets_no_certificate_for_it() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let other = booted(&service, "CP2", "SN-2").await;
    raise(&service, "CP2", None).await;
    for told in ["CP2", "SN-2"] {
        let mut station = booted(&service, &format!("CP1-{told}"), told).await;
        assert_eq!(asked(&mut station, Some(told)).await, "Rejected");
    }
    // Neither where an operator has given the other one a name.
    raise(&service, "CP2", Some("NAME")).await;
    let mut station = booted(&service, "CP3", "NAME").await;
    assert_eq!(asked(&mut station, Some("NAME")).await, "Rejected");
    drop(other);
}

/// Rule 15: the subject is ours to set.
#[tokio::test]
async fn a_certificate_of_ours_is_made_out_to_what_an_operator_has_fixed() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut station = booted(&service, "CP1", "SN-1").await;
    let named = async |certificate: &[u8]| Certificate::parse(certificate).unwrap().common_names;
    for asked_for in [None, Some("CP1"), Some("SN-1")] {
        assert_eq!(asked(&mut station, asked_for).await, "Accepted");
        assert_eq!(named(&sent(&mut station).await).await, ["CP1"]);
    }
    raise(&service, "CP1", Some("NAME")).await;
    for refused in ["CP1", "SN-1"] {
        assert_eq!(asked(&mut station, Some(refused)).await, "Rejected");
    }
    assert_eq!(asked(&mut station, None).await, "Accepted");
    assert_eq!(named(&sent(&mut station).await).await, ["NAME"]);
}

/// Rule 15.
#[tokio::test]
async fn a_certificate_of_ours_opens_the_door_of_the_charge_point_that_it_was_issued_to_whatever_it_says() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut station = booted(&service, "CP1", "CP2").await;
    let _other = booted(&service, "CP2", "SN-2").await;
    assert_eq!(asked(&mut station, Some("CP1")).await, "Accepted");
    let certificate = sent(&mut station).await;
    // Made out to a name of the other one, as certificates could be that were issued before.
    raise(&service, "CP2", Some("CP1")).await;
    raise(&service, "CP1", None).await;
    assert!(is_refused(&service, "CP2", &certificate).await);
    open(&service, "CP1", &certificate).await.unwrap();

    sqlx::query("DELETE FROM ocpp.issued_certificate")
        .execute(&service.pool)
        .await
        .unwrap();
    assert!(is_refused(&service, "CP1", &certificate).await, "nobody has issued it");
}

/// Rule 15; seen in the wild: the same serial number on all stations of a lab.
#[tokio::test]
async fn where_charge_points_share_a_serial_number_each_has_its_identity_and_the_number_opens_no_door() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let factory = Authority::new("factory").issue(&Subject::named("0")).der();
    let mut first = booted(&service, "CP1", "0").await;
    raise(&service, "CP1", None).await;
    // As long as it is the only one.
    open(&service, "CP1", &factory).await.unwrap();
    let mut second = booted(&service, "CP2", "0").await;
    raise(&service, "CP2", None).await;
    for (identity, station) in [("CP1", &mut first), ("CP2", &mut second)] {
        assert!(is_refused(&service, identity, &factory).await);
        assert_eq!(asked(station, Some("0")).await, "Rejected");
        assert_eq!(asked(station, None).await, "Accepted");
        let own = sent(station).await;
        open(&service, identity, &own).await.unwrap();
    }
}

fn boot(serial_number: Option<&str>) -> Value {
    match serial_number {
        Some(number) => {
            json!({"chargePointVendor": "Volt", "chargePointModel": "One", "chargePointSerialNumber": number})
        }
        None => json!({"chargePointVendor": "Volt", "chargePointModel": "One"}),
    }
}

/// How often the list of security events tells of another serial number.
async fn events(service: &Service) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM ocpp.security_event WHERE type = 'WrongChargePointSerialNumber'")
        .fetch_one(&service.pool)
        .await
        .unwrap()
}

/// Rule 15 (B01.FR.12).
#[tokio::test]
async fn whoever_boots_with_another_serial_number_than_its_certificate_names_is_cut_off() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut station = booted(&service, "CP1", "SN-1").await;
    raise(&service, "CP1", None).await;
    let factory = Authority::new("factory").issue(&Subject::named("SN-1")).der();
    let serial_number = async || service.charge_point("CP1").await.serial_number;

    for is_resumed in [false, true] {
        let mut another = open(&service, "CP1", &factory).await.unwrap();
        // What says nothing of it passes, and the number stays known.
        for passes in [None, Some(""), Some("SN-1"), Some(" SN-1 ")] {
            another.call("BootNotification", boot(passes)).await;
        }
        assert_eq!(serial_number().await.as_deref(), Some("SN-1"));
        if is_resumed {
            another.resume(&service).await.unwrap();
        }
        assert_eq!(
            another.refused("BootNotification", boot(Some("SN-9"))).await,
            "SecurityError"
        );
        let closed = another.closed().await.unwrap();
        assert_eq!((closed.code, closed.reason.contains("serial number")), (1008, true));
        assert_eq!(serial_number().await.as_deref(), Some("SN-1"));
    }
    assert_eq!(events(&service).await, 1, "once in ten minutes");

    // A name that is no serial number says nothing of one.
    assert_eq!(station.closed().await.unwrap().code, 1008);
    let named = Authority::new("factory").issue(&Subject::named("CP1")).der();
    let mut station = open(&service, "CP1", &named).await.unwrap();
    station.call("BootNotification", boot(Some("SN-9"))).await;
    assert_eq!(serial_number().await.as_deref(), Some("SN-9"));
}

/// Rule 15 (B01.FR.12).
#[tokio::test]
async fn a_registered_name_is_the_serial_number_until_the_charge_point_has_told_another() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for (identity, names) in [("CP1", "SN-1"), ("CP2", "station.example")] {
        service.register(identity).await;
        raise(&service, identity, Some(names)).await;
    }
    let authority = Authority::new("factory");
    let certificate = |name: &str| authority.issue(&Subject::named(name)).der();
    let mut station = open(&service, "CP1", &certificate("SN-1")).await.unwrap();
    assert_eq!(
        station.refused("BootNotification", boot(Some("SN-9"))).await,
        "SecurityError"
    );
    assert_eq!(station.closed().await.unwrap().code, 1008);
    assert_eq!(service.charge_point("CP1").await.serial_number, None);
    let mut station = open(&service, "CP1", &certificate("SN-1")).await.unwrap();
    station.call("BootNotification", boot(Some("SN-1"))).await;
    assert_eq!(service.charge_point("CP1").await.serial_number.as_deref(), Some("SN-1"));

    // As it is known from a boot with another security profile.
    sqlx::query("UPDATE ocpp.charge_point SET serial_number = 'SN-2' WHERE identity = 'CP2'")
        .execute(&service.pool)
        .await
        .unwrap();
    let mut station = open(&service, "CP2", &certificate("station.example")).await.unwrap();
    station.call("BootNotification", boot(Some("SN-3"))).await;
}

/// However often it asks, and refuses what it gets.
#[tokio::test]
async fn the_certificate_that_a_charge_point_has_taken_is_not_forgotten() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut station = booted(&service, "CP1", "SN-1").await;
    assert_eq!(asked(&mut station, None).await, "Accepted");
    let certificate = sent(&mut station).await;
    station.call("Heartbeat", json!({})).await;
    let later = "INSERT INTO ocpp.issued_certificate (id, charge_point_id, request, created_at)
        SELECT ('ffffffff-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, charge_point.id, '', now() - interval '2 days'
        FROM ocpp.charge_point, generate_series(1, 200) AS n";
    sqlx::query(later).execute(&service.pool).await.unwrap();
    assert_eq!(asked(&mut station, None).await, "Accepted");
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.issued_certificate")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(kept, 101);
    raise(&service, "CP1", None).await;
    open(&service, "CP1", &certificate).await.unwrap();
}
