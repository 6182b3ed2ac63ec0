//! Codes that come by mail, from the request to their use, with services killed on the way. Afterwards nothing holds them.

use e2e::processes::Processes;
use e2e::wait::until;
use serde_json::json;
use testbed::Proxy;

const USERNAME: &str = "Ada";
const ADDRESS: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery";
const NEW_PASSWORD: &str = "a sound of distant thunder";

/// All four, talkative, with auth-service's connection to RabbitMQ through a proxy.
async fn start() -> (Processes, Proxy) {
    let mut processes = Processes::prepare().await;
    for environment in processes.environments.values_mut() {
        environment.insert("LOG_FILTER".to_owned(), "debug".to_owned());
    }
    let proxy = Proxy::start(processes.broker.address()).await;
    let url = processes.broker.url_at(proxy.address());
    processes.set("auth-service", "AMQP_URL", url);
    processes.start_all().await;
    (processes, proxy)
}

async fn sign_up(processes: &Processes) {
    let body = json!({ "username": USERNAME, "password": PASSWORD, "email": ADDRESS });
    processes.api().post("/auth/signup", &body).await.expect(201);
}

/// The code in a mail: a line of its own, indented.
fn code_in(mail: &str) -> &str {
    let is_code = |text: &&str| {
        text.len() == 43
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let indented = mail.lines().filter_map(|line| line.strip_prefix("    "));
    indented.map(str::trim_end).find(is_code).expect("the mail has a code")
}

/// Waits for the mail with this subject.
async fn mail(processes: &Processes, subject: &str) -> String {
    let line = format!("Subject: {subject}");
    until(&format!("there is a mail: {subject}"), async || {
        let mut mails = processes.mail.mails().into_iter();
        mails.find(|mail| mail.lines().any(|one| one.trim_end() == line))
    })
    .await
}

/// The same, and waits until everything that is to be sent has been, and checks that it came once.
async fn only_mail(processes: &Processes, subject: &str) -> String {
    let mail = mail(processes, subject).await;
    let line = format!("Subject: {subject}");
    let mails = processes.settled_mails().await;
    let of_this_subject = mails
        .iter()
        .filter(|mail| mail.lines().any(|one| one.trim_end() == line));
    assert_eq!(of_this_subject.count(), 1, "{mails:?}");
    mail
}

/// Looks everywhere for what must be nowhere, and makes sure that it looked.
async fn assert_gone(processes: &Processes, code: &str) {
    assert_eq!(processes.tables_with(code).await, Vec::<String>::new());
    assert_eq!(processes.queues_with(code).await, Vec::<String>::new());
    assert_eq!(processes.logs_with(code), Vec::<String>::new());

    let tables = processes.tables_with(ADDRESS).await;
    assert!(
        tables.iter().any(|table| table == "authentication.outbox"),
        "{tables:?}"
    );
    let queues = processes.queues_with(ADDRESS).await;
    assert!(
        queues.iter().any(|queue| queue == "voltgate.events.archive"),
        "{queues:?}"
    );
    assert!(!processes.logs_with("An event is taken in").is_empty());
}

async fn unsent_events(processes: &Processes) -> i64 {
    processes
        .count("SELECT count(*) FROM authentication.outbox WHERE sent_at IS NULL")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_confirms_an_address_whoever_is_killed_on_its_way() {
    let (mut processes, proxy) = start().await;
    proxy.refuse().await;
    proxy.cut().await;
    sign_up(&processes).await;
    assert!(unsent_events(&processes).await > 0, "the code is in the outbox");
    processes.kill("auth-service").await;
    processes.kill("email-service").await;

    proxy.resume().await;
    processes.start_one("auth-service").await;
    until("the code is in the queue", async || {
        (unsent_events(&processes).await == 0).then_some(())
    })
    .await;
    processes.start_one("email-service").await;
    let mail = only_mail(&processes, "Confirm your mail address").await;
    assert!(mail.contains(&format!("To: {ADDRESS}")), "{mail}");
    let code = code_in(&mail).to_owned();

    let ada = processes.api().log_in(USERNAME, PASSWORD).await;
    assert_eq!(ada.get("/auth/profile").await.expect(200)["emailVerified"], false);
    let body = json!({ "code": code });
    assert_eq!(processes.api().post("/auth/email/verify", &body).await.status, 204);
    assert_eq!(ada.get("/auth/profile").await.expect(200)["emailVerified"], true);
    let again = processes.api().post("/auth/email/verify", &body).await;
    assert_eq!(again.json()["reason"], "INVALID_EMAILED_CODE");

    assert_gone(&processes, &code).await;
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_replaced_whoever_is_killed_meanwhile() {
    let (mut processes, proxy) = start().await;
    sign_up(&processes).await;
    only_mail(&processes, "Confirm your mail address").await;
    let session = json!({ "username": USERNAME, "password": PASSWORD });
    let session = processes.api().post("/auth/login", &session).await.expect(201);
    let ada = processes.api().log_in(USERNAME, PASSWORD).await;

    until("every event so far is published", async || {
        (unsent_events(&processes).await == 0).then_some(())
    })
    .await;
    // The confirm does not come back, so the event is published once more by the one that is started again.
    proxy.hold_to_client().await;
    let forgot = processes
        .api()
        .post("/auth/password/forgot", &json!({ "email": ADDRESS }))
        .await;
    assert_eq!(forgot.status, 204, "{}", forgot.text);
    let code = code_in(&mail(&processes, "Set a new password").await).to_owned();
    until("the mail is known to be sent", async || {
        (processes
            .count("SELECT count(*) FROM email.message WHERE template = 'reset-password' AND status = 'sent'")
            .await
            == 1)
            .then_some(())
    })
    .await;
    assert_eq!(
        processes.tables_with(&code).await,
        ["authentication.outbox"],
        "not known to be published"
    );
    processes.kill("auth-service").await;
    processes.kill("email-service").await;
    proxy.resume().await;
    processes.start_one("auth-service").await;
    processes.start_one("email-service").await;
    assert_eq!(code_in(&only_mail(&processes, "Set a new password").await), code);

    let api = processes.api();
    until("auth-service can be reached again", async || {
        (api.get("/health").await.status == 200).then_some(())
    })
    .await;
    let body = json!({ "code": code, "newPassword": NEW_PASSWORD });
    let reset = api.post("/auth/password/reset", &body).await;
    assert_eq!(reset.status, 204, "{}", reset.text);
    let old = json!({ "username": USERNAME, "password": PASSWORD });
    api.post("/auth/login", &old).await.problem(401, "INVALID_CREDENTIALS");
    until("its sessions are over", async || {
        (ada.get("/auth/profile").await.status == 401).then_some(())
    })
    .await;
    let refreshed = api
        .post("/auth/refresh", &json!({ "refreshToken": session["refreshToken"] }))
        .await;
    assert_eq!(refreshed.status, 401, "{}", refreshed.text);
    api.log_in(USERNAME, NEW_PASSWORD).await;
    assert_eq!(
        api.post("/auth/password/reset", &body).await.json()["reason"],
        "INVALID_EMAILED_CODE"
    );

    only_mail(&processes, "Your password was changed").await;
    only_mail(&processes, "Set a new password").await;
    let shown = processes.admin().await.get("/email/messages").await;
    assert_eq!(shown.status, 200);
    assert!(shown.text.contains("reset-password") && !shown.text.contains(&code));
    assert_gone(&processes, &code).await;
    processes.stop().await;
}
