//! Authenticator apps and recovery codes, from their set-up to their end. The login in two steps is `second_step.rs`.

use std::collections::HashSet;

use chrono::TimeDelta;
use service_kit::event::{self, Event};
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use totp_rs::{Builder, Secret};
use voltgate_proto::auth::v1::{
    BeginTotpRequest, ConfirmTotpRequest, FinishLogInRequest, GetRecoveryCodesRequest, GetSecondFactorsRequest,
    LogInRequest, RecoveryCodesLeft, RemoveTotpRequest, RenewRecoveryCodesRequest, SecondFactorRequired, SecondFactors,
    TokenResponse, TotpSetup,
};
use voltgate_proto::events::v1::{SecondFactorChange, SecondFactorChanged};

use crate::service::{PASSWORD, Service, ada, authorized, reason, violations};

/// What an authenticator app does with a secret.
pub struct App(totp_rs::Totp);

impl App {
    pub fn new(secret: &str) -> Self {
        let secret = Secret::try_from_base32(secret).unwrap();
        Self(Builder::new().with_secret(secret).build().unwrap())
    }

    /// The code that is shown so many steps from now.
    pub fn code(&self, service: &Service, steps: i64) -> String {
        let time = service.now().timestamp() + steps * 30;
        self.0.generate(time.try_into().unwrap()).to_string()
    }

    /// A code that is not shown at any time near.
    pub fn wrong_code(&self, service: &Service) -> String {
        let shown: HashSet<_> = (-3..=3).map(|steps| self.code(service, steps)).collect();
        (0..)
            .map(|number| format!("{number:06}"))
            .find(|code| !shown.contains(code))
            .unwrap()
    }
}

/// An account with an authenticator app, which has not shown a code in this step.
pub struct Protected {
    pub access_token: String,
    pub account: String,
    pub app: App,
    pub recovery_codes: Vec<String>,
}

/// Sets the app up and lets the code that did it expire.
pub async fn protect(service: &Service, access_token: &str, account: &str) -> Protected {
    // A code is shown for half a minute of the clock, however busy the machine is.
    service.clock.stop();
    let set_up = service.begin_totp(access_token, PASSWORD).await.unwrap();
    let app = App::new(&set_up.secret);
    let recovery_codes = service.confirm_totp(access_token, &app.code(service, 0)).await.unwrap();
    service.clock.advance(TimeDelta::seconds(30));
    Protected {
        access_token: access_token.to_owned(),
        account: account.to_owned(),
        app,
        recovery_codes,
    }
}

pub async fn protected_ada(service: &Service) -> Protected {
    let signed_up = service.sign_up(ada()).await.unwrap();
    protect(service, &signed_up.access_token, &signed_up.id).await
}

impl Service {
    pub async fn begin_totp(&self, token: &str, password: &str) -> Result<TotpSetup, Status> {
        let password = password.to_owned();
        let request = authorized(BeginTotpRequest { password }, token);
        Ok(self.second_factors.clone().begin_totp(request).await?.into_inner())
    }

    pub async fn confirm_totp(&self, token: &str, code: &str) -> Result<Vec<String>, Status> {
        let request = authorized(ConfirmTotpRequest { code: code.to_owned() }, token);
        Ok(self
            .second_factors
            .clone()
            .confirm_totp(request)
            .await?
            .into_inner()
            .codes)
    }

    pub async fn remove_totp(&self, token: &str, password: &str, code: &str) -> Result<(), Status> {
        let (password, code) = (password.to_owned(), code.to_owned());
        let request = authorized(RemoveTotpRequest { password, code }, token);
        self.second_factors.clone().remove_totp(request).await?;
        Ok(())
    }

    pub async fn factors(&self, token: &str) -> SecondFactors {
        let request = authorized(GetSecondFactorsRequest {}, token);
        let answer = self.second_factors.clone().get_second_factors(request).await;
        answer.unwrap().into_inner()
    }

    pub async fn recovery_codes_left(&self, token: &str) -> Result<RecoveryCodesLeft, Status> {
        let request = authorized(GetRecoveryCodesRequest {}, token);
        Ok(self
            .second_factors
            .clone()
            .get_recovery_codes(request)
            .await?
            .into_inner())
    }

