//! Somebody has the password, or a session, of an account that is not theirs. What its owner does about it ends all that they have
//! begun, and nothing that lasts is to be had for less than all factors.

use service_kit::reason::Reason;
use testbed::Database;
use voltgate_proto::auth::v1::TokenResponse;
use voltgate_proto::events::v1::{EmailVerificationRequested, PasswordResetRequested, SecondFactorChange};

use crate::mailbox::Mailbox;
use crate::office::Office;
use crate::second_factor::{App, audited, protected_ada, told};
use crate::service::{PASSWORD, Service, Setup, ada, reason, violations};
use crate::{addresses, erasure, passwords};

const NEW: &str = "rain on a tin roof";

/// Ada, whose address is verified, and Mallory, who knew her password, has asked for an address of his own, and has the code.
struct Scene {
    office: Office,
    ada: TokenResponse,
    code: String,
}

impl Scene {
    async fn set(database: &Database) -> Self {
        let mut office = Office::open(database).await;
        let ada = office.service.sign_up(ada()).await.unwrap();
        let mail: EmailVerificationRequested = office.mailbox.next().await;
        addresses::verify(&office.service, &mail.code).await.unwrap();
        let by_mallory = office.service.log_in("Ada", PASSWORD).await.unwrap();
        addresses::change(
            &office.service,
            &by_mallory.access_token,
            "mallory@example.org",
            PASSWORD,
        )
        .await
        .unwrap();
        let mail: EmailVerificationRequested = office.mailbox.next().await;
        assert_eq!(mail.email, "mallory@example.org");
        let notices = told(&office.service).await;
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].change(), SecondFactorChange::EmailChangeRequested);
        assert_eq!(notices[0].email.as_deref(), Some("ada@example.com"));
        Self {
            office,
            ada,
            code: mail.code,
        }
    }

    /// Mallory shows his code, and gets nothing for it.
    async fn stays_hers(self, password: &str) {
        let service = self.office.service;
        assert_eq!(
            reason(addresses::verify(&service, &self.code).await),
            Reason::InvalidEmailedCode
        );
        let token = service.log_in("Ada", password).await.unwrap().access_token;
        let profile = service.profile(&token).await.unwrap();
        assert_eq!(
            (profile.email.as_deref(), profile.email_verified),
            (Some("ada@example.com"), true)
        );
        service.stop().await;
    }
}

#[tokio::test]
async fn a_change_of_the_password_withdraws_what_was_asked_for_by_mail() {
    let database = Database::create().await;
    let mut scene = Scene::set(&database).await;
    passwords::forgot(&scene.office.service, "ada@example.com")
        .await
        .unwrap();
    let mail: PasswordResetRequested = scene.office.mailbox.skip_to().await;
    passwords::change_with(&scene.office.service, &scene.ada.access_token, PASSWORD, NEW, None)
        .await
        .unwrap();
    assert_eq!(
        reason(passwords::reset(&scene.office.service, &mail.code, "yet another one").await),
        Reason::InvalidEmailedCode
    );
    scene.stays_hers(NEW).await;
}

#[tokio::test]
async fn a_reset_of_the_password_withdraws_a_change_of_the_address() {
    let database = Database::create().await;
    let mut scene = Scene::set(&database).await;
    passwords::forgot(&scene.office.service, "ada@example.com")
        .await
        .unwrap();
    let mail: PasswordResetRequested = scene.office.mailbox.skip_to().await;
    passwords::reset(&scene.office.service, &mail.code, NEW).await.unwrap();
    scene.stays_hers(NEW).await;
}

#[tokio::test]
async fn a_reset_that_an_administrator_demands_withdraws_a_change_of_the_address() {
    let database = Database::create().await;
    let mut scene = Scene::set(&database).await;
    scene.office.force_reset(&scene.ada.id).await.unwrap();
    assert_eq!(
        reason(addresses::verify(&scene.office.service, &scene.code).await),
        Reason::InvalidEmailedCode,
        "before the new password is set even"
    );
    let mail: PasswordResetRequested = scene.office.mailbox.skip_to().await;
    assert_eq!(mail.email, "ada@example.com");
    passwords::reset(&scene.office.service, &mail.code, NEW).await.unwrap();
    scene.stays_hers(NEW).await;
}

#[tokio::test]
async fn disabling_an_account_withdraws_what_was_asked_for_by_mail() {
    let database = Database::create().await;
    let mut scene = Scene::set(&database).await;
    passwords::forgot(&scene.office.service, "ada@example.com")
        .await
        .unwrap();
    let mail: PasswordResetRequested = scene.office.mailbox.skip_to().await;
    scene.office.set_disabled(&scene.ada.id, true).await;
    scene.office.set_disabled(&scene.ada.id, false).await;
    assert_eq!(
        reason(passwords::reset(&scene.office.service, &mail.code, NEW).await),
        Reason::InvalidEmailedCode
    );
    scene.stays_hers(PASSWORD).await;
}

/// Whatever leads to another way in, or to none at all, asks for both factors.
#[tokio::test]
async fn address_password_and_account_are_changed_with_a_code_where_there_is_an_app() {
    const NEW: &str = "rain on a tin roof";
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let token = ada.access_token.as_str();
    let wrong = ada.app.wrong_code(&service);
    let email = async |code| addresses::change_with(&service, token, "ada@example.org", PASSWORD, code).await;
    let password = async |code| passwords::change_with(&service, token, PASSWORD, NEW, code).await;
    let erasure = async |password, code| erasure::erase(&service, token, password, code).await;
    let missing = [
        email(None).await.unwrap_err(),
        password(None).await.unwrap_err(),
        erasure(PASSWORD, None).await.unwrap_err(),
    ];
    for refusal in missing {
        let text = "is required, as the account has an authenticator app".to_owned();
        assert_eq!(violations(&refusal), [("code".to_owned(), text)]);
    }
    assert_eq!(reason(email(Some(&wrong)).await), Reason::WrongCode);
    assert_eq!(reason(password(Some(&wrong)).await), Reason::WrongCode);
    assert_eq!(reason(erasure(PASSWORD, Some(&wrong)).await), Reason::WrongCode);
    let failed = audited(&service, &ada.account)
        .await
        .into_iter()
        .filter(|action| action == "second-factor.failed");
    assert_eq!(failed.count(), 3);

    email(Some(&ada.app.code(&service, 0))).await.unwrap();
    password(Some(&ada.recovery_codes[0])).await.unwrap();
    erasure(NEW, Some(&ada.recovery_codes[1])).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn notices_go_to_an_address_that_its_owner_has_verified_and_to_no_other() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let mut mailbox = Mailbox::on(&setup.bus);
    let service = setup.start().await;
    service.clock.stop();
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let mail: EmailVerificationRequested = mailbox.next().await;
    let app = App::new(&service.begin_totp(&token, PASSWORD).await.unwrap().secret);
    let codes = service.confirm_totp(&token, &app.code(&service, 0)).await.unwrap();
    addresses::verify(&service, &mail.code).await.unwrap();
    service.remove_totp(&token, PASSWORD, &codes[0]).await.unwrap();
    let told: Vec<_> = told(&service).await.into_iter().map(|told| told.email).collect();
    assert_eq!(told, [None, Some("ada@example.com".to_owned())]);
    service.stop().await;
}
