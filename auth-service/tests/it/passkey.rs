//! Passkeys, with a device in software that signs as a real one does: registered, listed and removed. Logins with them are
//! `passkey_log_in.rs`.

use chrono::TimeDelta;
use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use voltgate_proto::auth::v1::{
    BeginPasskeyLogInRequest, BeginPasskeyRegistrationRequest, FinishPasskeyLogInRequest, ListPasskeysRequest, Passkey,
    PasskeyChallenge, RegisterPasskeyRequest, RemovePasskeyRequest, RenamePasskeyRequest, SignUpRequest, TokenResponse,
};
use voltgate_proto::events::v1::{SecondFactorChange, SecondFactorChanged};

use crate::authenticator::Authenticator;
use crate::second_factor::{audited, protect, told};
use crate::service::{PASSWORD, Service, Setup, ada, authorized, reason, violations};

impl Service {
    pub async fn begin_registration(
        &self,
        token: &str,
        password: &str,
        code: Option<&str>,
    ) -> Result<PasskeyChallenge, Status> {
        let request = BeginPasskeyRegistrationRequest {
            password: password.to_owned(),
            code: code.map(str::to_owned),
        };
        let request = authorized(request, token);
        Ok(self
            .passkeys
            .clone()
            .begin_passkey_registration(request)
            .await?
            .into_inner())
    }

    pub async fn finish_registration(
        &self,
        token: &str,
        challenge: &str,
        credential: String,
    ) -> Result<Passkey, Status> {
        let request = RegisterPasskeyRequest {
            token: challenge.to_owned(),
            name: Some("A phone".to_owned()),
            credential,
        };
        let request = authorized(request, token);
        Ok(self.passkeys.clone().register_passkey(request).await?.into_inner())
    }

    /// Registers the passkey of a device.
    pub async fn register(&self, token: &str, device: &mut Authenticator) -> Result<Passkey, Status> {
        let challenge = self.begin_registration(token, PASSWORD, None).await?;
        let credential = device.create(&challenge.options);
        self.finish_registration(token, &challenge.token, credential).await
    }

    pub async fn begin_passkey_log_in(&self) -> PasskeyChallenge {
        let request = BeginPasskeyLogInRequest {};
        self.passkeys
            .clone()
            .begin_passkey_log_in(request)
            .await
            .unwrap()
            .into_inner()
    }

    pub async fn finish_passkey_log_in(&self, challenge: &str, credential: String) -> Result<TokenResponse, Status> {
        let request = FinishPasskeyLogInRequest {
            token: challenge.to_owned(),
            credential,
        };
        Ok(self.passkeys.clone().finish_passkey_log_in(request).await?.into_inner())
    }

    /// Logs in with a device.
    pub async fn log_in_by(&self, device: &mut Authenticator) -> Result<TokenResponse, Status> {
        let challenge = self.begin_passkey_log_in().await;
        self.finish_passkey_log_in(&challenge.token, device.get(&challenge.options))
            .await
    }

    pub async fn list_passkeys(&self, token: &str) -> Vec<Passkey> {
        let request = authorized(ListPasskeysRequest {}, token);
        self.passkeys
            .clone()
            .list_passkeys(request)
            .await
            .unwrap()
            .into_inner()
            .passkeys
    }

    pub async fn rename_passkey(&self, token: &str, id: &str, name: &str) -> Result<Passkey, Status> {
        let request = RenamePasskeyRequest {
            passkey_id: id.to_owned(),
            name: name.to_owned(),
        };
        let request = authorized(request, token);
        Ok(self.passkeys.clone().rename_passkey(request).await?.into_inner())
    }

    pub async fn remove_passkey(
        &self,
        token: &str,
        id: &str,
        password: &str,
        code: Option<&str>,
    ) -> Result<(), Status> {
        let request = RemovePasskeyRequest {
            passkey_id: id.to_owned(),
            password: password.to_owned(),
            code: code.map(str::to_owned),
        };
        self.passkeys.clone().remove_passkey(authorized(request, token)).await?;
        Ok(())
    }
}

