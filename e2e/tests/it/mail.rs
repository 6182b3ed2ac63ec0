//! Mail over REST, as administrators and clients of the earlier API see it.

use e2e::all_in_one::Voltgate;
use e2e::wait::until;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_looked_at_written_and_sent_again_over_rest() {
    let voltgate = Voltgate::start().await;
    let admin = voltgate.admin().await;
    let body = json!({ "username": "ada@example.com", "password": "correct horse battery" });
    voltgate.api().post("/auth/signup", &body).await.expect(201);
    let welcome = until("the welcome is sent", async || {
        let sent = admin
            .get("/email/messages?template=welcome&status=sent")
            .await
            .expect(200);
        sent["messages"].get(0).cloned()
    })
    .await;
    let id = welcome["id"].as_str().unwrap();
    let message = admin.get(&format!("/email/messages/{id}")).await.expect(200);
    assert_eq!(message["history"][0]["outcome"], "sent");
    let again = admin
        .post(&format!("/email/messages/{id}/resend"), &json!({}))
        .await
        .expect(201);
    assert_eq!(again["resendOf"], welcome["id"]);

    let letter =
        json!({ "recipient": "ada@example.com", "subject": "Works on Monday", "paragraphs": ["there are works."] });
    admin.post("/email/messages", &letter).await.expect(201);
    until("the letter is written", async || {
        voltgate
            .mails()
            .into_iter()
            .find(|mail| mail.contains("Subject: Works on Monday"))
    })
    .await;
    admin
        .post(
            "/email/messages",
            &json!({ "recipient": "ada", "subject": "", "paragraphs": [] }),
        )
        .await
        .problem(400, "INVALID_REQUEST");

    let preview = admin
        .get("/email/templates/welcome/preview?language=de")
        .await
        .expect(200);
    assert_eq!(preview["subject"], "Willkommen bei Voltgate");
    let lists = [
        ("/email/suppressions", "suppressions"),
        ("/email/dead-letters", "deadLetters"),
        ("/email/webhooks", "webhooks"),
        ("/email/subscriptions", "subscriptions"),
    ];
    for (path, list) in lists {
        assert_eq!(admin.get(path).await.expect(200)[list], json!([]), "{path}");
    }
    let audit = admin.get("/email/audit").await.expect(200);
    assert_eq!(audit["entries"][0]["action"], "message.written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_earlier_api_has_people_welcomed() {
    let voltgate = Voltgate::start().await;
    let admin = voltgate.admin().await;
    for (path, address) in [
        ("/email/signup", "ada@example.com"),
        ("/email/event/user-created", "joan@example.com"),
    ] {
        assert_eq!(admin.post(path, &json!({ "email": address })).await.status, 204);
        let to = format!("To: {address}");
        until("the welcome is written", async || {
            voltgate
                .mails()
                .into_iter()
                .find(|mail| mail.contains(&to) && mail.contains("Subject: Welcome"))
        })
        .await;
        voltgate
            .api()
            .post(path, &json!({ "email": address }))
            .await
            .problem(401, "MISSING_CREDENTIALS");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_up_is_written_to_in_the_language_of_their_browser_until_they_choose_another() {
    let voltgate = Voltgate::start().await;
    let body = json!({ "username": "ada@example.com", "password": "correct horse battery" });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let signup = client
        .post(format!("http://{}/auth/signup", voltgate.api().gateway()))
        .header("accept-language", "de-AT,de;q=0.9,en;q=0.5")
        .json(&body);
    assert_eq!(signup.send().await.unwrap().status().as_u16(), 201);
    until("it is in German", async || {
        voltgate
            .mails()
            .into_iter()
            .find(|mail| mail.contains("Subject: Willkommen bei Voltgate"))
    })
    .await;
    let ada = voltgate.api().log_in("ada@example.com", "correct horse battery").await;
    assert_eq!(ada.get("/auth/profile").await.expect(200)["language"], "de-AT");
    let profile = ada
        .patch("/auth/profile", &json!({ "language": "en" }))
        .await
        .expect(200);
    assert_eq!(profile["language"], "en");
    ada.patch("/auth/profile", &json!({ "language": "../en" }))
        .await
        .problem(400, "INVALID_REQUEST");
}