    pub async fn renew_recovery_codes(&self, token: &str, code: &str) -> Result<Vec<String>, Status> {
        let (password, code) = (PASSWORD.to_owned(), code.to_owned());
        let request = authorized(RenewRecoveryCodesRequest { password, code }, token);
        Ok(self
            .second_factors
            .clone()
            .renew_recovery_codes(request)
            .await?
            .into_inner()
            .codes)
    }

    /// The first step of a login, for an account that needs a second one.
    pub async fn challenge(&self, username: &str) -> SecondFactorRequired {
        self.challenge_with(username, PASSWORD).await
    }

    pub async fn challenge_with(&self, username: &str, password: &str) -> SecondFactorRequired {
        let request = LogInRequest {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        let answer = self.client.clone().log_in(request).await.unwrap().into_inner();
        let tokens = (answer.id, answer.access_token, answer.refresh_token, answer.expires_in);
        assert_eq!(tokens, (None, None, None, None), "a password alone gets no token");
        assert_eq!((answer.username, answer.token_type), (None, None));
        answer.second_factor.expect("a second factor is asked for")
    }

    pub async fn finish(&self, token: &str, code: &str) -> Result<TokenResponse, Status> {
        let (token, code) = (token.to_owned(), code.to_owned());
        let request = FinishLogInRequest { token, code };
        Ok(self.second_factors.clone().finish_log_in(request).await?.into_inner())
    }

    /// Both steps.
    pub async fn log_in_with(&self, code: &str) -> Result<TokenResponse, Status> {
        let challenge = self.challenge("Ada").await;
        self.finish(&challenge.token, code).await
    }
}

/// What owners were told, in the order in which it happened.
pub async fn told(service: &Service) -> Vec<SecondFactorChanged> {
    let rows = sqlx::query_scalar(
        "SELECT data FROM authentication.outbox WHERE type = 'voltgate.events.v1.SecondFactorChanged' ORDER BY position",
    )
    .fetch_all(&service.database)
    .await
    .unwrap();
    let decode = |data: Vec<u8>| {
        let event = Event {
            r#type: "voltgate.events.v1.SecondFactorChanged".to_owned(),
            data: data.into(),
            ..Event::default()
        };
        event::decode(&event).unwrap()
    };
    rows.into_iter().map(decode).collect()
}

/// The actions in the audit log of an account, in the order in which they were done.
pub async fn audited(service: &Service, account: &str) -> Vec<String> {
    sqlx::query_scalar("SELECT action FROM authentication.audit WHERE account_id = $1::uuid ORDER BY id")
        .bind(account)
        .fetch_all(&service.database)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_app_is_set_up_with_the_password_and_its_first_code() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.clock.stop();
    let signed_up = service.sign_up(ada()).await.unwrap();
    let token = signed_up.access_token.as_str();
    assert_eq!(service.factors(token).await, SecondFactors::default());

    let set_up = service.begin_totp(token, PASSWORD).await.unwrap();
    assert!(
        set_up.otpauth_uri.starts_with("otpauth://totp/Voltgate:Ada?"),
        "{}",
        set_up.otpauth_uri
    );
    assert!(set_up.otpauth_uri.contains(&format!("secret={}", set_up.secret)));
    assert!(set_up.qr_code.contains("<svg"), "{}", set_up.qr_code);
    assert_eq!(set_up.expires_in, 600);
    assert!(
        service.log_in("Ada", PASSWORD).await.is_ok(),
        "nothing changes before the code"
    );

    let app = App::new(&set_up.secret);
    let codes = service.confirm_totp(token, &app.code(&service, 0)).await.unwrap();
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 10);
    let factors = service.factors(token).await;
    assert_eq!(
        (factors.totp, factors.recovery_codes_left, factors.passkeys),
        (true, 10, 0)
    );
    assert!(factors.totp_since.is_some());

    let told = told(&service).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].change(), SecondFactorChange::TotpAdded);
    assert_eq!(
        (told[0].account_id.as_str(), told[0].username.as_str()),
        (signed_up.id.as_str(), "Ada")
    );
    assert_eq!(told[0].email, None, "nobody has shown that the address is theirs");
    assert!(
        audited(&service, &signed_up.id)
            .await
            .contains(&"totp.added".to_owned())
    );
    service.stop().await;
}