pub fn grace() -> SignUpRequest {
    SignUpRequest {
        username: "grace".to_owned(),
        ..ada()
    }
}

fn field<T>(result: Result<T, Status>) -> String {
    let status = result.err().expect("it is refused");
    let [(field, _)] = violations(&status).try_into().unwrap();
    field
}

/// The device has made sure of the person: what it is and what the person knows are two factors.
#[tokio::test]
async fn a_passkey_counts_as_both_factors_and_adding_one_asks_for_both() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let signed_up = service.sign_up(ada()).await.unwrap();
    let token = signed_up.access_token.as_str();
    let ada = protect(&service, token, &signed_up.id).await;
    let refusal = service.begin_registration(token, PASSWORD, None).await.unwrap_err();
    assert_eq!(
        violations(&refusal),
        [(
            "code".to_owned(),
            "is required, as the account has an authenticator app".to_owned()
        )]
    );
    let wrong = ada.app.wrong_code(&service);
    assert_eq!(
        reason(service.begin_registration(token, PASSWORD, Some(&wrong)).await),
        Reason::WrongCode
    );

    let code = ada.app.code(&service, 0);
    let challenge = service.begin_registration(token, PASSWORD, Some(&code)).await.unwrap();
    let mut device = Authenticator::new();
    let credential = device.create(&challenge.options);
    let passkey = service
        .finish_registration(token, &challenge.token, credential)
        .await
        .unwrap();
    assert!(service.log_in_by(&mut device).await.is_ok());
    service.challenge("Ada").await;

    assert_eq!(
        field(service.remove_passkey(token, &passkey.id, PASSWORD, None).await),
        "code"
    );
    let removed = service
        .remove_passkey(token, &passkey.id, PASSWORD, Some(&ada.recovery_codes[0]))
        .await;
    removed.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_session_without_the_password_adds_and_removes_no_passkey() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let wrong = service.begin_registration(&token, "another password", None).await;
    assert_eq!(reason(wrong), Reason::WrongPassword);
    assert_eq!(field(service.begin_registration(&token, "", None).await), "password");
    let passkey = service.register(&token, &mut Authenticator::new()).await.unwrap();
    let wrong = service
        .remove_passkey(&token, &passkey.id, "another password", None)
        .await;
    assert_eq!(reason(wrong), Reason::WrongPassword);
    assert_eq!(service.list_passkeys(&token).await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn both_steps_of_both_ceremonies_may_reach_different_replicas() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let (one, other) = tokio::join!(setup.clone().start(), setup.start());
    let token = one.sign_up(ada()).await.unwrap().access_token;
    let mut device = Authenticator::new();
    let challenge = one.begin_registration(&token, PASSWORD, None).await.unwrap();
    let credential = device.create(&challenge.options);
    other
        .finish_registration(&token, &challenge.token, credential)
        .await
        .unwrap();
    let challenge = one.begin_passkey_log_in().await;
    let credential = device.get(&challenge.options);
    other
        .finish_passkey_log_in(&challenge.token, credential.clone())
        .await
        .unwrap();
    let replayed = one.finish_passkey_log_in(&challenge.token, credential).await;
    assert_eq!(reason(replayed), Reason::PasskeyRefused);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn no_answer_to_something_else_registers_a_passkey() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let (ada, grace) = (
        service.sign_up(ada()).await.unwrap(),
        service.sign_up(grace()).await.unwrap(),
    );
    let token = ada.access_token.as_str();
    let changed = |change: fn(&mut Authenticator)| {
        let mut device = Authenticator::new();
        change(&mut device);
        device
    };
    for (attack, mut device) in [
        (
            "another origin",
            changed(|device| device.origin = "https://evil.example".to_owned()),
        ),
        (
            "another domain",
            changed(|device| device.rp_id = "evil.example".to_owned()),
        ),
        (
            "nobody was made sure of",
            changed(|device| device.verifies_the_user = false),
        ),
        (
            "a page inside another site's",
            changed(|device| device.cross_origin = true),
        ),
    ] {
        assert_eq!(
            field(service.register(token, &mut device).await),
            "credential",
            "{attack}"
        );
    }
    let (one, another) = (
        service.begin_registration(token, PASSWORD, None).await.unwrap(),
        service.begin_registration(token, PASSWORD, None).await.unwrap(),
    );
    let credential = Authenticator::new().create(&another.options);
    assert_eq!(
        field(service.finish_registration(token, &one.token, credential.clone()).await),
        "credential"
    );
    assert_eq!(
        field(service.finish_registration(token, &one.token, credential.clone()).await),
        "token"
    );
    let elsewhere = service
        .finish_registration(&grace.access_token, &another.token, credential.clone())
        .await;
    assert_eq!(field(elsewhere), "token", "a registration is its account's");
    service
        .finish_registration(token, &another.token, credential.clone())
        .await
        .unwrap();
    assert_eq!(
        field(service.finish_registration(token, &another.token, credential).await),
        "token"
    );
    let log_in = service.begin_passkey_log_in().await;
    let credential = Authenticator::new().create(&another.options);
    assert_eq!(
        field(service.finish_registration(token, &log_in.token, credential).await),
        "token"
    );
    assert_eq!(service.list_passkeys(token).await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn what_is_no_credential_is_said_to_be_none() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    for credential in [
        "",
        "{}",
        "[]",
        "1",
        r#"{"id":"AA","rawId":"AA","type":"public-key","response":{}}"#,
    ] {
        let registered = service
            .finish_registration(&token, "a token", credential.to_owned())
            .await;
        assert_eq!(field(registered), "credential", "{credential}");
        let logged_in = service.finish_passkey_log_in("a token", credential.to_owned()).await;
        assert_eq!(field(logged_in), "credential", "{credential}");
    }
    let request = RegisterPasskeyRequest {
        name: Some("a\nb".to_owned()),
        ..RegisterPasskeyRequest::default()
    };
    let refusal = service
        .passkeys
        .clone()
        .register_passkey(authorized(request, &token))
        .await
        .unwrap_err();
    let fields: Vec<_> = violations(&refusal).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["token", "name", "credential"]);
    service.stop().await;
}

