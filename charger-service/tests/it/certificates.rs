//! Charge points ask for certificates and get them, and say which roots they trust.

use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use service_kit::tls::Certificate;
use testbed::Database;
use testbed::certificates::{Authority, Subject};
use tokio::task::JoinHandle;
use voltgate_proto::ocpp::v1::certificate_service_client::CertificateServiceClient;
use voltgate_proto::ocpp::v1::security_event_service_client::SecurityEventServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, eventually, settings};
use crate::station::{Offer, Station};

fn request(common_name: &str, key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serialize_request(key).unwrap().pem().unwrap()
}

/// The first certificate of a chain, in DER.
fn first(chain: &str) -> Vec<u8> {
    use base64::Engine as _;
    let lines = chain.lines().skip(1).take_while(|line| !line.starts_with("-----"));
    let text: String = lines.collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

async fn certificates(service: &Service) -> ListCertificatesResponse {
    let request = ListCertificatesRequest {
        identity: "CP1".to_owned(),
    };
    let mut client = CertificateServiceClient::new(service.channel.clone());
    client
        .list_certificates(service.asks(request))
        .await
        .unwrap()
        .into_inner()
}

async fn connected(database: &Database) -> (Service, Station) {
    let service = Service::start(database).await;
    let password = service.register("CP1").await;
    let station = Station::connect(&service, "CP1", &password).await;
    (service, station)
}

/// Sends a command that the charge point answers.
async fn answered(service: &Service, station: &mut Station, action: &str, payload: Value, answer: Value) -> Command {
    station.call("Heartbeat", json!({})).await;
    let sending: JoinHandle<_> = service.command("CP1", action, payload, 30);
    let (id, called, _) = station.called().await;
    assert_eq!(called, action);
    station.answer(&id, answer).await;
    sending.await.unwrap().unwrap()
}

/// Rule 12: CertificateSigned right after the answer to SignCertificate (A02, A03).
#[tokio::test]
async fn a_charge_point_that_asks_for_a_certificate_gets_one_that_lets_it_in() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let renew = service.asks(RenewCertificateRequest {
        identity: "CP1".to_owned(),
        ..Default::default()
    });
    let mut client = CertificateServiceClient::new(service.channel.clone());
    let renewing = tokio::spawn(async move { client.renew_certificate(renew).await });
    let (id, action, payload) = station.called().await;
    assert_eq!(
        (action.as_str(), payload),
        (
            "ExtendedTriggerMessage",
            json!({"requestedMessage": "SignChargePointCertificate"})
        )
    );
    station.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(renewing.await.unwrap().unwrap().into_inner().status, "accepted");

    let key = KeyPair::generate().unwrap();
    let answer = station
        .call("SignCertificate", json!({"csr": request("CP1", &key)}))
        .await;
    assert_eq!(answer, json!({"status": "Accepted"}));
    let (id, action, payload) = station.called().await;
    assert_eq!(action, "CertificateSigned");
    let chain = payload["certificateChain"].as_str().unwrap().to_owned();
    assert_eq!(certificates(&service).await.issued[0].status, "sent");
    station.answer(&id, json!({"status": "Accepted"})).await;
    eventually("it is accepted", async || {
        certificates(&service).await.issued[0].status == "accepted"
    })
    .await;

    let issued = certificates(&service).await.issued;
    assert_eq!(issued.len(), 1);
    assert_eq!(issued[0].common_name.as_deref(), Some("CP1"));
    assert_eq!(issued[0].certificate_chain.as_deref(), Some(chain.as_str()));
    assert_eq!(issued[0].command_id.as_deref(), Some(id.as_str()));
    let certificate = Certificate::parse(&first(&chain)).unwrap();
    assert_eq!(certificate.common_names, ["CP1"]);
    // A00.FR.509
    assert_eq!(certificate.organizations, ["Voltgate"]);
    let days = (certificate.not_after - chrono::Utc::now()).num_days();
    assert!((396..=397).contains(&days), "{days}");

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
    let offer = Offer {
        authorization: None,
        tls: true,
        certificate: Some(first(&chain)),
        ..Offer::of("CP1", "")
    };
    Station::open(&service, offer).await.unwrap();
}