#[tokio::test]
async fn a_session_without_the_password_sets_nothing_up_and_takes_nothing_away() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let signed_up = service.sign_up(ada()).await.unwrap();
    let token = signed_up.access_token.as_str();
    assert_eq!(
        reason(service.begin_totp(token, "another password").await),
        Reason::WrongPassword
    );
    assert_eq!(
        violations(&service.begin_totp(token, "").await.unwrap_err()),
        [("password".to_owned(), "is required".to_owned())]
    );
    let ada = protect(&service, token, &signed_up.id).await;
    let code = ada.app.code(&service, 0);
    assert_eq!(
        reason(service.remove_totp(token, "another password", &code).await),
        Reason::WrongPassword
    );
    assert_eq!(
        violations(&service.remove_totp(token, "", "").await.unwrap_err()),
        [
            ("password".to_owned(), "is required".to_owned()),
            ("code".to_owned(), "is required".to_owned())
        ]
    );
    let wrong = ada.app.wrong_code(&service);
    assert_eq!(
        reason(service.remove_totp(token, PASSWORD, &wrong).await),
        Reason::WrongCode
    );
    assert_eq!(
        reason(service.renew_recovery_codes(token, &wrong).await),
        Reason::WrongCode
    );
    assert!(service.factors(token).await.totp);
    assert_eq!(told(&service).await.len(), 1);
    service
        .remove_totp(token, PASSWORD, &code)
        .await
        .expect("both together are enough");
    service.stop().await;
}

#[tokio::test]
async fn a_set_up_is_void_after_ten_minutes_when_begun_anew_and_when_confirmed() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.clock.stop();
    let token = service.sign_up(ada()).await.unwrap().access_token;
    assert_eq!(reason(service.confirm_totp(&token, "123456").await), Reason::NotFound);

    let first = App::new(&service.begin_totp(&token, PASSWORD).await.unwrap().secret);
    let second = App::new(&service.begin_totp(&token, PASSWORD).await.unwrap().secret);
    assert_eq!(
        reason(service.confirm_totp(&token, &first.code(&service, 0)).await),
        Reason::WrongCode
    );
    service.clock.advance(TimeDelta::minutes(10));
    let token = service.log_in("Ada", PASSWORD).await.unwrap().access_token;
    assert_eq!(
        reason(service.confirm_totp(&token, &second.code(&service, 0)).await),
        Reason::NotFound
    );

    let third = App::new(&service.begin_totp(&token, PASSWORD).await.unwrap().secret);
    service.confirm_totp(&token, &third.code(&service, 0)).await.unwrap();
    assert_eq!(
        reason(service.confirm_totp(&token, &third.code(&service, 1)).await),
        Reason::TotpExists
    );
    assert_eq!(reason(service.begin_totp(&token, PASSWORD).await), Reason::TotpExists);
    assert_eq!(
        violations(&service.confirm_totp(&token, "12345x").await.unwrap_err()),
        [("code".to_owned(), "must be six digits".to_owned())]
    );
    service.stop().await;
}

#[tokio::test]
async fn each_recovery_code_works_once_in_any_spelling() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let code = &ada.recovery_codes[0];
    service
        .log_in_with(&code.to_uppercase().replace('-', " "))
        .await
        .unwrap();
    assert_eq!(reason(service.log_in_with(code).await), Reason::InvalidCode);
    let token = service.log_in_with(&ada.recovery_codes[1]).await.unwrap().access_token;
    let left = service.recovery_codes_left(&token).await.unwrap();
    assert_eq!((left.left, left.of), (8, 10));
    assert_eq!(service.factors(&token).await.recovery_codes_left, 8);

    for code in &ada.recovery_codes[2..] {
        service.log_in_with(code).await.unwrap();
    }
    let challenge = service.challenge("Ada").await;
    assert_eq!(challenge.methods, ["totp"], "none are left");
    service.stop().await;
}

