//! Addresses that no mail goes to.

use email_service::Settings;
use service_kit::reason::Reason;
use voltgate_proto::email::v1::{
    AddSuppressionRequest, CreateMessageRequest, DeleteSuppressionRequest, GetSuppressionRequest, ListMessagesRequest,
    ListSuppressionsRequest, ResendMessageRequest,
};

use crate::rig::eventually;
use crate::services::{Services, as_bearer, refusal};
use crate::smtp_server::SmtpServer;

async fn start(server: &SmtpServer) -> Services {
    let url = server.url();
    Services::start_with(|settings| Settings {
        smtp_url: Some(url),
        ..settings
    })
    .await
}

#[tokio::test]
async fn an_address_without_a_mailbox_is_asked_for_once_and_gets_nothing_more_until_somebody_says_so() {
    let server = SmtpServer::start().await;
    let mut services = start(&server).await;
    let admin = services.admin.clone();
    services.rig.sign_up("nobody").await;
    eventually("it was refused", || async {
        services.rig.messages("failed").await == 1
    })
    .await;
    services.rig.sign_up("Nobody").await;
    eventually("the next one is not sent", || async {
        services.rig.messages("suppressed").await == 1
    })
    .await;

    let get = || {
        let address = "NOBODY@example.org".to_owned();
        as_bearer(&admin, GetSuppressionRequest { address })
    };
    let suppression = services.suppressions.get_suppression(get()).await.unwrap().into_inner();
    assert_eq!(
        (suppression.address.as_str(), suppression.reason.as_str()),
        ("nobody@example.org", "refused")
    );
    assert_eq!(
        suppression.details.as_deref(),
        Some("RCPT was answered with 550: 5.1.1 <nobody@example.org> is unknown here")
    );
    let list = ListMessagesRequest {
        status: Some("suppressed".to_owned()),
        ..Default::default()
    };
    let messages = services
        .email
        .list_messages(as_bearer(&admin, list))
        .await
        .unwrap()
        .into_inner()
        .messages;
    assert_eq!(
        (messages[0].attempts, messages[0].last_error.as_deref()),
        (0, Some("its address is suppressed"))
    );

    let letter = CreateMessageRequest {
        recipient: "nobody@example.org".to_owned(),
        subject: "Hello".to_owned(),
        paragraphs: vec!["hello".to_owned()],
        language: None,
    };
    let refused = services.email.create_message(as_bearer(&admin, letter)).await;
    assert_eq!(refusal(refused), Reason::AddressSuppressed);
    let resend = || {
        as_bearer(
            &admin,
            ResendMessageRequest {
                id: messages[0].id.clone(),
            },
        )
    };
    assert_eq!(
        refusal(services.email.resend_message(resend()).await),
        Reason::AddressSuppressed
    );

    let address = "nobody@example.org".to_owned();
    let delete = || {
        as_bearer(
            &admin,
            DeleteSuppressionRequest {
                address: address.clone(),
            },
        )
    };
    services.suppressions.delete_suppression(delete()).await.unwrap();
    assert_eq!(
        refusal(services.suppressions.delete_suppression(delete()).await),
        Reason::NotFound
    );
    assert_eq!(
        refusal(services.suppressions.get_suppression(get()).await),
        Reason::NotFound
    );
    services.email.resend_message(resend()).await.unwrap();
    eventually("it is asked for again", || async {
        services.rig.messages("failed").await == 2
    })
    .await;
    let actions: Vec<_> = services.audited().await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["message.resent", "suppression.deleted"]);
    services.rig.stop().await;
}

#[tokio::test]
async fn a_full_mailbox_and_a_rule_of_the_server_suppress_nobody() {
    let server = SmtpServer::start().await;
    let services = start(&server).await;
    services.rig.sign_up("full").await;
    services.rig.sign_up("unwanted").await;
    eventually("both are given up", || async {
        services.rig.messages("failed").await == 2
    })
    .await;
    assert_eq!(services.rig.number("SELECT count(*) FROM email.suppression").await, 0);
    services.rig.stop().await;
}

#[tokio::test]
async fn an_administrator_suppresses_addresses_and_sees_the_latest_first() {
    let mut services = Services::start().await;
    let admin = services.admin.clone();
    let add = |address: &str, details: Option<&str>| {
        let request = AddSuppressionRequest {
            address: address.to_owned(),
            details: details.map(str::to_owned),
        };
        as_bearer(&admin, request)
    };
    for number in 0..3 {
        let address = format!("Driver{number}@example.org");
        services
            .suppressions
            .add_suppression(add(&address, Some("wants none")))
            .await
            .unwrap();
    }
    let again = services
        .suppressions
        .add_suppression(add("driver0@example.org", None))
        .await;
    let again = again.unwrap().into_inner();
    assert_eq!(
        (again.reason.as_str(), again.details.as_deref()),
        ("added", Some("wants none"))
    );
    let wrong = services.suppressions.add_suppression(add("nobody", Some(" "))).await;
    assert_eq!(refusal(wrong), Reason::InvalidRequest);

    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let list = ListSuppressionsRequest {
            page_size: 2,
            page_token: token,
        };
        let page = services
            .suppressions
            .list_suppressions(as_bearer(&admin, list))
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.suppressions.into_iter().map(|suppression| suppression.address));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(
        seen,
        ["driver2@example.org", "driver1@example.org", "driver0@example.org"]
    );
    services.rig.sign_up("driver1").await;
    eventually("it is not sent", || async {
        services.rig.messages("suppressed").await == 1
    })
    .await;
    assert_eq!(services.audited().await.len(), 3);
    let list = as_bearer(&services.operator, ListSuppressionsRequest::default());
    assert_eq!(
        refusal(services.suppressions.list_suppressions(list).await),
        Reason::PermissionDenied
    );
    services.rig.stop().await;
}

#[tokio::test]
async fn each_attempt_stays_with_what_it_ran_into() {
    let server = SmtpServer::start().await;
    let mut services = start(&server).await;
    services.rig.sign_up("busy").await;
    eventually("it waits", || async { services.rig.messages("queued").await == 1 }).await;
    services.rig.clock.forward(chrono::TimeDelta::minutes(1));
    services.rig.sent(3).await;
    let list = ListMessagesRequest {
        recipient: Some("busy@example.org".to_owned()),
        ..Default::default()
    };
    let listed = services
        .email
        .list_messages(as_bearer(&services.admin, list))
        .await
        .unwrap()
        .into_inner();
    let id = listed.messages[0].id.clone();
    let get = as_bearer(&services.admin, voltgate_proto::email::v1::GetMessageRequest { id });
    let message = services.email.get_message(get).await.unwrap().into_inner();
    let history: Vec<_> = message
        .history
        .iter()
        .map(|attempt| (attempt.number, attempt.outcome.as_str(), attempt.error.as_deref()))
        .collect();
    let busy = Some("RCPT was answered with 451: 4.7.1 come again later");
    assert_eq!(history, [(1, "postponed", busy), (2, "sent", None)]);
    services.rig.stop().await;
}
