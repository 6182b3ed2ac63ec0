//! Who may connect, decided before a socket exists.

use service_kit::reason::Reason;
use testbed::Database;
use voltgate_proto::ocpp::v1::CreateChargePointRequest;

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
