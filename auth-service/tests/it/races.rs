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
use voltgate_proto::auth::v1::{
    RefreshRequest, RevokeSessionsRequest, SignUpRequest, TokenResponse, UpdateProfileRequest, UpdateUserRequest,
};
use voltgate_proto::events::v1::{EmailVerificationRequested, PasswordResetRequested};

use crate::api_keys::a_key;
use crate::authenticator::Authenticator;
use crate::mailbox::Mailbox;
use crate::office::Office;
use crate::second_factor::App;
use crate::service::{PASSWORD, Service, Setup, ada, authorized, is_revoked_soon, reason};
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
            ..Default::default()
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
        hold(&self.service.database, lock).await
    }
}

async fn hold(database: &PgPool, lock: &'static str) -> Transaction<'static, Postgres> {
    let mut transaction = database.begin().await.unwrap();
    sqlx::query(lock).execute(&mut *transaction).await.unwrap();
    transaction
}

/// Keeps whoever changes Ada's account waiting, one after the other.
const ADA: &str = "SELECT FROM authentication.account WHERE username = 'Ada' FOR UPDATE";

/// Until so many wait for a lock.
async fn until_waiting(database: &PgPool, number: i64) {
    for _ in 0..2000 {
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

/// Mallory knows Ada's password, and has a session. What he had begun, and what the access rules let through, comes after what she,
/// or an administrator, does about it.
struct Intruder {
    token: String,
    passkey: (String, String),
    app: App,
}

impl Intruder {
    /// With a passkey and an authenticator app that lack their second step.
    async fn of(service: &Service) -> Self {
        service.clock.stop();
        let token = service.log_in("Ada", PASSWORD).await.unwrap().access_token;
        let challenge = service.begin_registration(&token, PASSWORD, None).await.unwrap();
        let credential = Authenticator::new().create(&challenge.options);
        let app = App::new(&service.begin_totp(&token, PASSWORD).await.unwrap().secret);
        Self {
            token,
            passkey: (challenge.token, credential),
            app,
        }
    }

    async fn finishes_a_passkey(&self, service: &Service) -> Reason {
        let (challenge, credential) = self.passkey.clone();
        reason(service.finish_registration(&self.token, &challenge, credential).await)
    }

    async fn confirms_an_app(&self, service: &Service) -> Reason {
        let code = self.app.code(service, 0);
        reason(service.confirm_totp(&self.token, &code).await)
    }
}

const NOTHING_NEW: &str = "SELECT (SELECT count(*) FROM authentication.passkey)
         + (SELECT count(*) FROM authentication.totp WHERE confirmed_at IS NOT NULL)
         + (SELECT count(*) FROM authentication.api_key)
         + (SELECT count(*) FROM authentication.email_code WHERE purpose = 'change-email')";

#[tokio::test]
async fn what_waits_while_an_administrator_demands_another_password_comes_to_nothing() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let service = &office.service;
    let ada = service.sign_up(ada()).await.unwrap();
    let mallory = Intruder::of(service).await;

    let held = hold(&service.database, ADA).await;
    let refused = async {
        until_waiting(&service.database, 1).await;
        let address =
            async { reason(addresses::change(service, &mallory.token, "mallory@example.org", PASSWORD).await) };
        let key = async { reason(service.create_key(&mallory.token, a_key()).await) };
        let (passkey, app) = (mallory.finishes_a_passkey(service), mallory.confirms_an_app(service));
        tokio::join!(address, key, passkey, app)
    };
    let released = async {
        until_waiting(&service.database, 5).await;
        held.rollback().await.unwrap();
    };
    let (demanded, refused, ()) = tokio::join!(office.force_reset(&ada.id), refused, released);
    demanded.unwrap();
    let expected = (
        Reason::WrongPassword,
        Reason::WrongPassword,
        Reason::InvalidRequest,
        Reason::NotFound,
    );
    assert_eq!(refused, expected);
    assert_eq!(service.count(NOTHING_NEW).await, 0);
    office.service.stop().await;
}

#[tokio::test]
async fn a_second_step_that_waits_while_its_account_is_disabled_comes_to_nothing() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let service = &office.service;
    let ada = service.sign_up(ada()).await.unwrap();
    let mallory = Intruder::of(service).await;

    let held = hold(&service.database, ADA).await;
    let refused = async {
        until_waiting(&service.database, 1).await;
        tokio::join!(mallory.finishes_a_passkey(service), mallory.confirms_an_app(service))
    };
    let released = async {
        until_waiting(&service.database, 3).await;
        held.rollback().await.unwrap();
    };
    let ((), refused, ()) = tokio::join!(office.disable(&ada.id), refused, released);
    assert_eq!(refused, (Reason::InvalidRequest, Reason::NotFound));
    assert_eq!(service.count(NOTHING_NEW).await, 0);
    office.service.stop().await;
}

/// Another password ends every other session, and with it what was begun there.
#[tokio::test]
async fn a_second_step_that_waits_while_the_password_is_changed_comes_to_nothing() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = service.sign_up(ada()).await.unwrap();
    let mallory = Intruder::of(&service).await;

    let held = hold(&service.database, ADA).await;
    let change = passwords::change_with(&service, &ada.access_token, PASSWORD, "rain on a tin roof", None);
    let refused = async {
        until_waiting(&service.database, 1).await;
        tokio::join!(mallory.finishes_a_passkey(&service), mallory.confirms_an_app(&service))
    };
    let released = async {
        until_waiting(&service.database, 3).await;
        held.rollback().await.unwrap();
    };
    let (changed, refused, ()) = tokio::join!(change, refused, released);
    changed.unwrap();
    assert_eq!(refused, (Reason::InvalidRequest, Reason::NotFound));
    assert_eq!(service.count(NOTHING_NEW).await, 0);
    service.stop().await;
}