#[tokio::test]
async fn new_recovery_codes_make_the_old_ones_void() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let code = ada.app.code(&service, 0);
    let new = service.renew_recovery_codes(&ada.access_token, &code).await.unwrap();
    assert_eq!(new.len(), 10);
    assert_eq!(
        reason(service.log_in_with(&ada.recovery_codes[0]).await),
        Reason::InvalidCode
    );
    assert!(service.log_in_with(&new[0]).await.is_ok());
    let changes: Vec<_> = told(&service).await.iter().map(SecondFactorChanged::change).collect();
    assert_eq!(
        changes,
        [SecondFactorChange::TotpAdded, SecondFactorChange::RecoveryCodesRenewed]
    );
    assert!(
        audited(&service, &ada.account)
            .await
            .contains(&"recovery-codes.renewed".to_owned())
    );
    service.stop().await;
}

#[tokio::test]
async fn an_app_is_taken_away_with_its_recovery_codes_and_the_password_is_enough_again() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let waiting = service.challenge("Ada").await;
    service
        .remove_totp(&ada.access_token, PASSWORD, &ada.recovery_codes[0])
        .await
        .unwrap();
    assert_eq!(service.factors(&ada.access_token).await, SecondFactors::default());
    assert!(service.log_in("Ada", PASSWORD).await.is_ok());
    let code = ada.app.code(&service, 0);
    assert_eq!(
        reason(service.finish(&waiting.token, &code).await),
        Reason::InvalidChallenge
    );
    assert_eq!(
        reason(service.remove_totp(&ada.access_token, PASSWORD, &code).await),
        Reason::NotFound
    );
    assert_eq!(
        reason(service.recovery_codes_left(&ada.access_token).await),
        Reason::NotFound
    );
    assert_eq!(
        reason(service.renew_recovery_codes(&ada.access_token, &code).await),
        Reason::NotFound
    );
    assert_eq!(
        service.count("SELECT count(*) FROM authentication.recovery_code").await,
        0
    );
    let changes: Vec<_> = told(&service).await.iter().map(SecondFactorChanged::change).collect();
    assert_eq!(
        changes,
        [SecondFactorChange::TotpAdded, SecondFactorChange::TotpRemoved]
    );
    assert!(
        audited(&service, &ada.account)
            .await
            .contains(&"totp.removed".to_owned())
    );
    service.stop().await;
}

#[tokio::test]
async fn a_change_is_not_made_without_the_event_that_tells_of_it() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    sqlx::query("ALTER TABLE authentication.outbox ADD CONSTRAINT broken CHECK (false) NOT VALID")
        .execute(&service.database)
        .await
        .unwrap();
    let code = ada.app.code(&service, 0);
    assert_eq!(
        reason(service.remove_totp(&ada.access_token, PASSWORD, &code).await),
        Reason::Internal
    );
    assert!(service.factors(&ada.access_token).await.totp);
    assert!(service.log_in_with(&code).await.is_ok(), "the code was not used up");
    service.stop().await;
}

/// A session alone is not enough to guess the first code of a secret that somebody has begun to set up.
#[tokio::test]
async fn a_set_up_takes_five_codes_and_has_to_be_begun_anew_then() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.clock.stop();
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let app = App::new(&service.begin_totp(&token, PASSWORD).await.unwrap().secret);
    let wrong = app.wrong_code(&service);
    for _ in 0..5 {
        assert_eq!(reason(service.confirm_totp(&token, &wrong).await), Reason::WrongCode);
    }
    let right = app.code(&service, 0);
    assert_eq!(reason(service.confirm_totp(&token, &right).await), Reason::NotFound);

    let app = App::new(&service.begin_totp(&token, PASSWORD).await.unwrap().secret);
    let wrong = app.wrong_code(&service);
    for _ in 0..4 {
        assert_eq!(reason(service.confirm_totp(&token, &wrong).await), Reason::WrongCode);
    }
    // Beginning anew starts the count anew, and so does confirming.
    let app = App::new(&service.begin_totp(&token, PASSWORD).await.unwrap().secret);
    let wrong = app.wrong_code(&service);
    for _ in 0..4 {
        assert_eq!(reason(service.confirm_totp(&token, &wrong).await), Reason::WrongCode);
    }
    service.confirm_totp(&token, &app.code(&service, 0)).await.unwrap();
    for _ in 0..4 {
        assert_eq!(reason(service.log_in_with(&wrong).await), Reason::InvalidCode);
    }
    service.clock.advance(TimeDelta::seconds(30));
    assert!(service.log_in_with(&app.code(&service, 0)).await.is_ok());
    service.stop().await;
}
