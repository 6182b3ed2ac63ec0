//! The time that a caller gives ends the work in the database too.

use std::time::Duration;

use service_kit::reason::Reason;
use testbed::{Database, Lock};
use tonic::{Request, Status};
use voltgate_proto::auth::v1::{GetProfileRequest, LogInRequest, SignUpRequest};

use crate::service::{PASSWORD, Service, ada};

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
