//! What administrators do with accounts, and what the audit log says of it.

use service_kit::reason::Reason;
use testbed::Database;
use tonic::{Request, Status};
use voltgate_proto::auth::v1::{
    AuditEntry, CreateUserRequest, EraseAccountRequest, EraseUserRequest, ExportAccountRequest,
    ForcePasswordResetRequest, GetUserRequest, ListAuditEntriesRequest, ListUserSessionsRequest, ListUsersRequest,
    RefreshRequest, ResetPasswordRequest, RevokeUserSessionsRequest, TokenResponse, UpdateProfileRequest,
    UpdateUserRequest, User,
};
use voltgate_proto::events::v1::{AccountDeleted, EmailVerificationRequested, PasswordResetRequested};

use crate::mailbox::Mailbox;
use crate::service::{PASSWORD, Service, Setup, ada, authorized, is_revoked_soon, reason, violations};

/// A service with an administrator who is logged in.
struct Office {
    service: Service,
    mailbox: Mailbox,
    admin: TokenResponse,
}

impl Office {
    async fn open(database: &Database) -> Self {
        let mut setup = Setup::on(database);
        setup.settings.admin_password = Some(PASSWORD.to_owned());
        let mailbox = Mailbox::on(&setup.bus);
        let service = setup.start().await;
        let admin = service.log_in("admin", PASSWORD).await.unwrap();
        Self {
            service,
            mailbox,
            admin,
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        authorized(message, &self.admin.access_token)
    }

    async fn create(&self, request: CreateUserRequest) -> Result<User, Status> {
        let answer = self.service.users.clone().create_user(self.request(request)).await?;
        Ok(answer.into_inner())
    }

    async fn update(&self, request: UpdateUserRequest) -> Result<User, Status> {
        let answer = self.service.users.clone().update_user(self.request(request)).await?;
        Ok(answer.into_inner())
    }

    async fn list(&self, request: ListUsersRequest) -> (Vec<String>, String) {
        let answer = self.service.users.clone().list_users(self.request(request)).await;
        let answer = answer.unwrap().into_inner();
        let names = answer.users.into_iter().map(|user| user.username).collect();
        (names, answer.next_page_token)
    }

    async fn audit(&self, request: ListAuditEntriesRequest) -> Vec<AuditEntry> {
        let answer = self
            .service
            .audit
            .clone()
            .list_audit_entries(self.request(request))
            .await;
        answer.unwrap().into_inner().entries
    }

    /// What was done to an account, oldest first.
    async fn done_to(&self, account: &str) -> Vec<String> {
        let request = ListAuditEntriesRequest {
            account_id: Some(account.to_owned()),
            ..Default::default()
        };
        let mut actions: Vec<_> = self
            .audit(request)
            .await
            .into_iter()
            .map(|entry| entry.action)
            .collect();
        actions.reverse();
        actions
    }
}

fn grace() -> CreateUserRequest {
    CreateUserRequest {
        username: "grace@example.com".to_owned(),
        email: None,
        roles: vec!["operator".to_owned()],
        password: Some(PASSWORD.to_owned()),
    }
}

fn change(user_id: &str) -> UpdateUserRequest {
    UpdateUserRequest {
        user_id: user_id.to_owned(),
        roles: Vec::new(),
        disabled: None,
    }
}

#[tokio::test]
async fn an_administrator_creates_accounts_and_drivers_do_not() {
    let database = Database::create().await;
    let mut office = Office::open(&database).await;
    let created = office.create(grace()).await.unwrap();
    assert_eq!(
        (created.email.as_deref(), &created.roles),
        (Some("grace@example.com"), &vec!["operator".to_owned()])
    );
    let mail: EmailVerificationRequested = office.mailbox.next().await;
    assert_eq!(mail.email, "grace@example.com");
    let logged_in = office.service.log_in("grace@example.com", PASSWORD).await.unwrap();
    let refused = office
        .service
        .users
        .clone()
        .create_user(authorized(grace(), &logged_in.access_token))
        .await;
    assert_eq!(reason(refused), Reason::PermissionDenied);
    assert_eq!(reason(office.create(grace()).await), Reason::UsernameTaken);

    let broken = CreateUserRequest {
        username: "a b".to_owned(),
        email: Some("nowhere".to_owned()),
        roles: vec!["driver".to_owned(), "king".to_owned()],
        password: Some("short".to_owned()),
    };
    let refused = office.create(broken).await.unwrap_err();
    let fields: Vec<_> = violations(&refused).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["username", "email", "roles[1]", "password"]);
    let without_a_way_in = CreateUserRequest {
        username: "henry".to_owned(),
        password: None,
        ..grace()
    };
    let refused = office.create(without_a_way_in).await.unwrap_err();
    assert_eq!(violations(&refused)[0].0, "password");
    assert_eq!(
        office.done_to(&created.id).await,
        ["account.created", "session.started"]
    );
    office.service.stop().await;
}

