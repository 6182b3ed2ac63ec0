//! What happens at the same time: a token says what its account is, or is void. Each test holds a lock that both sides need
//! for as long as it takes to have them meet.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use service_kit::reason::Reason;
use sqlx::{PgPool, Postgres, Transaction};
use testbed::Database;
use voltgate_proto::auth::v1::{RefreshRequest, TokenResponse, UpdateUserRequest};
use voltgate_proto::events::v1::{EmailVerificationRequested, PasswordResetRequested};

use crate::mailbox::Mailbox;
use crate::service::{PASSWORD, Service, Setup, ada, authorized, is_revoked_soon};
use crate::{addresses, passwords};

/// A service with an administrator and a driver, and a clock that a test moves.
struct Scene {
    service: Service,
    admin: TokenResponse,
    driver: TokenResponse,
}

impl Scene {
    async fn set(database: &Database) -> Self {
        let mut setup = Setup::on(database);
        setup.settings.admin_password = Some(PASSWORD.to_owned());
        setup.clock.stop();
        let service = setup.start().await;
        let admin = service.log_in("admin", PASSWORD).await.unwrap();
        let driver = service.sign_up(ada()).await.unwrap();
        Self { service, admin, driver }
    }

    /// The administrator changes what the driver is.
    fn change(
        &self,
        roles: &[&str],
        disabled: Option<bool>,
    ) -> impl Future<Output = Result<(), tonic::Status>> + Send + use<> {
        let request = UpdateUserRequest {
            user_id: self.driver.id.clone(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            disabled,
        };
        let request = authorized(request, &self.admin.access_token);
        let mut users = self.service.users.clone();
        async move { users.update_user(request).await.map(|_| ()) }
    }

    fn refresh(&self) -> impl Future<Output = TokenResponse> + Send + use<> {
        let request = RefreshRequest {
            refresh_token: self.driver.refresh_token.clone(),
        };
        let mut client = self.service.client.clone();
        async move { client.refresh(request).await.unwrap().into_inner() }
    }

    /// Keeps refreshes of the driver's session, and whoever ends it, waiting.
    async fn hold_session(&self) -> Transaction<'static, Postgres> {
        self.hold("SELECT FROM authentication.session WHERE account_id = (SELECT id FROM authentication.account WHERE username = 'Ada') FOR UPDATE")
            .await
    }

    /// Keeps changes by administrators waiting, and nobody else.
    async fn hold_administrators(&self) -> Transaction<'static, Postgres> {
        self.hold("SELECT pg_advisory_xact_lock(hashtextextended('authentication.administrator', 0))")
            .await
    }

    async fn hold(&self, lock: &'static str) -> Transaction<'static, Postgres> {
        let mut transaction = self.service.database.begin().await.unwrap();
        sqlx::query(lock).execute(&mut *transaction).await.unwrap();
        transaction
    }
}

