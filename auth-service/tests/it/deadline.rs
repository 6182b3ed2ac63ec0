//! The time that a caller gives ends the work in the database too.

use std::time::Duration;

use service_kit::reason::Reason;
use testbed::{Database, Lock};
use tonic::{Request, Status};
use voltgate_proto::auth::v1::{
    ChangeEmailRequest, ChangePasswordRequest, EraseAccountRequest, GetProfileRequest, LogInRequest,
    ResendVerificationRequest, ResetPasswordRequest, SignUpRequest, UpdateProfileRequest, VerifyEmailRequest,
};
use voltgate_proto::events::v1::{EmailVerificationRequested, PasswordResetRequested};

use crate::mailbox::Mailbox;
use crate::passwords;
use crate::service::{PASSWORD, Service, Setup, ada};

/// Long enough for a hash on a busy machine.
const TIME: Duration = Duration::from_secs(5);

fn in_time<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(TIME);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

fn late<T>(result: Result<T, Status>) -> bool {
    result.is_err_and(|status| Reason::of(&status) == Reason::DeadlineExceeded)
}

#[tokio::test]
async fn signup_login_and_profile_end_at_their_deadline_in_the_database_too() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let mut lock = Lock::of(&database, "authentication.account").await;
    let [mut one, mut two] = [(); 2].map(|()| service.client.clone());
    let mut three = service.profiles.clone();
    let other = SignUpRequest {
        username: "grace@example.com".to_owned(),
        ..ada()
    };
    let login = LogInRequest {
        username: ada().username,
        password: PASSWORD.to_owned(),
    };
    let (signed_up, logged_in, profile, ()) = tokio::join!(
        one.sign_up(in_time(other, None)),
        two.log_in(in_time(login, None)),
        three.get_profile(in_time(GetProfileRequest {}, Some(&token))),
        lock.waited_for_by(3, "authentication.account"),
    );
    assert!(late(signed_up) && late(logged_in) && late(profile));
    lock.waited_for_by(0, "authentication.account").await;
    lock.release().await;
    assert_eq!(service.profile(&token).await.unwrap().username, ada().username);
}

#[tokio::test]
async fn what_changes_an_account_ends_at_its_deadline_in_the_database_too() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let mut mailbox = Mailbox::on(&setup.bus);
    let service = setup.start().await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let verification: EmailVerificationRequested = mailbox.next().await;
    passwords::forgot(&service, "ada@example.com").await.unwrap();
    let reset: PasswordResetRequested = mailbox.next().await;
    let mut lock = Lock::of(&database, "authentication.account").await;

    let [mut one, mut two, mut three] = [(); 3].map(|()| service.addresses.clone());
    let [mut four, mut five] = [(); 2].map(|()| service.passwords.clone());
    let [mut six, mut seven] = [(); 2].map(|()| service.profiles.clone());
    let verify = VerifyEmailRequest {
        code: verification.code,
    };
    let change = ChangeEmailRequest {
        email: "ada@example.org".to_owned(),
        password: PASSWORD.to_owned(),
        code: None,
    };
    let new_password = "rain on a tin roof".to_owned();
    let password = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: new_password.clone(),
        code: None,
    };
    let reset = ResetPasswordRequest {
        code: reset.code,
        new_password,
    };
    let rename = UpdateProfileRequest {
        username: Some("Countess".to_owned()),
        language: None,
    };
    let erase = EraseAccountRequest {
        password: PASSWORD.to_owned(),
        code: None,
    };
    let (access_token, token) = (token.as_str(), Some(token.as_str()));
    let (verified, resent, asked, ()) = tokio::join!(
        one.verify_email(in_time(verify, None)),
        two.resend_verification(in_time(ResendVerificationRequest {}, token)),
        three.change_email(in_time(change, token)),
        lock.waited_for_by(3, "authentication.account"),
    );
    assert!(late(verified) && late(resent) && late(asked));
    lock.waited_for_by(0, "authentication.account").await;
    let (changed, reset, renamed, erased, ()) = tokio::join!(
        four.change_password(in_time(password, token)),
        five.reset_password(in_time(reset, None)),
        six.update_profile(in_time(rename, token)),
        seven.erase_account(in_time(erase, token)),
        lock.waited_for_by(4, "authentication.account"),
    );
    assert!(late(changed) && late(reset) && late(renamed) && late(erased));
    lock.waited_for_by(0, "authentication.account").await;
    lock.release().await;
    let profile = service.profile(access_token).await.unwrap();
    assert_eq!((profile.username.as_str(), profile.email_verified), ("Ada", false));
}
