//! Who may connect, decided before a socket exists.

use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use testbed::certificates::{Authority, Subject};
use voltgate_proto::ocpp::v1::{CreateChargePointRequest, UpdateChargePointRequest};

use crate::service::{Service, reason};
use crate::station::{Offer, Station, basic};

async fn refusal(service: &Service, offer: Offer<'_>) -> Reason {
    match Station::open(service, offer).await {
        Ok(_) => panic!("it was let in"),
        Err(status) => reason(&status),
    }
}

#[tokio::test]
async fn only_a_registered_charge_point_with_its_password_and_a_protocol_of_ours_is_let_in() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;

    assert_eq!(refusal(&service, Offer::of("CP2", &password)).await, Reason::NotFound);
    assert_eq!(
        refusal(&service, Offer::of("charge-points", &password)).await,
        Reason::NotFound
    );
    assert_eq!(
        refusal(&service, Offer::of("CP1", "wrong")).await,
        Reason::StationUnauthorized
    );
    let none = Offer {
        authorization: None,
        ..Offer::of("CP1", "")
    };
    assert_eq!(refusal(&service, none).await, Reason::StationUnauthorized);
    let other_user = Offer {
        authorization: Some(basic("CP2", password.as_bytes())),
        ..Offer::of("CP1", "")
    };
    assert_eq!(refusal(&service, other_user).await, Reason::StationUnauthorized);
    let unspoken = Offer {
        subprotocols: "ocpp1.5, ocpp9.9",
        ..Offer::of("CP1", &password)
    };
    assert_eq!(refusal(&service, unspoken).await, Reason::NoCommonSubprotocol);
    assert!(!service.charge_point("CP1").await.online);

    let several = Offer {
        subprotocols: "ocpp9.9, ocpp1.6",
        ..Offer::of("CP1", &password)
    };
    assert_eq!(Station::open(&service, several).await.unwrap().subprotocol, "ocpp1.6");
}

/// Row "Basic" of the OCPP decisions on framing.
#[tokio::test]
async fn a_password_may_have_colons_and_may_come_as_hexadecimal_digits_or_the_bytes_they_mean() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let chosen = "a:b:c:0123456789";
    for (identity, password) in [("CP 1", chosen), ("CP2", "00112233445566778899AABBCCDDEEFF")] {
        let request = CreateChargePointRequest {
            identity: identity.to_owned(),
            password: Some(password.to_owned()),
            ..Default::default()
        };
        let created = service
            .charge_points()
            .create_charge_point(service.asks(request))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(created.password, None, "a chosen password is not repeated");
        Station::connect(&service, identity, password).await;
    }
    let bytes: Vec<u8> = (0..=15).map(|digit| digit * 0x11).collect();
    let raw = Offer {
        authorization: Some(basic("CP2", &bytes)),
        ..Offer::of("CP2", "")
    };
    Station::open(&service, raw).await.unwrap();
}

#[tokio::test]
async fn a_charge_point_without_credentials_is_let_in_only_where_the_installation_allows_it() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let request = CreateChargePointRequest {
        identity: "LAB".to_owned(),
        security_profile: Some(0),
        ..Default::default()
    };
    let created = service
        .charge_points()
        .create_charge_point(service.asks(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(created.password, None);
    let open = || Offer {
        authorization: None,
        ..Offer::of("LAB", "")
    };
    Station::open(&service, open()).await.unwrap();
    service.stop().await;

    let strict = charger_service::Settings {
        charger_allow_unsecured: Some(false),
        ..crate::service::settings()
    };
    let service = Service::start_with(&database, strict).await;
    assert_eq!(refusal(&service, open()).await, Reason::StationUnauthorized);
}

#[tokio::test]
async fn only_our_own_processes_may_open_sessions() {
    use voltgate_proto::ocpp::v1::session_service_client::SessionServiceClient;
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let nobody = tonic::Request::new(tokio_stream::empty());
    let mut client = SessionServiceClient::new(service.channel.clone());
    assert_eq!(
        reason(&client.open(nobody).await.unwrap_err()),
        Reason::PermissionDenied
    );
    let operator = service.asks(tokio_stream::empty());
    assert_eq!(
        reason(&client.open(operator).await.unwrap_err()),
        Reason::PermissionDenied
    );
}

/// Registers a charge point with a security profile, and returns its password where it has one.
async fn register(service: &Service, identity: &str, profile: i32, certificate_name: Option<&str>) -> Option<String> {
    let request = CreateChargePointRequest {
        identity: identity.to_owned(),
        security_profile: Some(profile),
        certificate_name: certificate_name.map(str::to_owned),
        ..Default::default()
    };
    let mut charge_points = service.charge_points();
    let created = charge_points.create_charge_point(service.asks(request)).await;
    created.unwrap().into_inner().password
}

/// Row "URL": a colon is refused where Basic authentication is used.
#[tokio::test]
async fn an_identity_with_a_colon_has_a_certificate_and_never_a_password() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    register(&service, "CP:1", 3, None).await;
    let mut charge_points = service.charge_points();
    for profile in [1, 2] {
        let create = CreateChargePointRequest {
            identity: "CP:2".to_owned(),
            security_profile: Some(profile),
            ..Default::default()
        };
        let refused = charge_points.create_charge_point(service.asks(create)).await;
        assert_eq!(reason(&refused.unwrap_err()), Reason::InvalidRequest);
        let update = UpdateChargePointRequest {
            identity: "CP:1".to_owned(),
            security_profile: Some(profile),
            ..Default::default()
        };
        let refused = charge_points.update_charge_point(service.asks(update)).await;
        assert_eq!(reason(&refused.unwrap_err()), Reason::InvalidRequest);
    }
    assert_eq!(service.charge_point("CP:1").await.security_profile, 3);
}

