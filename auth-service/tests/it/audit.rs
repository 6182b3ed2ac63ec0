//! The audit log, as administrators read it.

use chrono::TimeDelta;
use testbed::Database;
use voltgate_proto::auth::v1::ListAuditEntriesRequest;

use crate::office::Office;
use crate::service::{PASSWORD, Setup, violations};

#[tokio::test]
async fn the_audit_log_is_paged_newest_first() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    for _ in 0..4 {
        office.service.log_in("admin", PASSWORD).await.unwrap();
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListAuditEntriesRequest {
            page_size: 2,
            page_token: token,
            action: "session.started".to_owned(),
            ..Default::default()
        };
        let answer = office
            .service
            .audit
            .clone()
            .list_audit_entries(office.request(request))
            .await;
        let answer = answer.unwrap().into_inner();
        seen.extend(
            answer
                .entries
                .into_iter()
                .map(|entry| (entry.at.unwrap().seconds, entry.id)),
        );
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|one, next| one.0 >= next.0));
    let wrong = ListAuditEntriesRequest {
        account_id: Some("x".to_owned()),
        actor_id: Some("y".to_owned()),
        action: "\0".to_owned(),
        ..Default::default()
    };
    let refused = office
        .service
        .audit
        .clone()
        .list_audit_entries(office.request(wrong))
        .await
        .unwrap_err();
    let fields: Vec<_> = violations(&refused).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["accountId", "actorId", "action"]);
    office.service.stop().await;
}

#[tokio::test]
async fn the_first_administrator_is_in_the_audit_log_and_was_made_by_nobody() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let created = ListAuditEntriesRequest {
        action: "account.created".to_owned(),
        ..Default::default()
    };
    let [entry] = office.audit(created).await.try_into().unwrap();
    assert_eq!(entry.account_id.as_deref(), Some(office.admin.id.as_str()));
    assert_eq!((entry.actor_id, entry.address, entry.device), (None, None, None));
    assert_eq!(entry.details, r#"{"roles":["admin"]}"#);
    office.service.stop().await;
}

#[tokio::test]
async fn entries_are_kept_for_as_long_as_the_settings_say() {
    let database = Database::create().await;
    let mut setup = Setup::on(&database);
    setup.settings.admin_password = Some(PASSWORD.to_owned());
    setup.settings.auth_audit_retention_days = 30;
    let service = setup.clone().start().await;
    service.log_in("admin", PASSWORD).await.unwrap();
    // More than one statement removes.
    sqlx::query(
        "INSERT INTO authentication.audit (id, at, action) SELECT gen_random_uuid(), now() - interval '31 days', 'session.started'
         FROM generate_series(1, 2500)",
    )
    .execute(&service.database)
    .await
    .unwrap();
    let entries = "SELECT count(*) FROM authentication.audit";
    let kept = service.count(entries).await - 2500;
    service.stop().await;
    let is_left = async |setup: Setup, left: i64| {
        let service = setup.start().await;
        crate::housekeeping::until(&service, entries, left).await;
        service.stop().await;
    };
    is_left(setup.clone(), kept).await;
    setup.clock.advance(TimeDelta::days(31));
    is_left(setup, 0).await;
}
