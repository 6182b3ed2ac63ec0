//! The owner of an account hears of a login from where there was none before.

use std::sync::Arc;

use chrono::TimeDelta;
use service_kit::event::{self, Event};
use testbed::Database;
use tonic::Request;
use voltgate_proto::auth::v1::{CreateUserRequest, FinishLogInRequest, FinishPasskeyLogInRequest, LogInRequest};
use voltgate_proto::events::v1::{EmailVerificationRequested, NewSignIn};

use crate::addresses;
use crate::authenticator::Authenticator;
use crate::mailbox::Mailbox;
use crate::second_factor::protect;
use crate::service::{PASSWORD, Service, Setup, ada, authorized, passed_on};

const PHONE: &str = "Voltgate/1.4 (Android 16)";

/// A request of a client that is passed on with what it says of itself.
fn from<T>(service: &Service, address: &str, device: &str, message: T) -> Request<T> {
    let mut request = passed_on(&service.service_tokens(), address.parse().unwrap(), message);
    let metadata = request.metadata_mut();
    metadata.insert("voltgate-client-device", device.parse().unwrap());
    request
}

async fn log_in(service: &Service, address: &str, device: &str) {
    let request = LogInRequest {
        username: "Ada".to_owned(),
        password: PASSWORD.to_owned(),
    };
    let request = from(service, address, device, request);
    service.client.clone().log_in(request).await.unwrap();
}

/// Ada, whose address is verified, who signed up and logged in at home with a browser.
async fn settle(service: &Service, mailbox: &mut Mailbox) {
    let request = from(service, "192.0.2.7", "Browser/1.0", ada());
    service.client.clone().sign_up(request).await.unwrap();
    verify(service, mailbox).await;
    log_in(service, "192.0.2.7", "Browser/1.0").await;
    assert_eq!(told(service).await, []);
}

async fn start(database: &Database) -> (Service, Mailbox) {
    let mut setup = Setup::on(database);
    setup.settings.admin_password = Some(PASSWORD.to_owned());
    let mailbox = Mailbox::on(&setup.bus);
    (setup.start().await, mailbox)
}

/// Ada shows the code that came by mail.
async fn verify(service: &Service, mailbox: &mut Mailbox) {
    let mail: EmailVerificationRequested = mailbox.skip_to().await;
    addresses::verify(service, &mail.code).await.unwrap();
}

/// The devices and addresses that owners were told of.
async fn told(service: &Service) -> Vec<(String, String)> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT data FROM authentication.outbox WHERE type = 'voltgate.events.v1.NewSignIn' ORDER BY position",
    )
    .fetch_all(&service.database)
    .await
    .unwrap();
    let decode = |data: Vec<u8>| {
        let event = Event {
            r#type: "voltgate.events.v1.NewSignIn".to_owned(),
            data: data.into(),
            ..Event::default()
        };
        let told: NewSignIn = event::decode(&event).unwrap();
        assert_eq!(
            (told.username.as_str(), told.email.as_deref()),
            ("Ada", Some("ada@example.com"))
        );
        assert!(told.at.is_some() && !told.account_id.is_empty());
        (told.device.unwrap_or_default(), told.address)
    };
    rows.into_iter().map(decode).collect()
}

fn pair(device: &str, address: &str) -> (String, String) {
    (device.to_owned(), address.to_owned())
}