#[tokio::test]
async fn an_account_without_a_password_gets_one_by_mail() {
    let database = Database::create().await;
    let mut office = Office::open(&database).await;
    let new = CreateUserRequest {
        password: None,
        ..grace()
    };
    let created = office.create(new).await.unwrap();
    assert!(created.password_reset_required);
    let mail: PasswordResetRequested = office.mailbox.next().await;
    let request = ResetPasswordRequest {
        code: mail.code,
        new_password: PASSWORD.to_owned(),
    };
    office.service.passwords.clone().reset_password(request).await.unwrap();
    assert!(office.service.log_in("grace@example.com", PASSWORD).await.is_ok());
    office.service.stop().await;
}

#[tokio::test]
async fn a_forced_reset_lets_nobody_in_with_the_old_password() {
    let database = Database::create().await;
    let mut office = Office::open(&database).await;
    let created = office.create(grace()).await.unwrap();
    let _: EmailVerificationRequested = office.mailbox.next().await;
    let session = office.service.log_in("grace@example.com", PASSWORD).await.unwrap();
    let force = async |user_id: &str| {
        let request = ForcePasswordResetRequest {
            user_id: user_id.to_owned(),
        };
        office
            .service
            .users
            .clone()
            .force_password_reset(office.request(request))
            .await
    };
    assert_eq!(reason(force("nobody").await), Reason::NotFound);
    assert_eq!(reason(force(&office.admin.id).await), Reason::NoEmail);
    force(&created.id).await.unwrap();
    is_revoked_soon(&office.service, &session.access_token).await;
    let refused = office.service.log_in("grace@example.com", PASSWORD).await;
    assert_eq!(reason(refused), Reason::PasswordResetRequired);
    let refused = office.service.log_in("grace@example.com", "another password").await;
    assert_eq!(
        reason(refused),
        Reason::InvalidCredentials,
        "said only to who knows the password"
    );
    let mail: PasswordResetRequested = office.mailbox.next().await;
    let request = ResetPasswordRequest {
        code: mail.code,
        new_password: "rain on a tin roof".to_owned(),
    };
    office.service.passwords.clone().reset_password(request).await.unwrap();
    assert!(
        office
            .service
            .log_in("grace@example.com", "rain on a tin roof")
            .await
            .is_ok()
    );
    office.service.stop().await;
}

#[tokio::test]
async fn accounts_are_listed_by_name_and_filtered_a_page_at_a_time() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    for (name, role) in [
        ("grace", "operator"),
        ("Grant", "driver"),
        ("henry", "driver"),
        ("ἄγραν", "driver"),
    ] {
        let new = CreateUserRequest {
            username: name.to_owned(),
            email: Some(format!("{role}@example.com")),
            roles: vec![role.to_owned()],
            password: Some(PASSWORD.to_owned()),
        };
        office.create(new).await.unwrap();
    }
    let all = ListUsersRequest::default();
    assert_eq!(
        office.list(all.clone()).await.0,
        ["admin", "grace", "Grant", "henry", "ἄγραν"]
    );
    let page = ListUsersRequest {
        page_size: 3,
        ..all.clone()
    };
    let (names, token) = office.list(page.clone()).await;
    assert_eq!(names, ["admin", "grace", "Grant"]);
    let next = ListUsersRequest {
        page_token: token,
        ..page
    };
    assert_eq!(
        office.list(next).await,
        (vec!["henry".to_owned(), "ἄγραν".to_owned()], String::new())
    );
    for (filter, names) in [
        (
            ListUsersRequest {
                search: "GRA".to_owned(),
                ..all.clone()
            },
            vec!["grace", "Grant"],
        ),
        (
            ListUsersRequest {
                search: "gra%".to_owned(),
                ..all.clone()
            },
            vec![],
        ),
        (
            ListUsersRequest {
                role: "operator".to_owned(),
                ..all.clone()
            },
            vec!["grace"],
        ),
        (
            ListUsersRequest {
                email: "Operator@example.com".to_owned(),
                ..all.clone()
            },
            vec!["grace"],
        ),
        (
            ListUsersRequest {
                disabled: Some(true),
                ..all.clone()
            },
            vec![],
        ),
    ] {
        assert_eq!(office.list(filter.clone()).await.0, names, "{filter:?}");
    }
    let wrong = ListUsersRequest {
        page_size: -1,
        page_token: "%".to_owned(),
        role: "king".to_owned(),
        search: "\0".to_owned(),
        ..all
    };
    let refused = office
        .service
        .users
        .clone()
        .list_users(office.request(wrong))
        .await
        .unwrap_err();
    let fields: Vec<_> = violations(&refused).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["pageSize", "pageToken", "role", "search"]);
    office.service.stop().await;
}

