//! What is kept about an account: handed out to its owner, and gone when the account is.

use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use voltgate_proto::auth::v1::{
    CreateUserRequest, EraseAccountRequest, EraseUserRequest, ExportAccountRequest, ListAuditEntriesRequest,
    RefreshRequest, RevokeUserSessionsRequest, SignUpRequest, TokenResponse, UpdateUserRequest,
};
use voltgate_proto::events::v1::{AccountDeleted, EmailVerificationRequested};

use crate::api_keys::a_key;
use crate::authenticator::Authenticator;
use crate::housekeeping::until;
use crate::mailbox::Mailbox;
use crate::office::{Office, change, grace};
use crate::second_factor::protect;
use crate::service::{PASSWORD, Service, Setup, ada, authorized, is_revoked_soon, passed_on, reason};
use crate::{addresses, passwords};

/// Deletes the account of the token.
pub async fn erase(service: &Service, token: &str, password: &str, code: Option<&str>) -> Result<(), Status> {
    let request = EraseAccountRequest {
        password: password.to_owned(),
        code: code.map(str::to_owned),
    };
    service
        .profiles
        .clone()
        .erase_account(authorized(request, token))
        .await?;
    Ok(())
}

/// Has an account do whatever leaves something behind, and gives a code that lets it be erased.
async fn leave_traces(service: &Service, account: &TokenResponse) -> String {
    let token = account.access_token.as_str();
    service.register(token, &mut Authenticator::new()).await.unwrap();
    service.begin_registration(token, PASSWORD, None).await.unwrap();
    service.create_key(token, a_key()).await.unwrap();
    let ada = protect(service, token, &account.id).await;
    service.challenge("Ada").await;
    let refresh_token = account.refresh_token.clone();
    service
        .client
        .clone()
        .refresh(RefreshRequest { refresh_token })
        .await
        .unwrap();
    passwords::forgot(service, "ada@example.com").await.unwrap();
    ada.app.code(service, 0)
}

/// How much is about an account, by table. That the audit log is not among them is as it should be.
async fn rows(service: &Service, account: &str) -> Vec<(String, i64)> {
    let mut conditions = vec![
        ("account".to_owned(), "id = $1::uuid"),
        // Of nobody else.
        ("used_refresh_token".to_owned(), "$1 <> ''"),
    ];
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.columns
         WHERE table_schema = 'authentication' AND column_name = 'account_id' AND table_name <> 'audit'",
    )
    .fetch_all(&service.database)
    .await
    .unwrap();
    assert!(tables.len() >= 10, "{tables:?}");
    conditions.extend(tables.into_iter().map(|table| (table, "account_id = $1::uuid")));
    let mut found = Vec::new();
    for (table, condition) in conditions {
        let sql = format!("SELECT count(*) FROM authentication.{table} WHERE {condition}");
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(account);
        found.push((table, rows.fetch_one(&service.database).await.unwrap()));
    }
    found
}

#[tokio::test]
async fn an_account_that_is_erased_leaves_nothing_that_tells_of_its_owner() {
    let database = Database::create().await;
    let mut office = Office::open(&database).await;
    let answer = office.service.sign_up(ada()).await.unwrap();
    let _: EmailVerificationRequested = office.mailbox.next().await;
    let export = authorized(ExportAccountRequest {}, &answer.access_token);
    let export = office
        .service
        .profiles
        .clone()
        .export_account(export)
        .await
        .unwrap()
        .into_inner();
    let export: serde_json::Value = serde_json::from_slice(&export.data).unwrap();
    assert_eq!(export["account"]["email"], "ada@example.com");
    assert_eq!(export["sessions"][0]["address"], "127.0.0.1");
    assert_eq!(
        export["secondFactor"],
        serde_json::json!({ "totpSince": null, "recoveryCodesLeft": 0 })
    );
    assert_eq!(export["passkeys"], serde_json::json!([]));
    assert_eq!(export["knownDevices"][0]["network"], "127.0.0.1");
    assert_eq!(export["familiarAddresses"][0]["network"], "127.0.0.1");
    assert_eq!(export["audit"][0]["action"], "account.signed-up");
    assert!(!export.to_string().contains("argon2"));

    let code = leave_traces(&office.service, &answer).await;
    let before = rows(&office.service, &answer.id).await;
    assert!(before.iter().all(|(_, rows)| *rows > 0), "{before:?}");
    let erase = async |password: &str| erase(&office.service, &answer.access_token, password, Some(&code)).await;
    assert_eq!(reason(erase("another password").await), Reason::WrongPassword);
    assert_eq!(reason(erase("").await), Reason::InvalidRequest);
    erase(PASSWORD).await.unwrap();
    is_revoked_soon(&office.service, &answer.access_token).await;
    assert_eq!(
        reason(office.service.log_in("Ada", PASSWORD).await),
        Reason::InvalidCredentials
    );
    let after = rows(&office.service, &answer.id).await;
    assert!(after.iter().all(|(_, rows)| *rows == 0), "{after:?}");
    // Nobody knows yet whose address it is; it is there until that is looked into.
    until(
        &office.service,
        "SELECT count(*) FROM authentication.forgotten_password",
        0,
    )
    .await;
    let of_ada = ListAuditEntriesRequest {
        account_id: Some(answer.id.clone()),
        ..Default::default()
    };
    let entries = office.audit(of_ada).await;
    assert_eq!(entries[0].action, "account.erased");
    assert!(
        entries
            .iter()
            .all(|entry| entry.address.is_none() && entry.device.is_none())
    );
    let told: AccountDeleted = office.mailbox.skip_to().await;
    assert_eq!(told.account_id, answer.id);
    assert_eq!(told.email, None, "nobody has shown to read what is sent there");
    assert!(office.service.sign_up(ada()).await.is_ok(), "the name is free again");
    office.service.stop().await;
}