/// Rule 12; outbound: strict.
#[tokio::test]
async fn a_certificate_that_is_too_long_for_its_message_is_not_sent_and_told_of() {
    let database = Database::create().await;
    let folder = tempfile::tempdir().unwrap();
    let mut chain = made_authority(folder.path());
    let above = Authority::new("above");
    for number in 0..40 {
        chain.push_str(&above.issue(&Subject::named(&format!("authority {number}"))).pem());
    }
    std::fs::write(folder.path().join("ca.pem"), chain).unwrap();
    let set = charger_service::Settings {
        charger_certificate_authority: Some(folder.path().join("ca.pem")),
        charger_certificate_authority_key: Some(folder.path().join("ca.key")),
        ..settings()
    };
    let service = Service::start_with(&database, set).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    let csr = request("CP1", &KeyPair::generate().unwrap());
    assert_eq!(
        station.call("SignCertificate", json!({ "csr": csr })).await,
        json!({"status": "Rejected"})
    );
    assert!(certificates(&service).await.issued.is_empty());
    let told: Option<String> = sqlx::query_scalar("SELECT tech_info FROM ocpp.security_event")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert!(told.unwrap().contains("longer than OCPP lets it be"));
}

#[tokio::test]
async fn a_nul_in_a_certificate_that_the_charge_point_takes_does_no_harm() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let accepted = json!({"status": "Accepted"});
    let root = made_authority_named("ro\0ot");
    for (action, payload) in [
        ("CertificateSigned", json!({"certificateChain": "no\u{0}certificate"})),
        (
            "InstallCertificate",
            json!({"certificateType": "CentralSystemRootCertificate", "certificate": root}),
        ),
    ] {
        let command = answered(&service, &mut station, action, payload, accepted.clone()).await;
        assert_eq!(command.status, "accepted");
    }
    station.call("Heartbeat", json!({})).await;
    let known = certificates(&service).await;
    assert_eq!(known.issued.len(), 1);
    assert_eq!(known.installed[0].common_name.as_deref(), Some("ro\u{fffd}ot"));
}

#[tokio::test]
async fn a_request_that_is_not_right_is_rejected_and_told_of() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let key = KeyPair::generate().unwrap();
    for csr in ["no request".to_owned(), request("CP2", &key)] {
        let answer = station.call("SignCertificate", json!({"csr": csr})).await;
        assert_eq!(answer, json!({"status": "Rejected"}));
    }
    assert!(certificates(&service).await.issued.is_empty());
    let mut client = SecurityEventServiceClient::new(service.channel.clone());
    let events = client
        .list_security_events(service.asks(ListSecurityEventsRequest::default()))
        .await
        .unwrap()
        .into_inner()
        .security_events;
    let told: Vec<_> = events.iter().map(|event| event.tech_info.as_deref().unwrap()).collect();
    assert_eq!(
        told,
        [
            "its common name is another charge point's",
            "it is no certificate signing request in PEM"
        ]
    );
    assert!(
        events
            .iter()
            .all(|event| event.r#type == "CertificateSigningRequestRejected")
    );
}

/// Rule 12: each switch.
#[tokio::test]
async fn where_signing_is_switched_off_a_request_waits_for_a_certificate_that_is_sent_by_hand() {
    let database = Database::create().await;
    let manual = charger_service::Settings {
        charger_sign_certificates: false,
        ..settings()
    };
    let service = Service::start_with(&database, manual).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    let csr = request("CP1", &KeyPair::generate().unwrap());
    let answer = station.call("SignCertificate", json!({"csr": csr})).await;
    assert_eq!(answer, json!({"status": "Accepted"}));
    let waiting = certificates(&service).await.issued;
    assert_eq!(
        (waiting[0].status.as_str(), waiting[0].request.as_deref()),
        ("requested", Some(csr.as_str()))
    );

    let chain = Authority::new("somebody else's").pem();
    let payload = json!({ "certificateChain": chain });
    answered(
        &service,
        &mut station,
        "CertificateSigned",
        payload.clone(),
        json!({"status": "Accepted"}),
    )
    .await;
    let issued = certificates(&service).await.issued;
    assert_eq!((issued.len(), issued[0].status.as_str()), (1, "accepted"));
    assert_eq!(issued[0].common_name.as_deref(), Some("somebody else's"));
    answered(
        &service,
        &mut station,
        "CertificateSigned",
        payload,
        json!({"status": "Accepted"}),
    )
    .await;
    assert_eq!(certificates(&service).await.issued.len(), 2);
}

