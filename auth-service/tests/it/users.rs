//! What administrators do with accounts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use voltgate_proto::auth::v1::{
    CreateUserRequest, GetUserRequest, ListAuditEntriesRequest, ListUserSessionsRequest, ListUsersRequest,
    RefreshRequest, ResetPasswordRequest, RevokeUserSessionsRequest, UpdateUserRequest,
};
use voltgate_proto::events::v1::{EmailVerificationRequested, PasswordResetRequested};

use crate::erasure;
use crate::office::{Office, change, grace};
use crate::service::{PASSWORD, authorized, is_revoked_soon, reason, violations};

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
        roles: vec!["driver".to_owned(), "king".to_owned(), "queen".to_owned()],
        site_groups: vec![" north".to_owned()],
        password: Some("short".to_owned()),
    };
    let refused = office.create(broken).await.unwrap_err();
    let fields: Vec<_> = violations(&refused).into_iter().map(|(field, _)| field).collect();
    assert_eq!(
        fields,
        ["username", "email", "roles[1]", "roles[2]", "siteGroups[0]", "password"]
    );
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
    let force = async |user_id: &str| office.force_reset(user_id).await;
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
            ..Default::default()
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
        // As names are compared: whatever Unicode writes the letters in.
        (
            ListUsersRequest {
                search: "\u{ff27}\u{ff32}\u{ff21}n".to_owned(),
                ..all.clone()
            },
            vec!["Grant"],
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

/// What an access token says of its account.
fn claims(access_token: &str) -> Value {
    let payload = access_token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn other_groups_of_sites_count_from_the_next_access_token_and_the_old_one_is_void() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let limited = CreateUserRequest {
        site_groups: vec!["north".to_owned(), "east".to_owned()],
        ..grace()
    };
    let created = office.create(limited).await.unwrap();
    assert_eq!(created.site_groups, ["east", "north"]);
    let mut session = office.service.log_in("grace@example.com", PASSWORD).await.unwrap();
    assert_eq!(claims(&session.access_token)["site_groups"], json!(["east", "north"]));
    let changes = [
        (vec!["south".to_owned()], None, json!(["south"])),
        (vec![], Some(true), Value::Null),
    ];
    for (site_groups, everywhere, expected) in changes {
        let change = UpdateUserRequest {
            site_groups,
            everywhere,
            ..change(&created.id)
        };
        office.update(change).await.unwrap();
        is_revoked_soon(&office.service, &session.access_token).await;
        let request = RefreshRequest {
            refresh_token: session.refresh_token.clone(),
        };
        let next = office
            .service
            .client
            .clone()
            .refresh(request)
            .await
            .unwrap()
            .into_inner();
        session.access_token = next.access_token;
        session.refresh_token = next.refresh_token;
        assert_eq!(claims(&session.access_token)["site_groups"], expected);
    }
    let contradiction = UpdateUserRequest {
        site_groups: vec!["a ".to_owned()],
        everywhere: Some(true),
        ..change(&created.id)
    };
    assert_eq!(reason(office.update(contradiction).await), Reason::InvalidRequest);
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
    let refused = erasure::erase(&office.service, &office.admin.access_token, PASSWORD, None).await;
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
async fn the_same_roles_in_another_order_void_no_token() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let roles = |roles: [&str; 2]| roles.map(str::to_owned).to_vec();
    let new = CreateUserRequest {
        roles: roles(["operator", "driver"]),
        ..grace()
    };
    let created = office.create(new).await.unwrap();
    let session = office.service.log_in("grace@example.com", PASSWORD).await.unwrap();
    let same = UpdateUserRequest {
        roles: roles(["driver", "operator"]),
        ..change(&created.id)
    };
    office.update(same).await.unwrap();
    let revocations = "SELECT count(*) FROM authentication.revocation";
    assert_eq!(office.service.count(revocations).await, 0);
    assert!(office.service.profile(&session.access_token).await.is_ok());
    assert!(
        !office
            .done_to(&created.id)
            .await
            .contains(&"account.roles-changed".to_owned())
    );
    office.service.stop().await;
}