#[tokio::test]
async fn an_administrator_erases_an_account_and_its_owner_is_told() {
    let database = Database::create().await;
    let mut office = Office::open(&database).await;
    let created = office.create(grace()).await.unwrap();
    let mail: EmailVerificationRequested = office.mailbox.next().await;
    addresses::verify(&office.service, &mail.code).await.unwrap();
    let session = office.service.log_in("grace@example.com", PASSWORD).await.unwrap();
    let erase = async |user_id: &str, token: &str| {
        let user_id = user_id.to_owned();
        let request = authorized(EraseUserRequest { user_id }, token);
        office.service.users.clone().erase_user(request).await
    };
    let admin = office.admin.access_token.as_str();
    assert_eq!(
        reason(erase(&office.admin.id, &session.access_token).await),
        Reason::PermissionDenied
    );
    assert_eq!(reason(erase("nobody", admin).await), Reason::NotFound);
    assert_eq!(reason(erase(&office.admin.id, admin).await), Reason::LastAdministrator);
    erase(&created.id, admin).await.unwrap();
    is_revoked_soon(&office.service, &session.access_token).await;
    assert_eq!(reason(erase(&created.id, admin).await), Reason::NotFound);
    assert_eq!(
        reason(office.service.log_in("grace@example.com", PASSWORD).await),
        Reason::InvalidCredentials
    );
    let of_grace = ListAuditEntriesRequest {
        account_id: Some(created.id.clone()),
        ..Default::default()
    };
    let entries = office.audit(of_grace).await;
    assert_eq!(entries[0].action, "account.erased");
    for entry in &entries {
        let by_admin = entry.actor_id.as_deref() == Some(office.admin.id.as_str());
        assert_eq!(
            entry.address.is_some(),
            by_admin,
            "an administrator's address is not hers"
        );
        assert_eq!(entry.details, "{}");
    }
    let told: AccountDeleted = office.mailbox.next().await;
    assert_eq!(
        (told.account_id, told.email.as_deref()),
        (created.id, Some("grace@example.com"))
    );
    assert!(!told.email_is_shared);
    office.service.stop().await;
}

#[tokio::test]
async fn that_another_account_has_verified_the_address_too_is_told_with_its_erasure() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let mut mailbox = Mailbox::on(&setup.bus);
    let service = setup.start().await;
    let mut tokens = Vec::new();
    for username in ["Ada", "Countess"] {
        let new = SignUpRequest {
            username: username.to_owned(),
            ..ada()
        };
        tokens.push(service.sign_up(new).await.unwrap().access_token);
    }
    let mails: [EmailVerificationRequested; 2] = [mailbox.next().await, mailbox.next().await];
    for mail in mails {
        addresses::verify(&service, &mail.code).await.unwrap();
    }
    for (token, is_shared) in tokens.iter().zip([true, false]) {
        erase(&service, token, PASSWORD, None).await.unwrap();
        let told: AccountDeleted = mailbox.next().await;
        assert_eq!(
            (told.email.as_deref(), told.email_is_shared),
            (Some("ada@example.com"), is_shared)
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn an_administrator_who_is_erased_does_not_take_along_what_they_did_to_others() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let second = CreateUserRequest {
        roles: vec!["admin".to_owned()],
        ..grace()
    };
    office.create(second).await.unwrap();
    let grace = office.service.log_in("grace@example.com", PASSWORD).await.unwrap();
    let ada = office.service.sign_up(ada()).await.unwrap();
    let promote = UpdateUserRequest {
        roles: vec!["operator".to_owned()],
        ..change(&ada.id)
    };
    let promote = authorized(promote, &grace.access_token);
    office.service.users.clone().update_user(promote).await.unwrap();
    erase(&office.service, &grace.access_token, PASSWORD, None)
        .await
        .unwrap();
    let by_grace = ListAuditEntriesRequest {
        actor_id: Some(grace.id),
        action: "account.roles-changed".to_owned(),
        ..Default::default()
    };
    let entries = office.audit(by_grace).await;
    assert_eq!(entries[0].details, r#"{"roles":["operator"]}"#);
    assert_eq!(entries[0].address, None);
    office.service.stop().await;
}

#[tokio::test]
async fn an_export_does_not_tell_where_an_administrator_was() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let ada = office.service.sign_up(ada()).await.unwrap();
    let request = RevokeUserSessionsRequest {
        user_id: ada.id.clone(),
    };
    let mut request = passed_on(&office.service.service_tokens(), [203, 0, 113, 9].into(), request);
    let bearer = format!("Bearer {}", office.admin.access_token);
    let metadata = request.metadata_mut();
    metadata.insert("authorization", bearer.parse().unwrap());
    metadata.insert("voltgate-client-device", "The office".parse().unwrap());
    office
        .service
        .users
        .clone()
        .revoke_user_sessions(request)
        .await
        .unwrap();

    let again = office.service.log_in("Ada", PASSWORD).await.unwrap();
    let export = authorized(ExportAccountRequest {}, &again.access_token);
    let export = office.service.profiles.clone().export_account(export).await.unwrap();
    let export: serde_json::Value = serde_json::from_slice(&export.into_inner().data).unwrap();
    let ended = &export["audit"][1];
    assert_eq!(
        (&ended["action"], &ended["byYou"]),
        (&"session.ended".into(), &false.into())
    );
    assert!(ended["address"].is_null() && ended["device"].is_null(), "{ended}");
    assert_eq!(export["audit"][2]["address"], "127.0.0.1", "her own are hers");
    assert!(!export.to_string().contains("203.0.113.9"), "{export}");
    office.service.stop().await;
}