/// Rule 15: client trust anchors are data (M03 to M05).
#[tokio::test]
async fn the_roots_of_a_charge_point_are_those_that_its_answers_tell_of() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let kind = "CentralSystemRootCertificate";
    let accepted = json!({"status": "Accepted"});
    let payload = json!({"certificateType": kind, "certificate": Authority::new("root").pem()});
    let rejected = json!({"status": "Rejected"});
    answered(&service, &mut station, "InstallCertificate", payload.clone(), rejected).await;
    assert!(certificates(&service).await.installed.is_empty());
    answered(&service, &mut station, "InstallCertificate", payload, accepted.clone()).await;
    let installed = certificates(&service).await.installed;
    assert_eq!(
        (installed.len(), installed[0].common_name.as_deref()),
        (1, Some("root"))
    );
    let known = json!({
        "hashAlgorithm": "SHA256",
        "issuerNameHash": installed[0].issuer_name_hash.to_uppercase(),
        "issuerKeyHash": installed[0].issuer_key_hash,
        "serialNumber": installed[0].serial_number.to_lowercase(),
    });
    let other = json!({"hashAlgorithm": "SHA384", "issuerNameHash": "AB", "issuerKeyHash": "CD", "serialNumber": "0E"});
    let nonsense =
        json!({"hashAlgorithm": "SHA256", "issuerNameHash": "\u{0}", "issuerKeyHash": "CD", "serialNumber": "0E"});

    let get = json!({ "certificateType": kind });
    let list = json!({"status": "Accepted", "certificateHashData": [known, other, other, nonsense]});
    answered(&service, &mut station, "GetInstalledCertificateIds", get.clone(), list).await;
    let installed = certificates(&service).await.installed;
    let serial_numbers: Vec<_> = installed.iter().map(|root| root.hash_algorithm.as_str()).collect();
    assert_eq!(serial_numbers, ["SHA256", "SHA384"]);
    assert_eq!(
        installed[0].common_name.as_deref(),
        Some("root"),
        "what is known stays known"
    );

    let delete = json!({ "certificateHashData": known });
    let failed = json!({"status": "Failed"});
    answered(&service, &mut station, "DeleteCertificate", delete.clone(), failed).await;
    assert_eq!(certificates(&service).await.installed.len(), 2);
    answered(&service, &mut station, "DeleteCertificate", delete, accepted).await;
    assert_eq!(certificates(&service).await.installed.len(), 1);
    let none = json!({"status": "NotFound"});
    answered(&service, &mut station, "GetInstalledCertificateIds", get, none).await;
    assert!(certificates(&service).await.installed.is_empty());
}

/// Rule 15: an authority of our own, or a configured one.
#[tokio::test]
async fn replicas_have_one_authority_whose_key_is_sealed_and_files_go_before_it() {
    let database = Database::create().await;
    let (one, two) = tokio::join!(Service::start(&database), Service::start(&database));
    let authority = async |service: &Service| {
        let mut client = CertificateServiceClient::new(service.channel.clone());
        let request = service.asks(GetCertificateAuthorityRequest {});
        let body = client.get_certificate_authority(request).await.unwrap().into_inner();
        String::from_utf8(body.data.to_vec()).unwrap()
    };
    let own = authority(&one).await;
    assert_eq!(own, authority(&two).await);
    one.stop().await;
    two.stop().await;
    let again = Service::start(&database).await;
    assert_eq!(own, authority(&again).await);
    let key: Vec<u8> = sqlx::query_scalar("SELECT sealed_key FROM ocpp.certificate_authority")
        .fetch_one(&again.pool)
        .await
        .unwrap();
    assert!(KeyPair::try_from(key.as_slice()).is_err());
    again.stop().await;

    let folder = tempfile::tempdir().unwrap();
    let made = made_authority(folder.path());
    let set = charger_service::Settings {
        charger_certificate_authority: Some(folder.path().join("ca.pem")),
        charger_certificate_authority_key: Some(folder.path().join("ca.key")),
        ..settings()
    };
    let service = Service::start_with(&database, set).await;
    assert_eq!(
        authority(&service).await.replace('\n', ""),
        made.replace(['\r', '\n'], "")
    );
}

/// A root of this name, in PEM.
fn made_authority_named(name: &str) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&key).unwrap().pem()
}

fn made_authority(folder: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    std::fs::write(folder.join("ca.pem"), &certificate).unwrap();
    std::fs::write(folder.join("ca.key"), key.serialize_pem()).unwrap();
    certificate
}
