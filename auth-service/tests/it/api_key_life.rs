//! API keys go with time, and with what their account is.

use chrono::TimeDelta;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use testbed::Database;
use voltgate_proto::auth::v1::{CreateUserRequest, ForcePasswordResetRequest, ListUsersRequest, UpdateUserRequest};

use crate::api_keys::{a_key, reason, soon, start};
use crate::erasure;
use crate::service::{PASSWORD, Setup, ada, authorized, is_revoked_soon};

#[tokio::test]
async fn a_key_is_good_until_it_expires_and_stays_in_the_list_for_a_month() {
    let database = Database::create().await;
    let mut setup = Setup::on(&database);
    setup.settings.auth_access_token_seconds = 300;
    let service = setup.start().await;
    let hers = service.sign_up(ada()).await.unwrap();
    let mut request = a_key();
    request.expires_at = Some(timestamp(service.now() + TimeDelta::minutes(7)));
    let key = service.create_key(&hers.access_token, request).await.unwrap();
    service.profile(&key.key).await.unwrap();
    // Its first token has expired by then, and its second does so with the key.
    service.clock.advance(TimeDelta::minutes(6));
    service.profile(&key.key).await.unwrap();
    service.clock.advance(TimeDelta::minutes(1) + TimeDelta::seconds(1));
    assert_eq!(reason(service.profile(&key.key).await), Reason::InvalidToken);
    let token = service.log_in("ada", PASSWORD).await.unwrap().access_token;
    let listed = service.keys(&token).await.unwrap();
    assert!(
        listed[0]
            .last_used_at
            .is_some_and(|at| at.seconds > listed[0].created_at.unwrap().seconds)
    );
    service.stop().await;
}

#[tokio::test]
async fn a_key_never_has_a_role_that_its_account_has_lost() {
    let database = Database::create().await;
    let service = start(&database).await;
    let admin = service.administrator_token().await;
    let new = CreateUserRequest {
        username: "grace".to_owned(),
        password: Some(PASSWORD.to_owned()),
        roles: vec!["admin".to_owned(), "driver".to_owned()],
        ..CreateUserRequest::default()
    };
    let grace = service
        .users
        .clone()
        .create_user(authorized(new, &admin))
        .await
        .unwrap();
    let grace = grace.into_inner().id;
    let token = service.log_in("grace", PASSWORD).await.unwrap().access_token;
    let key = service.create_key(&token, a_key()).await.unwrap().key;
    service.list_users(&key).await.unwrap();
    let update = |roles: &[&str]| UpdateUserRequest {
        user_id: grace.clone(),
        roles: roles.iter().map(ToString::to_string).collect(),
        ..UpdateUserRequest::default()
    };
    for (roles, allowed) in [(&["driver"][..], false), (&["admin", "driver"], true)] {
        service
            .users
            .clone()
            .update_user(authorized(update(roles), &admin))
            .await
            .unwrap();
        soon("the key has the roles of its account", async || {
            service.list_users(&key).await.is_ok() == allowed
        })
        .await;
        service.profile(&key).await.unwrap();
    }
    service.stop().await;
}

#[tokio::test]
async fn a_key_rests_while_its_account_is_disabled_or_must_have_another_password() {
    let database = Database::create().await;
    let service = start(&database).await;
    let (hers, admin) = (
        service.sign_up(ada()).await.unwrap(),
        service.administrator_token().await,
    );
    let key = service.create_key(&hers.access_token, a_key()).await.unwrap().key;
    service.profile(&key).await.unwrap();
    let update = |disabled| UpdateUserRequest {
        user_id: hers.id.clone(),
        disabled: Some(disabled),
        ..UpdateUserRequest::default()
    };
    let mut users = service.users.clone();
    users.update_user(authorized(update(true), &admin)).await.unwrap();
    is_revoked_soon(&service, &key).await;
    users.update_user(authorized(update(false), &admin)).await.unwrap();
    // A key that was refused is asked about again after ten seconds.
    service.clock.advance(TimeDelta::seconds(10));
    soon("the key is good again", async || service.profile(&key).await.is_ok()).await;

    let request = ForcePasswordResetRequest {
        user_id: hers.id.clone(),
    };
    users.force_password_reset(authorized(request, &admin)).await.unwrap();
    is_revoked_soon(&service, &key).await;
    service.stop().await;
}

#[tokio::test]
async fn keys_end_with_their_account() {
    let database = Database::create().await;
    let service = start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let key = service.create_key(&token, a_key()).await.unwrap().key;
    service.profile(&key).await.unwrap();
    erasure::erase(&service, &token, PASSWORD, None).await.unwrap();
    is_revoked_soon(&service, &key).await;
    assert_eq!(service.count("SELECT count(*) FROM authentication.api_key").await, 0);
    service.stop().await;
}

/// An exchange reads the account while its row is locked; a change of roles that waits for it voids what it issued.
#[tokio::test]
async fn an_exchange_that_waits_for_other_roles_sees_them() {
    let database = Database::create().await;
    let service = start(&database).await;
    let admin = service.administrator_token().await;
    let key = service.create_key(&admin, a_key()).await.unwrap().key;
    let mut holding = service.database.begin().await.unwrap();
    sqlx::query("SELECT FROM authentication.api_key FOR UPDATE")
        .execute(&mut *holding)
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let (mut users, request) = (service.users.clone(), authorized(ListUsersRequest::default(), &key));
        async move { users.list_users(request).await }
    });
    let waiters =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    soon("the exchange waits", async || service.count(waiters).await > 0).await;
    sqlx::query("UPDATE authentication.account SET roles = '{driver}'")
        .execute(&mut *holding)
        .await
        .unwrap();
    holding.commit().await.unwrap();
    assert_eq!(reason(waiting.await.unwrap()), Reason::PermissionDenied);
    service.stop().await;
}
