//! What an operator does with charge points that knocked and are not registered.

use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::unknown_charge_point_service_client::UnknownChargePointServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};
use crate::station::{Offer, Station};

async fn knock(service: &Service, identity: &str) {
    assert!(
        Station::open(service, Offer::of(identity, "what it brings"))
            .await
            .is_err()
    );
}

async fn accept(service: &Service, request: AcceptUnknownChargePointRequest) -> Result<ChargePoint, Status> {
    let mut client = UnknownChargePointServiceClient::new(service.channel.clone());
    let answer = client.accept_unknown_charge_point(service.asks(request)).await;
    answer.map(tonic::Response::into_inner)
}

async fn dismiss(service: &Service, identity: &str) -> Result<(), Status> {
    let request = DismissUnknownChargePointRequest {
        identity: identity.to_owned(),
    };
    let mut client = UnknownChargePointServiceClient::new(service.channel.clone());
    let answer = client.dismiss_unknown_charge_point(service.asks(request)).await;
    answer.map(tonic::Response::into_inner)
}

async fn listed(service: &Service) -> Vec<String> {
    let mut client = UnknownChargePointServiceClient::new(service.channel.clone());
    let request = service.asks(ListUnknownChargePointsRequest::default());
    let listed = client.list_unknown_charge_points(request).await.unwrap().into_inner();
    listed
        .unknown_charge_points
        .into_iter()
        .map(|one| one.identity)
        .collect()
}

fn acceptance(identity: &str) -> AcceptUnknownChargePointRequest {
    AcceptUnknownChargePointRequest {
        identity: identity.to_owned(),
        ..Default::default()
    }
}

/// Row "unknown identity".
#[tokio::test]
async fn one_that_knocked_is_accepted_with_what_is_told_and_comes_in() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    knock(&service, "NEW").await;
    let request = AcceptUnknownChargePointRequest {
        display_name: "Bay 9".to_owned(),
        registration_status: Some("Pending".to_owned()),
        subprotocol: Some("ocpp1.6".to_owned()),
        ..acceptance("NEW")
    };
    let accepted = accept(&service, request).await.unwrap();
    assert_eq!(
        (accepted.display_name.as_str(), accepted.registration_status.as_str()),
        ("Bay 9", "Pending")
    );
    assert!(listed(&service).await.is_empty());
    let password = accepted.password.unwrap();
    let mut station = Station::connect(&service, "NEW", &password).await;
    assert_eq!(station.boot().await["status"], "Pending");
    let audited = service.audited("charge-point.").await;
    assert_eq!(audited.len(), 1);
    assert_eq!(audited[0].1["registrationStatus"], "Pending");
}

#[tokio::test]
async fn only_one_that_knocked_can_be_accepted_and_only_once_and_by_the_rules() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    assert_eq!(
        reason(&accept(&service, acceptance("NEW")).await.unwrap_err()),
        Reason::NotFound
    );
    knock(&service, "NEW").await;
    let wrong = AcceptUnknownChargePointRequest {
        display_name: "a\nb".to_owned(),
        security_profile: Some(4),
        ..acceptance("NEW")
    };
    let refused = accept(&service, wrong).await.unwrap_err();
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["securityProfile", "displayName"]);
    assert_eq!(listed(&service).await, ["NEW"]);
    let (one, other) = tokio::join!(accept(&service, acceptance("NEW")), accept(&service, acceptance("NEW")));
    let ((Ok(_), Err(refusal)) | (Err(refusal), Ok(_))) = (one, other) else {
        panic!("one of them accepts it");
    };
    assert_eq!(reason(&refusal), Reason::ChargePointExists);
}

#[tokio::test]
async fn one_that_is_dismissed_is_off_the_list_until_it_knocks_again() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    knock(&service, "NEW").await;
    dismiss(&service, "NEW").await.unwrap();
    assert!(listed(&service).await.is_empty());
    assert_eq!(reason(&dismiss(&service, "NEW").await.unwrap_err()), Reason::NotFound);
    knock(&service, "NEW").await;
    assert_eq!(listed(&service).await, ["NEW"]);
    assert_eq!(service.audited("unknown-charge-point.dismissed").await.len(), 1);
}