#[tokio::test]
async fn a_disabled_account_is_out_at_once_and_back_when_it_is_enabled() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let created = office.create(grace()).await.unwrap();
    let session = office.service.log_in("grace@example.com", PASSWORD).await.unwrap();
    let disabled = office
        .update(UpdateUserRequest {
            disabled: Some(true),
            ..change(&created.id)
        })
        .await
        .unwrap();
    assert!(disabled.disabled);
    is_revoked_soon(&office.service, &session.access_token).await;
    let request = RefreshRequest {
        refresh_token: session.refresh_token,
    };
    let refused = office.service.client.clone().refresh(request).await;
    assert_eq!(reason(refused), Reason::InvalidRefreshToken);
    let refused = office.service.log_in("grace@example.com", PASSWORD).await;
    assert_eq!(reason(refused), Reason::InvalidCredentials);
    office
        .update(UpdateUserRequest {
            disabled: Some(false),
            ..change(&created.id)
        })
        .await
        .unwrap();
    assert!(office.service.log_in("grace@example.com", PASSWORD).await.is_ok());
    assert_eq!(
        office.done_to(&created.id).await,
        [
            "account.created",
            "session.started",
            "account.disabled",
            "account.enabled",
            "session.started"
        ]
    );
    office.service.stop().await;
}

#[tokio::test]
async fn other_roles_count_from_the_next_access_token_and_the_old_one_is_void() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let created = office.create(grace()).await.unwrap();
    let session = office.service.log_in("grace@example.com", PASSWORD).await.unwrap();
    office
        .update(UpdateUserRequest {
            roles: vec!["admin".to_owned(), "admin".to_owned()],
            ..change(&created.id)
        })
        .await
        .unwrap();
    is_revoked_soon(&office.service, &session.access_token).await;
    let request = RefreshRequest {
        refresh_token: session.refresh_token,
    };
    let next = office
        .service
        .client
        .clone()
        .refresh(request)
        .await
        .unwrap()
        .into_inner();
    let list = authorized(ListUsersRequest::default(), &next.access_token);
    assert!(
        office.service.users.clone().list_users(list).await.is_ok(),
        "in the same second even"
    );
    office.service.stop().await;
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let id = office.admin.id.clone();
    let demote = UpdateUserRequest {
        roles: vec!["driver".to_owned()],
        ..change(&id)
    };
    let disable = UpdateUserRequest {
        disabled: Some(true),
        ..change(&id)
    };
    assert_eq!(reason(office.update(demote.clone()).await), Reason::LastAdministrator);
    assert_eq!(reason(office.update(disable).await), Reason::LastAdministrator);
    let erase = EraseAccountRequest {
        password: PASSWORD.to_owned(),
    };
    let refused = office
        .service
        .profiles
        .clone()
        .erase_account(office.request(erase))
        .await;
    assert_eq!(reason(refused), Reason::LastAdministrator);
    let second = CreateUserRequest {
        roles: vec!["admin".to_owned()],
        ..grace()
    };
    office.create(second).await.unwrap();
    assert_eq!(office.update(demote).await.unwrap().roles, ["driver"]);
    office.service.stop().await;
}

#[tokio::test]
async fn a_change_names_the_version_that_it_has_seen() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let created = office.create(grace()).await.unwrap();
    let get = async || {
        let request = GetUserRequest {
            user_id: created.id.clone(),
        };
        let answer = office
            .service
            .users
            .clone()
            .get_user(office.request(request))
            .await
            .unwrap();
        answer.metadata().get("etag").unwrap().to_str().unwrap().to_owned()
    };
    let seen = get().await;
    let update = async |if_match: &str| {
        let mut request = office.request(UpdateUserRequest {
            roles: vec!["driver".to_owned()],
            ..change(&created.id)
        });
        request.metadata_mut().insert("if-match", if_match.parse().unwrap());
        office.service.users.clone().update_user(request).await
    };
    assert!(update(&seen).await.is_ok());
    assert_eq!(reason(update(&seen).await), Reason::PreconditionFailed);
    assert_ne!(get().await, seen);
    assert_eq!(
        reason(office.update(change("01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e01")).await),
        Reason::NotFound
    );
    office.service.stop().await;
}

