//! What operators do is in the audit log, with who did it and from where.

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tonic_types::StatusExt as _;
use voltgate_proto::ocpp::v1::charge_point_audit_service_client::ChargePointAuditServiceClient;
use voltgate_proto::ocpp::v1::registration_service_client::RegistrationServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason, settings};
use crate::state::connected;
use crate::station::Station;

async fn list(service: &Service, request: ListAuditEntriesRequest) -> ListAuditEntriesResponse {
    let answer = ChargePointAuditServiceClient::new(service.channel.clone())
        .list_audit_entries(service.asks(request))
        .await;
    answer.unwrap().into_inner()
}

/// What the log says, oldest first: what was done, to what, and what else there is to say.
async fn log(service: &Service, request: ListAuditEntriesRequest) -> Vec<(String, String, Value)> {
    let mut entries = list(service, request).await.entries;
    entries.reverse();
    let told = entries.into_iter().map(|entry| {
        assert_eq!(entry.address.as_deref(), Some("127.0.0.1"));
        assert!(entry.at.is_some() && entry.device.is_some());
        let subject = entry.charge_point.or(entry.id_token).unwrap();
        (entry.action, subject, serde_json::from_str(&entry.details).unwrap())
    });
    told.collect()
}

fn told(action: &str, subject: &str, details: Value) -> (String, String, Value) {
    (action.to_owned(), subject.to_owned(), details)
}

#[tokio::test]
async fn changes_of_charge_points_and_id_tokens_are_in_the_audit_log() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let created = CreateChargePointRequest {
        identity: "CP1".to_owned(),
        security_profile: Some(3),
        certificate_name: Some("SN-0815".to_owned()),
        subprotocol: Some("ocpp1.6".to_owned()),
        ..Default::default()
    };
    let mut charge_points = service.charge_points();
    charge_points.create_charge_point(service.asks(created)).await.unwrap();
    let updated = UpdateChargePointRequest {
        identity: "CP1".to_owned(),
        security_profile: Some(2),
        subprotocol: Some(String::new()),
        ..Default::default()
    };
    let answer = charge_points.update_charge_point(service.asks(updated)).await.unwrap();
    let password = answer.into_inner().password.unwrap();

    let mut id_tokens = service.id_tokens();
    service.register_token("Tag").await;
    let blocked = UpdateIdTokenRequest {
        id_token: "TAG".to_owned(),
        blocked: Some(true),
        ..Default::default()
    };
    id_tokens.update_id_token(service.asks(blocked)).await.unwrap();
    let deleted = DeleteIdTokenRequest {
        id_token: "Tag".to_owned(),
    };
    id_tokens.delete_id_token(service.asks(deleted.clone())).await.unwrap();
    // What was refused is no change.
    assert!(id_tokens.delete_id_token(service.asks(deleted)).await.is_err());

    let token = |blocked: bool| json!({ "type": "ISO14443", "blocked": blocked });
    let all = log(&service, ListAuditEntriesRequest::default()).await;
    assert_eq!(
        all,
        [
            told(
                "charge-point.created",
                "CP1",
                json!({ "registrationStatus": "Accepted", "securityProfile": 3, "certificateName": "SN-0815",
                    "subprotocol": "ocpp1.6" })
            ),
            told(
                "charge-point.updated",
                "CP1",
                json!({ "securityProfile": 2, "subprotocol": "" })
            ),
            told("charge-point.password-made", "CP1", json!({})),
            told("id-token.created", "Tag", token(false)),
            told("id-token.updated", "Tag", token(true)),
            told("id-token.deleted", "Tag", json!({})),
        ]
    );
    let kept: String = sqlx::query_scalar("SELECT string_agg(row_to_json(audit)::text, '') FROM ocpp.audit")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert!(!kept.contains(&password));
    let of_token = ListAuditEntriesRequest {
        id_token: Some("tag".to_owned()),
        ..Default::default()
    };
    assert_eq!(log(&service, of_token).await, all[3..]);
    service.stop().await;
}

