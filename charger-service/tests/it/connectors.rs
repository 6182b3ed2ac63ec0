//! Connectors, as operators declare them and charge points tell of them.

use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::charge_point_audit_service_client::ChargePointAuditServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};
use crate::state::connected;

/// Declares a connector of `CP1`, in the version with this tag where one is given.
pub async fn declare(
    service: &Service,
    connector_id: i32,
    change: UpdateConnectorRequest,
    if_match: Option<&str>,
) -> Result<Response<Connector>, Status> {
    let request = UpdateConnectorRequest {
        identity: "CP1".to_owned(),
        connector_id,
        ..change
    };
    let mut request: Request<_> = service.asks(request);
    if let Some(tag) = if_match {
        request.metadata_mut().insert("if-match", tag.parse().unwrap());
    }
    service.charge_points().update_connector(request).await
}

pub fn coded(code: &str) -> UpdateConnectorRequest {
    UpdateConnectorRequest {
        code: Some(code.to_owned()),
        ..Default::default()
    }
}

async fn get(service: &Service, connector_id: i32) -> Result<Response<Connector>, Status> {
    let request = GetConnectorRequest {
        identity: "CP1".to_owned(),
        connector_id,
    };
    service.charge_points().get_connector(service.asks(request)).await
}

async fn undeclare(service: &Service, connector_id: i32, if_match: Option<&str>) -> Result<(), Status> {
    let mut request = service.asks(DeleteConnectorRequest {
        identity: "CP1".to_owned(),
        connector_id,
    });
    if let Some(tag) = if_match {
        request.metadata_mut().insert("if-match", tag.parse().unwrap());
    }
    service.charge_points().delete_connector(request).await?;
    Ok(())
}

fn tag<T>(response: &Response<T>) -> String {
    response.metadata().get("etag").unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_connector_is_declared_before_it_is_told_of_and_shows_both_afterwards() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    assert_eq!(reason(&get(&service, 1).await.unwrap_err()), Reason::NotFound);
    let change = UpdateConnectorRequest {
        standard: Some("IEC_62196_T2".to_owned()),
        max_power_watts: Some(22_000),
        power_type: Some("AC_3_PHASE".to_owned()),
        ..coded("DE*ABC*E12345*1")
    };
    let declared = declare(&service, 1, change, None).await.unwrap().into_inner();
    assert_eq!((declared.status.as_deref(), declared.evse_id), (None, Some(1)));
    for (connector, status) in [(0, "Available"), (1, "Charging"), (2, "Faulted")] {
        let payload = json!({"connectorId": connector, "status": status, "errorCode": "NoError"});
        station.call("StatusNotification", payload).await;
    }
    let shown = get(&service, 1).await.unwrap().into_inner();
    assert_eq!(
        (shown.status.as_deref(), shown.code, shown.max_power_watts),
        (Some("Charging"), Some("DE*ABC*E12345*1".to_owned()), Some(22_000))
    );
    declare(&service, 7, UpdateConnectorRequest::default(), None)
        .await
        .unwrap();
    let connectors = service.charge_point("CP1").await.connectors;
    let listed: Vec<_> = connectors
        .iter()
        .map(|one| (one.connector_id, one.status.as_deref(), one.evse_id))
        .collect();
    assert_eq!(
        listed,
        [
            (0, Some("Available"), None),
            (1, Some("Charging"), Some(1)),
            (2, Some("Faulted"), Some(2)),
            (7, None, Some(7))
        ]
    );
}

#[tokio::test]
async fn a_connector_is_changed_in_the_version_that_was_seen_and_its_reports_are_no_versions() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let told = json!({"connectorId": 1, "status": "Available", "errorCode": "NoError"});
    station.call("StatusNotification", told).await;
    let undeclared = tag(&get(&service, 1).await.unwrap());
    let first = declare(&service, 1, coded("AAA"), Some(&undeclared)).await.unwrap();
    let seen = tag(&first);
    let late = declare(&service, 1, coded("BBB"), Some(&undeclared)).await.unwrap_err();
    assert_eq!(reason(&late), Reason::PreconditionFailed);
    let told = json!({"connectorId": 1, "status": "Faulted", "errorCode": "OtherError"});
    station.call("StatusNotification", told).await;
    let update_mask = prost_types::FieldMask {
        paths: vec!["evse_id".to_owned(), "code".to_owned()],
    };
    let change = UpdateConnectorRequest {
        evse_id: Some(4),
        standard: Some("CHADEMO".to_owned()),
        update_mask: Some(update_mask),
        ..Default::default()
    };
    let changed = declare(&service, 1, change, Some(&seen)).await.unwrap().into_inner();
    assert_eq!((changed.code, changed.evse_id, changed.standard), (None, Some(4), None));
    let late = undeclare(&service, 1, Some(&seen)).await.unwrap_err();
    assert_eq!(reason(&late), Reason::PreconditionFailed);
    let nowhere = declare(&service, 9, coded("CCC"), Some(&seen)).await.unwrap_err();
    assert_eq!(reason(&nowhere), Reason::PreconditionFailed);
}

#[tokio::test]
async fn of_two_connectors_that_are_given_one_code_at_once_one_gets_it() {
    let database = Database::create().await;
    let (service, _station) = connected(&database).await;
    for round in 0..5 {
        let (lower, upper) = (format!("code-{round}"), format!("CODE-{round}"));
        let (one, other) = tokio::join!(
            declare(&service, 1, coded(&lower), None),
            declare(&service, 2, coded(&upper), None)
        );
        let refused = match (one, other) {
            (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
            both => panic!("one gets it, not {both:?}"),
        };
        assert_eq!(reason(&refused), Reason::ConnectorCodeExists);
    }
}

#[tokio::test]
async fn a_declaration_is_taken_back_and_what_the_charge_point_told_stays() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let told = json!({"connectorId": 1, "status": "Available", "errorCode": "NoError"});
    station.call("StatusNotification", told).await;
    declare(&service, 1, coded("ABC"), None).await.unwrap();
    undeclare(&service, 1, None).await.unwrap();
    let left = get(&service, 1).await.unwrap().into_inner();
    assert_eq!((left.code, left.status.as_deref()), (None, Some("Available")));
    assert_eq!(
        reason(&undeclare(&service, 1, None).await.unwrap_err()),
        Reason::NotFound
    );
    declare(&service, 2, coded("abc"), None).await.unwrap();

    let request = service.asks(ListAuditEntriesRequest::default());
    let mut client = ChargePointAuditServiceClient::new(service.channel.clone());
    let entries = client.list_audit_entries(request).await.unwrap().into_inner().entries;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions[..3],
        ["connector.declared", "connector.undeclared", "connector.declared"]
    );
    assert_eq!(entries[1].charge_point.as_deref(), Some("CP1"));
    assert!(entries[1].details.contains("ABC"), "{:?}", entries[1]);
}
