//! Messages over the gRPC API.

use std::collections::BTreeSet;
use std::time::Duration;

use service_kit::reason::Reason;
use testbed::Lock;
use tonic::{Code, Request};
use voltgate_proto::email::v1::{
    CreateMessageRequest, GetMessageRequest, ListMessagesRequest, Message, ResendMessageRequest,
};

use crate::rig::{Rig, eventually};
use crate::services::{Services, as_bearer, refusal};

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
        assert_eq!(same.history.len(), 1);
        assert_eq!(same.history[0].outcome, "sent");
        let without_history = Message {
            history: Vec::new(),
            ..same
        };
        assert_eq!(&without_history, message);
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
                ..Default::default()
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
        ..Default::default()
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
    let text = "next_attempt_at, resend_of";
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

fn letter() -> CreateMessageRequest {
    CreateMessageRequest {
        recipient: "Ada@Example.org".to_owned(),
        subject: "Works on Monday".to_owned(),
        paragraphs: vec![
            "the station is <out> of service.".to_owned(),
            "We are sorry.".to_owned(),
        ],
        language: Some("de-AT".to_owned()),
    }
}

fn under_key<T>(mut request: Request<T>, key: &str) -> Request<T> {
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

#[tokio::test]
async fn an_administrator_writes_a_letter_once_however_often_it_is_asked_for() {
    let mut services = Services::start().await;
    let admin = services.admin.clone();
    let write = |letter| under_key(as_bearer(&admin, letter), "monday");
    let first = services
        .email
        .create_message(write(letter()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((first.template.as_str(), first.event_id.as_ref()), ("letter", None));
    services.rig.sent(3).await;
    let again = services
        .email
        .create_message(write(letter()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((again.id.as_str(), again.status.as_str()), (first.id.as_str(), "sent"));
    let other = CreateMessageRequest {
        subject: "Works on Tuesday".to_owned(),
        ..letter()
    };
    assert_eq!(
        refusal(services.email.create_message(write(other)).await),
        Reason::IdempotencyKeyReused
    );
    services.rig.sent(3).await;
    let mails = services.rig.mails();
    let mail = mails
        .iter()
        .find(|mail| mail.contains("Subject: Works on Monday"))
        .unwrap();
    assert!(
        mail.contains("Guten Tag,") && mail.contains("the station is <out> of service."),
        "{mail}"
    );
    assert!(mail.contains("&lt;out&gt;"), "{mail}");
    assert_eq!(services.audited().await, [("message.written".to_owned(), first.id)]);
    services.rig.stop().await;
}

#[tokio::test]
async fn a_message_is_sent_again_as_one_of_its_own_and_never_with_a_void_code() {
    let mut services = Services::start().await;
    let admin = services.admin.clone();
    let list = as_bearer(&admin, ListMessagesRequest::default());
    let messages = services.email.list_messages(list).await.unwrap().into_inner().messages;
    let named = |template: &str| messages.iter().find(|message| message.template == template).unwrap();
    let resend = |id: &str| as_bearer(&admin, ResendMessageRequest { id: id.to_owned() });

    let code = resend(&named("verify-email").id);
    assert_eq!(
        refusal(services.email.resend_message(code).await),
        Reason::MessageNotRepeatable
    );
    let nothing = resend("01900000-0000-7000-8000-000000000001");
    assert_eq!(refusal(services.email.resend_message(nothing).await), Reason::NotFound);

    let welcome = named("welcome").id.clone();
    let mut copies = Vec::new();
    for _ in 0..2 {
        let copy = services.email.resend_message(under_key(resend(&welcome), "once")).await;
        copies.push(copy.unwrap().into_inner());
    }
    assert_eq!(copies[0].id, copies[1].id);
    assert_ne!(copies[0].id, welcome);
    assert_eq!(copies[0].resend_of.as_ref(), Some(&welcome));
    services.rig.sent(3).await;
    let ids = services.rig.mails();
    let ids: BTreeSet<_> = ids
        .iter()
        .filter(|mail| mail.contains("Subject: Welcome to Voltgate"))
        .filter_map(|mail| mail.lines().find(|line| line.starts_with("Message-ID: ")))
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(services.audited().await, [("message.resent".to_owned(), welcome)]);
    services.rig.stop().await;
}

#[tokio::test]
async fn messages_are_found_by_recipient_and_template() {
    let mut services = Services::start().await;
    services.rig.sign_up("jonas").await;
    services.rig.sent(3).await;
    let list = |recipient: Option<&str>, template: Option<&str>| ListMessagesRequest {
        recipient: recipient.map(str::to_owned),
        template: template.map(str::to_owned),
        ..Default::default()
    };
    for (request, expected) in [
        (list(Some("JONAS@example.org"), None), 1),
        (list(Some("mara@example.org"), None), 2),
        (list(Some("mara@example.org"), Some("welcome")), 1),
        (list(None, Some("welcome")), 2),
        (list(None, Some("rocket")), 0),
    ] {
        let page = services
            .email
            .list_messages(as_bearer(&services.admin, request.clone()))
            .await;
        assert_eq!(page.unwrap().into_inner().messages.len(), expected, "{request:?}");
    }
    services.rig.stop().await;
}

#[tokio::test]
async fn an_account_that_chose_a_language_is_written_to_in_it() {
    let services = Services::start().await;
    let event = service_kit::event::in_language(
        crate::rig::signed_up("jonas", Some("jonas@example.org")),
        Some("de-CH".to_owned()),
    );
    services.rig.write(&event).await;
    eventually("the mail is written", || async { services.rig.mails().len() == 3 }).await;
    let mails = services.rig.mails();
    let mail = mails
        .iter()
        .find(|mail| mail.contains("To: jonas@example.org"))
        .unwrap();
    assert!(mail.contains("Subject: Willkommen bei Voltgate"), "{mail}");
    services.rig.stop().await;
}