#[tokio::test]
async fn a_login_with_another_device_or_from_another_network_is_told_once() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    settle(&service, &mut mailbox).await;
    for _ in 0..2 {
        log_in(&service, "192.0.2.7", PHONE).await;
    }
    assert_eq!(told(&service).await, [pair(PHONE, "192.0.2.7")]);
    for _ in 0..2 {
        log_in(&service, "2001:db8::1", "Browser/1.0").await;
    }
    assert_eq!(told(&service).await.last(), Some(&pair("Browser/1.0", "2001:db8::1")));
    // Each of these is known, though not together, and in another version.
    log_in(&service, "2001:db8::2", "Voltgate/2.0 (Android 17)").await;
    assert_eq!(told(&service).await.len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn a_login_with_a_second_factor_or_a_passkey_is_told_too() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let answer = service.sign_up(ada()).await.unwrap();
    verify(&service, &mut mailbox).await;
    let mut authenticator = Authenticator::new();
    service
        .register(&answer.access_token, &mut authenticator)
        .await
        .unwrap();
    let challenge = service.begin_passkey_log_in().await;
    let request = FinishPasskeyLogInRequest {
        credential: authenticator.get(&challenge.options),
        token: challenge.token,
    };
    let request = from(&service, "192.0.2.1", PHONE, request);
    service.passkeys.clone().finish_passkey_log_in(request).await.unwrap();
    assert_eq!(told(&service).await, [pair(PHONE, "192.0.2.1")]);

    let protected = protect(&service, &answer.access_token, &answer.id).await;
    let challenge = service.challenge("Ada").await;
    assert_eq!(told(&service).await.len(), 1, "a password alone is no login");
    let request = FinishLogInRequest {
        token: challenge.token,
        code: protected.app.code(&service, 0),
    };
    let request = from(&service, "192.0.2.2", PHONE, request);
    service.second_factors.clone().finish_log_in(request).await.unwrap();
    assert_eq!(told(&service).await.last(), Some(&pair(PHONE, "192.0.2.2")));
    service.stop().await;
}

#[tokio::test]
async fn nobody_is_told_at_an_address_that_is_not_verified_or_of_the_first_login() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let admin = service.log_in("admin", PASSWORD).await.unwrap();
    let request = CreateUserRequest {
        username: "Ada".to_owned(),
        email: Some("ada@example.com".to_owned()),
        roles: Vec::new(),
        password: Some(PASSWORD.to_owned()),
        ..Default::default()
    };
    let request = authorized(request, &admin.access_token);
    service.users.clone().create_user(request).await.unwrap();
    verify(&service, &mut mailbox).await;
    log_in(&service, "192.0.2.7", "Browser/1.0").await;
    assert_eq!(told(&service).await, [], "there is nothing to compare it with");
    service.stop().await;

    let database = Database::create().await;
    let (service, _mailbox) = start(&database).await;
    service.sign_up(ada()).await.unwrap();
    log_in(&service, "192.0.2.8", PHONE).await;
    assert_eq!(told(&service).await, [], "the address may be anybody's");
    service.stop().await;
}

#[tokio::test]
async fn a_program_that_is_new_each_time_floods_no_mailbox_and_no_table() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    settle(&service, &mut mailbox).await;
    for number in 0..9 {
        let device = format!("program-{}", char::from(b'a' + number));
        log_in(&service, "192.0.2.7", &device).await;
    }
    // The signup is one of those of late.
    assert_eq!(told(&service).await.len(), 4);
    service.clock.advance(TimeDelta::hours(1));
    log_in(&service, "192.0.2.7", "program-z").await;
    assert_eq!(told(&service).await.len(), 5);
    let insert = "INSERT INTO authentication.known_device
         SELECT account_id, 'device ' || number, network, first_used_at, last_used_at - interval '1 day'
         FROM authentication.known_device, generate_series(1, 100) AS number WHERE device = 'program-z'";
    sqlx::query(insert).execute(&service.database).await.unwrap();
    log_in(&service, "192.0.2.7", "program-z").await;
    let rows = service.count("SELECT count(*) FROM authentication.known_device").await;
    assert_eq!(rows, 50);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_first_logins_at_once_one_is_told() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let service = Arc::new(service);
    settle(&service, &mut mailbox).await;
    let logins = (0..4).map(|_| {
        let service = service.clone();
        tokio::spawn(async move { log_in(&service, "192.0.2.7", PHONE).await })
    });
    for login in logins.collect::<Vec<_>>() {
        login.await.unwrap();
    }
    assert_eq!(told(&service).await.len(), 1);
    Arc::into_inner(service).unwrap().stop().await;
}