#[tokio::test]
async fn security_profile_2_is_a_password_and_tls_together() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = register(&service, "CP2", 2, None).await.unwrap();
    let secure = || Offer {
        tls: true,
        ..Offer::of("CP2", &password)
    };
    Station::open(&service, secure()).await.unwrap();
    let plain = Offer::of("CP2", &password);
    assert_eq!(refusal(&service, plain).await, Reason::StationUnauthorized);
    let certificate_instead = Offer {
        authorization: None,
        certificate: Some(Authority::new("test").issue(&Subject::named("CP2")).der()),
        ..secure()
    };
    assert_eq!(
        refusal(&service, certificate_instead).await,
        Reason::StationUnauthorized
    );

    // Security profile 1 behind TLS is what it was.
    let password = service.register("CP1").await;
    let offer = |password| Offer {
        tls: true,
        ..Offer::of("CP1", password)
    };
    Station::open(&service, offer(&password)).await.unwrap();
    assert_eq!(refusal(&service, offer("wrong")).await, Reason::StationUnauthorized);
}

/// Rule 15.
#[tokio::test]
async fn security_profile_3_is_a_certificate_in_the_name_of_the_charge_point() {
    let database = Database::create().await;
    let settings = charger_service::Settings {
        charger_certificate_organization: Some("Volt AG".to_owned()),
        ..crate::service::settings()
    };
    let service = Service::start_with(&database, settings).await;
    assert_eq!(register(&service, "CP3", 3, None).await, None);
    register(&service, "CP4", 3, Some("SN-4")).await;
    let authority = Authority::new("test");
    let offer = |identity, common_name: &str, organization: &str| Offer {
        authorization: None,
        tls: true,
        certificate: Some(
            authority
                .issue(&Subject::named(common_name).organization(organization))
                .der(),
        ),
        ..Offer::of(identity, "")
    };
    let mut station = Station::open(&service, offer("CP3", "CP3", "Volt AG")).await.unwrap();
    Station::open(&service, offer("CP4", "SN-4", "Volt AG")).await.unwrap();

    let none = Offer {
        certificate: None,
        ..offer("CP3", "CP3", "Volt AG")
    };
    let without_tls = Offer {
        tls: false,
        ..offer("CP3", "CP3", "Volt AG")
    };
    for refused in [
        none,
        without_tls,
        offer("CP3", "CP4", "Volt AG"),
        offer("CP3", "CP3", "Somebody Ltd"),
        offer("CP4", "CP4", "Volt AG"),
    ] {
        assert_eq!(refusal(&service, refused).await, Reason::StationUnauthorized);
    }

    // From the manufacturer a certificate often has the serial number as its name.
    let boot = json!({"chargePointVendor": "Volt", "chargePointModel": "One", "chargePointSerialNumber": "SN-3"});
    station.call("BootNotification", boot).await;
    Station::open(&service, offer("CP3", "SN-3", "Volt AG")).await.unwrap();
    Station::open(&service, offer("CP3", "CP3", "Volt AG")).await.unwrap();
}