#[tokio::test]
async fn a_challenge_is_void_after_five_minutes() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let mut device = Authenticator::new();
    service.register(&token, &mut device).await.unwrap();
    let log_in = service.begin_passkey_log_in().await;
    let registration = service.begin_registration(&token, PASSWORD, None).await.unwrap();
    assert_eq!((log_in.expires_in, registration.expires_in), (300, 300));
    service.clock.advance(TimeDelta::minutes(5));
    let late = service
        .finish_passkey_log_in(&log_in.token, device.get(&log_in.options))
        .await;
    assert_eq!(reason(late), Reason::PasskeyRefused);
    let token = service.log_in("Ada", PASSWORD).await.unwrap().access_token;
    let credential = Authenticator::new().create(&registration.options);
    assert_eq!(
        field(
            service
                .finish_registration(&token, &registration.token, credential)
                .await
        ),
        "token"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_passkey_is_registered_once_by_one_account() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let (ada, grace) = (
        service.sign_up(ada()).await.unwrap(),
        service.sign_up(grace()).await.unwrap(),
    );
    let mut device = Authenticator::new();
    service.register(&ada.access_token, &mut device).await.unwrap();
    let challenge = service
        .begin_registration(&ada.access_token, PASSWORD, None)
        .await
        .unwrap();
    let options: Value = serde_json::from_str(&challenge.options).unwrap();
    assert_eq!(
        options["excludeCredentials"][0]["id"],
        json!(crate::authenticator::encode(&device.credential_id)),
        "a device is told not to make a second one"
    );
    assert_eq!(
        reason(service.register(&grace.access_token, &mut device.clone()).await),
        Reason::PasskeyExists
    );
    service.stop().await;
}

