//! The gRPC API, with auth-service beside it to say who may ask.

use std::collections::BTreeSet;
use std::time::Duration;

use auth_service::Administrator;
use email_service::Application;
use service_kit::bus::Bus;
use service_kit::reason::Reason;
use testbed::Lock;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request};
use voltgate_proto::auth::v1::auth_service_client::AuthServiceClient;
use voltgate_proto::auth::v1::{LogInRequest, SignUpRequest};
use voltgate_proto::email::v1::email_service_client::EmailServiceClient;
use voltgate_proto::email::v1::{GetMessageRequest, ListMessagesRequest};

use crate::rig::{Rig, local};

const PASSWORD: &str = "quiet-Heron-41";

/// Both services, a driver who signed up, and an administrator.
struct Services {
    rig: Rig,
    email: EmailServiceClient<Channel>,
    admin: String,
    driver: String,
}

impl Services {
    async fn start() -> Self {
        let mut rig = Rig::new().await;
        let bus = local();
        let auth_url = start_auth(&mut rig, &bus).await;
        let email_url = start_email(&mut rig, &bus, &auth_url).await;
        let mut auth = AuthServiceClient::connect(auth_url).await.unwrap();
        let email = EmailServiceClient::connect(email_url).await.unwrap();
        let signed_up = auth
            .sign_up(SignUpRequest {
                username: "mara".to_owned(),
                password: PASSWORD.to_owned(),
                email: Some("mara@example.org".to_owned()),
            })
            .await
            .unwrap();
        let logged_in = auth
            .log_in(LogInRequest {
                username: "admin".to_owned(),
                password: PASSWORD.to_owned(),
            })
            .await
            .unwrap();
        rig.sent(2).await;
        Self {
            rig,
            email,
            admin: logged_in.into_inner().access_token.expect("a password is enough"),
            driver: signed_up.into_inner().access_token,
        }
    }
}

async fn start_auth(rig: &mut Rig, bus: &Bus) -> String {
    let settings = auth_service::Settings {
        auth_listen: "127.0.0.1:0".parse().unwrap(),
        auth_secret: Some("seals the keys of this one test only".to_owned()),
        admin_password: Some(PASSWORD.to_owned()),
        ..auth_service::Settings::default()
    };
    let shared = rig.shared(bus, "http://127.0.0.1:1");
    let application = auth_service::Application::build(settings, shared).await.unwrap();
    let administrator = application.first_administrator().await.unwrap();
    assert!(matches!(administrator, Administrator::Created { .. }));
    let url = format!("http://{}", application.local_addr());
    let shutdown = rig.shutdown();
    rig.spawn(async move { application.run(shutdown).await.unwrap() });
    url
}

async fn start_email(rig: &mut Rig, bus: &Bus, auth_url: &str) -> String {
    let shared = rig.shared(bus, auth_url);
    let application = Application::build(rig.settings(), shared).await.unwrap();
    let url = format!("http://{}", application.local_addr());
    let shutdown = rig.shutdown();
    rig.spawn(async move { application.run(shutdown).await.unwrap() });
    url
}

fn as_bearer<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

#[tokio::test]
async fn an_administrator_sees_the_mails_that_a_signup_caused() {
    let Services {
        rig, mut email, admin, ..
    } = Services::start().await;
    let list = ListMessagesRequest {
        status: Some("sent".to_owned()),
        ..Default::default()
    };
    let page = email.list_messages(as_bearer(&admin, list)).await.unwrap().into_inner();
    assert_eq!(page.next_page_token, "");
    let templates: BTreeSet<_> = page.messages.iter().map(|message| message.template.as_str()).collect();
    assert_eq!(templates, BTreeSet::from(["verify-email", "welcome"]));
    for message in &page.messages {
        assert_eq!(message.recipient, "mara@example.org");
        assert_eq!((message.status.as_str(), message.attempts), ("sent", 1));
        assert!(message.sent_at.is_some() && message.last_error.is_none() && !message.possibly_duplicate);
        let get = GetMessageRequest { id: message.id.clone() };
        let same = email.get_message(as_bearer(&admin, get)).await.unwrap().into_inner();
        assert_eq!(&same, message);
    }
    rig.stop().await;
}