/// Another name for Ada, from somebody who has seen her account in this version or in none.
async fn rename(service: &Service, token: &str, if_match: Option<&str>) -> Result<String, tonic::Status> {
    let username = Some("Countess".to_owned());
    let mut request = authorized(
        UpdateProfileRequest {
            username,
            language: None,
        },
        token,
    );
    if let Some(tag) = if_match {
        request.metadata_mut().insert("if-match", tag.parse().unwrap());
    }
    let answer = service.profiles.clone().update_profile(request).await?;
    Ok(answer.into_inner().username)
}

#[tokio::test]
async fn another_name_that_waits_for_another_change_is_refused_to_whoever_has_named_a_version_only() {
    let database = Database::create().await;
    let mut setup = Setup::on(&database);
    // One for nothing, and one more before there is a wait.
    setup.settings.auth_free_signups_per_address = 1;
    setup.clock.stop();
    let service = setup.start().await;
    let token = service.sign_up_from([192, 0, 2, 1], ada()).await.unwrap().access_token;
    let renamed = async |if_match: Option<&str>| {
        let change = "UPDATE authentication.account SET revision = revision + 1";
        let held = hold(&service.database, change).await;
        let released = async {
            until_waiting(&service.database, 1).await;
            held.commit().await.unwrap();
        };
        let (renamed, ()) = tokio::join!(rename(&service, &token, if_match), released);
        renamed
    };
    for version in ["\"1\"", "\"2\"", "\"3\""] {
        let refused = renamed(Some(version)).await;
        assert_eq!(reason(refused), Reason::PreconditionFailed, "and it costs no attempt");
    }
    assert_eq!(renamed(None).await.unwrap(), "Countess");
    service.stop().await;
}

/// The login ends the eight that were idle for longest, in whatever order the database finds them, and the logout ends all.
#[tokio::test]
async fn a_login_that_makes_room_and_a_logout_are_one_after_the_other() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    for insert in [
        "INSERT INTO authentication.session
         SELECT ('00000000-0000-0000-0000-00000000000' || number)::uuid, account_id, started_at,
                last_used_at - make_interval(hours => 10 - number), expires_at, ends_at, device, address,
                sealed_family_key, refresh_token
         FROM authentication.session, generate_series(1, 8) AS number",
        "INSERT INTO authentication.session
         SELECT gen_random_uuid(), account_id, started_at, last_used_at + make_interval(secs => number), expires_at,
                ends_at, device, address, sealed_family_key, refresh_token
         FROM authentication.session, generate_series(1, 98) AS number
         WHERE id > '00000000-0000-0000-0000-000000000008'",
    ] {
        sqlx::query(insert).execute(&service.database).await.unwrap();
    }
    assert_eq!(service.count("SELECT count(*) FROM authentication.session").await, 107);
    // The first by its id, which the logout comes to first.
    let held = hold(
        &service.database,
        "SELECT FROM authentication.session WHERE id = '00000000-0000-0000-0000-000000000001' FOR UPDATE",
    )
    .await;
    let log_out = async {
        let request = authorized(RevokeSessionsRequest { except_this: false }, &token);
        service.sessions.clone().revoke_sessions(request).await
    };
    let log_in = async {
        until_waiting(&service.database, 1).await;
        service.log_in("Ada", PASSWORD).await
    };
    let released = async {
        until_waiting(&service.database, 2).await;
        held.rollback().await.unwrap();
    };
    let (logged_out, logged_in, ()) = tokio::join!(log_out, log_in, released);
    logged_out.unwrap();
    logged_in.unwrap();
    assert_eq!(service.count("SELECT count(*) FROM authentication.session").await, 1);
    service.stop().await;
}

/// Whoever claims an address is sent a code as long as nobody has shown it to be theirs.
#[tokio::test]
async fn a_forgotten_password_that_waits_for_the_owner_of_its_address_is_the_owners_alone() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let mut mailbox = Mailbox::on(&setup.bus);
    let service = setup.start().await;
    let claimed = SignUpRequest {
        username: "mallory".to_owned(),
        ..ada()
    };
    service.sign_up(claimed).await.unwrap();
    service.sign_up(ada()).await.unwrap();
    let held = hold(
        &service.database,
        "UPDATE authentication.account SET email_verified_at = now() WHERE username = 'Ada'",
    )
    .await;
    passwords::forgot(&service, "ada@example.com").await.unwrap();
    until_waiting(&service.database, 1).await;
    held.commit().await.unwrap();
    let mail: PasswordResetRequested = mailbox.skip_to().await;
    assert_eq!(mail.username, "Ada");
    let sent = "SELECT count(*) FROM authentication.outbox WHERE type LIKE '%PasswordResetRequested'";
    assert_eq!(service.count(sent).await, 1);
    service.stop().await;
}
