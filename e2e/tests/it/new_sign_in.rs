//! A login from a device that an account was never used with reaches its owner as a mail.

use e2e::all_in_one::Voltgate;
use e2e::wait::until;
use reqwest::Method;
use serde_json::json;

const USERNAME: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";

/// Shows the code that came by mail, as somebody does who reads it.
pub async fn confirm_address(voltgate: &Voltgate) {
    let confirm = until("there is a code", async || {
        let mut mails = voltgate.mails().into_iter();
        mails.find(|mail| mail.contains("Confirm your mail address"))
    })
    .await;
    let code = confirm.lines().map(str::trim).find(|line| {
        let is_url_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        line.len() == 43 && line.bytes().all(is_url_safe)
    });
    let verified = voltgate
        .api()
        .post("/auth/email/verify", &json!({ "code": code }))
        .await;
    assert_eq!(verified.status, 204, "{}", verified.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_a_new_device_is_mailed_to_the_owner_and_one_with_a_known_one_is_not() {
    let voltgate = Voltgate::start().await;
    let api = voltgate.api();
    let credentials = json!({ "username": USERNAME, "password": PASSWORD });
    let with = async |path: &str, device: &str, body: &serde_json::Value| {
        let headers = [("content-type", "application/json"), ("user-agent", device)];
        api.send(Method::POST, path, &headers, body.to_string()).await
    };
    with("/auth/signup", "Browser/126.0", &credentials).await.expect(201);
    confirm_address(&voltgate).await;

    with("/auth/login", "Browser/127.0", &credentials).await.expect(201);
    with("/auth/login", "Phone/1.4", &credentials).await.expect(201);
    let told = until("the owner is told", async || {
        let mails = voltgate.mails();
        let told: Vec<_> = mails.into_iter().filter(|mail| mail.contains("Phone/1.4")).collect();
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert!(
        told[0].contains("To: ada@example.com") && told[0].contains("127.0.0.1"),
        "{}",
        told[0]
    );
    let subject = told[0].lines().find(|line| line.starts_with("Subject: ")).unwrap();
    let of_this_subject = voltgate.mails().iter().filter(|mail| mail.contains(subject)).count();
    assert_eq!(of_this_subject, 1, "the browser was known");
}