#[tokio::test]
async fn an_administrator_sees_and_ends_the_sessions_of_others() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let created = office.create(grace()).await.unwrap();
    let session = office.service.log_in("grace@example.com", PASSWORD).await.unwrap();
    let list = async || {
        let request = ListUserSessionsRequest {
            user_id: created.id.clone(),
        };
        let answer = office
            .service
            .users
            .clone()
            .list_user_sessions(office.request(request))
            .await;
        answer.unwrap().into_inner().sessions.len()
    };
    assert_eq!(list().await, 1);
    let request = RevokeUserSessionsRequest {
        user_id: created.id.clone(),
    };
    office
        .service
        .users
        .clone()
        .revoke_user_sessions(office.request(request))
        .await
        .unwrap();
    is_revoked_soon(&office.service, &session.access_token).await;
    assert_eq!(list().await, 0);
    let by_admin = ListAuditEntriesRequest {
        actor_id: Some(office.admin.id.clone()),
        action: "session.ended".to_owned(),
        ..Default::default()
    };
    let entries = office.audit(by_admin).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].account_id.as_deref(), entries[0].details.as_str()),
        (Some(created.id.as_str()), r#"{"sessions":1}"#)
    );
    assert_eq!(entries[0].address.as_deref(), Some("127.0.0.1"));
    office.service.stop().await;
}

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
async fn an_account_takes_another_name_in_the_version_that_it_has_seen() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let token = office.service.sign_up(ada()).await.unwrap().access_token;
    let rename = async |name: &str, if_match: Option<&str>| {
        let mut request = authorized(
            UpdateProfileRequest {
                username: Some(name.to_owned()),
            },
            &token,
        );
        if let Some(tag) = if_match {
            request.metadata_mut().insert("if-match", tag.parse().unwrap());
        }
        office.service.profiles.clone().update_profile(request).await
    };
    let renamed = rename("Countess", None).await.unwrap();
    assert_eq!(renamed.get_ref().username, "Countess");
    let tag = renamed.metadata().get("etag").unwrap().to_str().unwrap().to_owned();
    assert!(office.service.log_in("countess", PASSWORD).await.is_ok());
    assert_eq!(
        reason(office.service.log_in("Ada", PASSWORD).await),
        Reason::InvalidCredentials
    );
    assert_eq!(reason(rename("Admin", None).await), Reason::UsernameTaken);
    assert_eq!(reason(rename("a b", None).await), Reason::InvalidRequest);
    assert!(
        rename("COUNTESS", Some(&tag)).await.is_ok(),
        "in other letters it is its own still"
    );
    assert_eq!(reason(rename("Lovelace", Some(&tag)).await), Reason::PreconditionFailed);
    office.service.stop().await;
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
    assert_eq!(export["audit"][0]["action"], "account.signed-up");
    assert!(!export.to_string().contains("argon2"));

    let erase = async |password: &str| {
        let request = EraseAccountRequest {
            password: password.to_owned(),
        };
        let request = authorized(request, &answer.access_token);
        office.service.profiles.clone().erase_account(request).await
    };
    assert_eq!(reason(erase("another password").await), Reason::WrongPassword);
    assert_eq!(reason(erase("").await), Reason::InvalidRequest);
    erase(PASSWORD).await.unwrap();
    is_revoked_soon(&office.service, &answer.access_token).await;
    assert_eq!(
        reason(office.service.log_in("Ada", PASSWORD).await),
        Reason::InvalidCredentials
    );
    for table in [
        "account",
        "session",
        "email_code",
        "familiar_address",
        "known_device",
        "passkey",
        "totp",
    ] {
        let column = if table == "account" { "id" } else { "account_id" };
        let sql = format!(
            "SELECT count(*) FROM authentication.{table} WHERE {column} = '{}'",
            answer.id
        );
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&office.service.database)
            .await
            .unwrap();
        assert_eq!(rows, 0, "{table}");
    }
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
    let told: AccountDeleted = office.mailbox.next().await;
    assert_eq!(told.account_id, answer.id);
    assert!(office.service.sign_up(ada()).await.is_ok(), "the name is free again");
    office.service.stop().await;
}

#[tokio::test]
async fn an_administrator_erases_an_account_and_its_owner_is_told() {
    let database = Database::create().await;
    let mut office = Office::open(&database).await;
    let created = office.create(grace()).await.unwrap();
    let _: EmailVerificationRequested = office.mailbox.next().await;
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
    office.service.stop().await;
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
    let erase = EraseAccountRequest {
        password: PASSWORD.to_owned(),
    };
    let erase = authorized(erase, &grace.access_token);
    office.service.profiles.clone().erase_account(erase).await.unwrap();
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