#[tokio::test]
async fn an_account_has_at_most_twenty_passkeys() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    for _ in 0..19 {
        service.register(&token, &mut Authenticator::new()).await.unwrap();
    }
    let (last, too_late) = (
        service.begin_registration(&token, PASSWORD, None).await.unwrap(),
        service.begin_registration(&token, PASSWORD, None).await.unwrap(),
    );
    let credential = Authenticator::new().create(&last.options);
    service
        .finish_registration(&token, &last.token, credential)
        .await
        .unwrap();
    let credential = Authenticator::new().create(&too_late.options);
    assert_eq!(
        reason(service.finish_registration(&token, &too_late.token, credential).await),
        Reason::TooManyPasskeys
    );
    assert_eq!(
        reason(service.begin_registration(&token, PASSWORD, None).await),
        Reason::TooManyPasskeys
    );
    assert_eq!(service.list_passkeys(&token).await.len(), 20);
    service.stop().await;
}

#[tokio::test]
async fn a_passkey_is_renamed_and_removed_by_its_owner_only() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let (ada, grace) = (
        service.sign_up(ada()).await.unwrap(),
        service.sign_up(grace()).await.unwrap(),
    );
    let (token, other) = (ada.access_token.as_str(), grace.access_token.as_str());
    let mut device = Authenticator::new();
    let passkey = service.register(token, &mut device).await.unwrap();

    assert_eq!(
        reason(service.rename_passkey(other, &passkey.id, "Mine").await),
        Reason::NotFound
    );
    assert_eq!(
        reason(service.remove_passkey(other, &passkey.id, PASSWORD, None).await),
        Reason::NotFound
    );
    assert_eq!(
        reason(service.rename_passkey(token, "no-uuid", "Mine").await),
        Reason::NotFound
    );
    assert_eq!(field(service.rename_passkey(token, &passkey.id, "").await), "name");
    assert!(service.list_passkeys(other).await.is_empty());

    let renamed = service
        .rename_passkey(token, &passkey.id, "Ada's other phone")
        .await
        .unwrap();
    assert_eq!(
        (renamed.id.as_str(), renamed.name.as_str()),
        (passkey.id.as_str(), "Ada's other phone")
    );
    assert_eq!(service.list_passkeys(token).await[0].name, "Ada's other phone");

    service
        .remove_passkey(token, &passkey.id, PASSWORD, None)
        .await
        .unwrap();
    assert!(service.list_passkeys(token).await.is_empty());
    assert_eq!(reason(service.log_in_by(&mut device).await), Reason::PasskeyRefused);
    assert_eq!(
        reason(service.remove_passkey(token, &passkey.id, PASSWORD, None).await),
        Reason::NotFound
    );
    let changes: Vec<_> = told(&service).await.iter().map(SecondFactorChanged::change).collect();
    assert_eq!(
        changes,
        [SecondFactorChange::PasskeyAdded, SecondFactorChange::PasskeyRemoved]
    );
    let audited = audited(&service, &ada.id).await;
    for action in ["passkey.added", "passkey.renamed", "passkey.removed"] {
        assert!(audited.contains(&action.to_owned()), "{action}: {audited:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_domain_and_origins_that_do_not_belong_together_are_named_at_the_start() {
    let database = Database::create().await;
    let mut setup = Setup::on(&database);
    setup.settings.auth_passkey_origins = "https://example.org".to_owned();
    let error = setup.clone().build().await.err().unwrap().to_string();
    assert!(error.starts_with("AUTH_PASSKEY_ORIGINS: "), "{error}");
    setup.settings.auth_passkey_rp_id = "https://example.org".to_owned();
    let error = setup.build().await.err().unwrap().to_string();
    assert!(error.starts_with("AUTH_PASSKEY_RP_ID: "), "{error}");
}