#[tokio::test]
async fn messages_come_newest_first_a_page_at_a_time() {
    let Services {
        rig, mut email, admin, ..
    } = Services::start().await;
    for number in 0..4 {
        rig.sign_up(&format!("driver{number}")).await;
    }
    rig.sent(6).await;
    for status in [None, Some("sent".to_owned())] {
        let mut recipients = Vec::new();
        let mut token = String::new();
        loop {
            let list = ListMessagesRequest {
                status: status.clone(),
                page_size: 2,
                page_token: token,
            };
            let page = email.list_messages(as_bearer(&admin, list)).await.unwrap().into_inner();
            assert!(page.messages.len() <= 2);
            recipients.extend(page.messages.into_iter().map(|message| message.recipient));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let expected = ["driver3", "driver2", "driver1", "driver0", "mara", "mara"];
        assert_eq!(recipients, expected.map(|name| format!("{name}@example.org")));
    }
    rig.stop().await;
}

#[tokio::test]
async fn nobody_else_gets_to_see_mail() {
    let Services {
        rig, mut email, driver, ..
    } = Services::start().await;
    let status = email.list_messages(ListMessagesRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let status = email
        .list_messages(as_bearer(&driver, ListMessagesRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let status = email
        .get_message(as_bearer(&driver, GetMessageRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    rig.stop().await;
}

#[tokio::test]
async fn requests_that_make_no_sense_are_told_why() {
    let Services {
        rig, mut email, admin, ..
    } = Services::start().await;
    let list = ListMessagesRequest {
        status: Some("lost".to_owned()),
        page_size: -1,
        page_token: "?".to_owned(),
    };
    let status = email.list_messages(as_bearer(&admin, list)).await.unwrap_err();
    assert_eq!(Reason::of(&status), Reason::InvalidRequest);
    let get = |id: &str| as_bearer(&admin, GetMessageRequest { id: id.to_owned() });
    let status = email.get_message(get("seventeen")).await.unwrap_err();
    assert_eq!(Reason::of(&status), Reason::NotFound);
    let status = email
        .get_message(get("01900000-0000-7000-8000-000000000001"))
        .await
        .unwrap_err();
    assert_eq!(Reason::of(&status), Reason::NotFound);
    rig.stop().await;
}

#[tokio::test]
async fn both_reads_end_at_their_deadline_in_the_database_too() {
    let Services { rig, email, admin, .. } = Services::start().await;
    let mut lock = Lock::of(rig.server(), "email.message").await;
    let [mut one, mut two] = [(); 2].map(|()| email.clone());
    let mut list = as_bearer(&admin, ListMessagesRequest::default());
    let id = uuid::Uuid::now_v7().to_string();
    let mut get = as_bearer(&admin, GetMessageRequest { id });
    list.set_timeout(Duration::from_secs(2));
    get.set_timeout(Duration::from_secs(2));
    // What only these two ask for: the sender waits as well.
    let text = "possibly_duplicate, created_at, sent_at";
    let (listed, got, ()) = tokio::join!(
        one.list_messages(list),
        two.get_message(get),
        lock.waited_for_by(2, text)
    );
    for status in [listed.unwrap_err(), got.unwrap_err()] {
        assert_eq!(Reason::of(&status), Reason::DeadlineExceeded, "{status}");
    }
    lock.waited_for_by(0, text).await;
    lock.release().await;
    rig.stop().await;
}

#[tokio::test]
async fn no_statement_runs_for_longer_than_is_set_however_much_time_its_call_has() {
    let rig = Rig::new().await;
    let limit = async |seconds| {
        let asked = async {
            let mut transaction = service_kit::database::begin(&rig.database).await.unwrap();
            let limit = sqlx::query_scalar::<_, String>("SHOW statement_timeout");
            limit.fetch_one(&mut *transaction).await.unwrap()
        };
        let limit = service_kit::deadline::within(Duration::from_secs(seconds), asked)
            .await
            .unwrap();
        limit.trim_end_matches("ms").trim_end_matches('s').to_owned()
    };
    let whoever: String = sqlx::query_scalar("SHOW statement_timeout")
        .fetch_one(&rig.database)
        .await
        .unwrap();
    assert_eq!(whoever, "45s");
    assert_eq!(limit(300).await, "45");
    let less: u32 = limit(40).await.parse().unwrap();
    assert!((30_000..=40_000).contains(&less) || less == 40, "{less}");
}