#[tokio::test]
async fn a_registration_that_is_replaced_is_in_the_audit_log_and_its_commands_tell_who_asked() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let step = |action: &str, payload: &str| PendingCommand {
        action: action.to_owned(),
        payload: payload.to_owned(),
    };
    let request = ReplaceRegistrationRequest {
        identity: "CP1".to_owned(),
        registration: Some(Registration {
            registration_status: "Pending".to_owned(),
            interval_seconds: Some(60),
            pending_commands: vec![
                step("ClearCache", ""),
                step("GetConfiguration", r#"{"key":["Hidden"]}"#),
            ],
        }),
    };
    let mut client = RegistrationServiceClient::new(service.channel.clone());
    client.replace_registration(service.asks(request)).await.unwrap();
    let replaced = ListAuditEntriesRequest {
        action: "charge-point.registration-replaced".to_owned(),
        ..Default::default()
    };
    let details = json!({ "registrationStatus": "Pending", "intervalSeconds": 60,
        "pendingCommands": ["ClearCache", "GetConfiguration"] });
    assert_eq!(
        log(&service, replaced.clone()).await,
        [told("charge-point.registration-replaced", "CP1", details)]
    );
    let actor = list(&service, replaced).await.entries[0].actor_id.clone().unwrap();
    station.boot().await;
    let asked: Vec<String> = sqlx::query_scalar("SELECT requested_by FROM ocpp.command")
        .fetch_all(&service.pool)
        .await
        .unwrap();
    let by = format!("registration by account {actor}");
    assert_eq!(asked, [by.as_str(), by.as_str()]);
    service.stop().await;
}

#[tokio::test]
async fn a_charge_point_that_registers_itself_is_in_the_audit_log_once() {
    let database = Database::create().await;
    let accepting = charger_service::Settings {
        charger_accept_unknown: true,
        ..settings()
    };
    let service = Service::start_with(&database, accepting).await;
    for _ in 0..2 {
        Station::connect(&service, "NEW", "what it brings").await;
    }
    let entries = list(&service, ListAuditEntriesRequest::default()).await.entries;
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].action.as_str(), entries[0].charge_point.as_deref()),
        ("charge-point.created", Some("NEW"))
    );
    assert_eq!(
        (entries[0].actor_id.as_deref(), entries[0].address.as_deref()),
        (None, Some("192.0.2.7"))
    );
    let details: Value = serde_json::from_str(&entries[0].details).unwrap();
    assert_eq!(details, json!({ "securityProfile": 1, "acceptUnknown": true }));
    service.stop().await;
}

#[tokio::test]
async fn a_command_is_in_the_audit_log_once_and_without_its_secret() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let secret = "a secret of one's own";
    let payload = json!({ "key": "AuthorizationKey", "value": secret });
    for _ in 0..2 {
        let request = Service::command_request("CP1", "ChangeConfiguration", payload.clone(), 0);
        let mut request = service.asks(request);
        request
            .metadata_mut()
            .insert("idempotency-key", "once".parse().unwrap());
        service.commands().send_command(request).await.unwrap();
    }
    let requested = ListAuditEntriesRequest {
        charge_point: Some("CP1".to_owned()),
        action: "command.requested".to_owned(),
        ..Default::default()
    };
    let entries = log(&service, requested).await;
    assert_eq!(entries.len(), 1);
    let details = &entries[0].2;
    assert_eq!(details["action"], "ChangeConfiguration");
    let command = service.get_command(details["command"].as_str().unwrap()).await;
    assert_eq!(command.action, "ChangeConfiguration");
    assert!(!details.to_string().contains(secret));
    service.stop().await;
}

#[tokio::test]
async fn the_audit_log_of_charge_points_is_paged_and_filtered_and_for_administrators() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for identity in ["CP1", "CP2", "CP3"] {
        service.register(identity).await;
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListAuditEntriesRequest {
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = list(&service, request).await;
        seen.extend(page.entries.into_iter().filter_map(|entry| entry.charge_point));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["CP3", "CP2", "CP1"]);
    let wrong = ListAuditEntriesRequest {
        page_size: -1,
        page_token: "%".to_owned(),
        charge_point: Some("\0".to_owned()),
        id_token: Some("\0".to_owned()),
        actor_id: Some("x".to_owned()),
        action: "\0".to_owned(),
        ..Default::default()
    };
    let refused = ChargePointAuditServiceClient::new(service.channel.clone())
        .list_audit_entries(service.asks(wrong))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::InvalidRequest);
    let fields: Vec<_> = refused
        .get_details_bad_request()
        .unwrap()
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(
        fields,
        ["chargePoint", "idToken", "pageSize", "pageToken", "actorId", "action"]
    );
    let anonymous = ChargePointAuditServiceClient::new(service.channel.clone())
        .list_audit_entries(ListAuditEntriesRequest::default())
        .await
        .unwrap_err();
    assert_eq!(reason(&anonymous), Reason::MissingCredentials);
    service.stop().await;
}