/// Until so many wait for a lock.
async fn until_waiting(database: &PgPool, number: i64) {
    for _ in 0..500 {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(database)
        .await
        .unwrap();
        if waiting == number {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{number} did not come to wait");
}

fn claims_of(token: &str) -> serde_json::Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[tokio::test]
async fn a_refresh_that_waits_for_a_change_of_roles_gets_the_new_ones() {
    let database = Database::create().await;
    let scene = Scene::set(&database).await;
    let held = scene.hold_session().await;
    let changed = tokio::spawn(scene.change(&["operator"], None));
    until_waiting(&scene.service.database, 1).await;
    let refreshed = tokio::spawn(scene.refresh());
    until_waiting(&scene.service.database, 2).await;
    held.rollback().await.unwrap();
    changed.await.unwrap().unwrap();
    let token = refreshed.await.unwrap().access_token;
    assert_eq!(claims_of(&token)["roles"], serde_json::json!(["operator"]));
    assert!(scene.service.profile(&token).await.is_ok());
    scene.service.stop().await;
}

#[tokio::test]
async fn a_token_with_old_roles_is_void_though_the_change_had_to_wait_while_it_was_issued() {
    let database = Database::create().await;
    let scene = Scene::set(&database).await;
    let held = scene.hold_administrators().await;
    let changed = tokio::spawn(scene.change(&["operator"], None));
    until_waiting(&scene.service.database, 1).await;
    scene.service.clock.advance(TimeDelta::seconds(5));
    let refreshed = scene.refresh().await.access_token;
    let logged_in = scene.service.log_in("Ada", PASSWORD).await.unwrap().access_token;
    for token in [&refreshed, &logged_in] {
        assert_eq!(claims_of(token)["roles"], serde_json::json!(["driver"]));
    }
    held.rollback().await.unwrap();
    changed.await.unwrap().unwrap();
    is_revoked_soon(&scene.service, &refreshed).await;
    is_revoked_soon(&scene.service, &logged_in).await;
    scene.service.stop().await;
}

#[tokio::test]
async fn of_two_changes_of_roles_in_one_second_each_voids_the_tokens_from_before() {
    let database = Database::create().await;
    let scene = Scene::set(&database).await;
    let mut roles_so_far = "driver";
    for roles in ["operator", "driver", "operator"] {
        let token = scene.refresh().await.access_token;
        assert_eq!(claims_of(&token)["roles"], serde_json::json!([roles_so_far]));
        assert!(scene.service.profile(&token).await.is_ok());
        scene.change(&[roles], None).await.unwrap();
        is_revoked_soon(&scene.service, &token).await;
        roles_so_far = roles;
    }
    scene.service.stop().await;
}

#[tokio::test]
async fn a_token_stays_void_until_it_expires_though_disabling_its_account_had_to_wait() {
    let database = Database::create().await;
    let scene = Scene::set(&database).await;
    let held = scene.hold_administrators().await;
    let disabled = tokio::spawn(scene.change(&[], Some(true)));
    until_waiting(&scene.service.database, 1).await;
    scene.service.clock.advance(TimeDelta::minutes(1));
    let token = scene.refresh().await.access_token;
    held.rollback().await.unwrap();
    disabled.await.unwrap().unwrap();
    is_revoked_soon(&scene.service, &token).await;
    let forgotten: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT max(expires_at) FROM authentication.revocation")
            .fetch_one(&scene.service.database)
            .await
            .unwrap();
    assert!(forgotten.timestamp() >= claims_of(&token)["exp"].as_i64().unwrap());
    scene.service.stop().await;
}

#[tokio::test]
async fn a_refresh_that_waits_for_the_end_of_its_session_gets_nothing() {
    let database = Database::create().await;
    let scene = Scene::set(&database).await;
    let held = scene.hold_session().await;
    let disabled = tokio::spawn(scene.change(&[], Some(true)));
    until_waiting(&scene.service.database, 1).await;
    let request = RefreshRequest {
        refresh_token: scene.driver.refresh_token.clone(),
    };
    let mut client = scene.service.client.clone();
    let refreshed = tokio::spawn(async move { client.refresh(request).await });
    until_waiting(&scene.service.database, 2).await;
    held.rollback().await.unwrap();
    disabled.await.unwrap().unwrap();
    assert!(refreshed.await.unwrap().is_err());
    scene.service.stop().await;
}

#[tokio::test]
async fn a_login_that_waits_for_a_change_of_roles_gets_the_new_ones_and_for_a_disabling_nothing() {
    let database = Database::create().await;
    let scene = Scene::set(&database).await;
    for (roles, disabled) in [(&["operator"][..], None), (&[], Some(true))] {
        // The change holds the account's row while it waits for the session.
        let held = scene.hold_session().await;
        let changed = tokio::spawn(scene.change(roles, disabled));
        until_waiting(&scene.service.database, 1).await;
        let service = scene.service.client.clone();
        let logged_in = tokio::spawn(async move {
            let request = voltgate_proto::auth::v1::LogInRequest {
                username: "Ada".to_owned(),
                password: PASSWORD.to_owned(),
            };
            service.clone().log_in(request).await
        });
        until_waiting(&scene.service.database, 2).await;
        held.rollback().await.unwrap();
        changed.await.unwrap().unwrap();
        match (logged_in.await.unwrap(), disabled) {
            (Ok(answer), None) => {
                let token = answer.into_inner().access_token.unwrap();
                assert_eq!(claims_of(&token)["roles"], serde_json::json!(["operator"]));
                assert!(scene.service.profile(&token).await.is_ok());
            }
            (Err(_), Some(true)) => {}
            (other, _) => panic!("{other:?}"),
        }
    }
    scene.service.stop().await;
}

/// A reset withdraws the change, and the change withdraws the reset: whoever comes first has it, and the other is told that the code
/// is not valid any more. Neither waits for the other crosswise, which the database would end after a second.
#[tokio::test]
async fn a_reset_and_a_change_of_the_address_at_once_are_one_after_the_other() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let mut mailbox = Mailbox::on(&setup.bus);
    let service = setup.start().await;
    let ada = service.sign_up(ada()).await.unwrap();
    let _: EmailVerificationRequested = mailbox.next().await;
    addresses::change(&service, &ada.access_token, "ada@example.org", PASSWORD)
        .await
        .unwrap();
    let change: EmailVerificationRequested = mailbox.next().await;
    passwords::forgot(&service, "ada@example.com").await.unwrap();
    let reset: PasswordResetRequested = mailbox.skip_to().await;

    let service = Arc::new(service);
    let mut held = service.database.begin().await.unwrap();
    sqlx::query("SELECT FROM authentication.account FOR UPDATE")
        .execute(&mut *held)
        .await
        .unwrap();
    let reset = tokio::spawn({
        let service = service.clone();
        async move { passwords::reset(&service, &reset.code, "rain on a tin roof").await }
    });
    until_waiting(&service.database, 1).await;
    let changed = tokio::spawn({
        let service = service.clone();
        async move { addresses::verify(&service, &change.code).await }
    });
    until_waiting(&service.database, 2).await;
    held.rollback().await.unwrap();
    let answers = [reset.await.unwrap(), changed.await.unwrap()];
    let succeeded = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(succeeded, 1, "{answers:?}");
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert_eq!(Reason::of(&refusal), Reason::InvalidEmailedCode, "{refusal}");
    }
    Arc::into_inner(service).unwrap().stop().await;
}
