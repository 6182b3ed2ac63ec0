//! Ending, in good order and otherwise, and starting again.

use std::path::Path;

use e2e::all_in_one::{ADMIN_PASSWORD, Voltgate};
use e2e::processes::welcomed_once;
use e2e::wait::until;
use serde_json::json;

/// Whether a PostgreSQL server runs under this process id.
fn is_postgres(id: u32) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("comm"))
        .is_ok_and(|name| name.trim() == "postgres")
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_right_after_a_signup_loses_nothing_and_repeats_nothing() {
    let mut voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    operator
        .post("/ocpp/charge-points", &json!({ "identity": "CP1" }))
        .await
        .expect(201);
    let postgres = voltgate.postgres();
    let body = json!({ "username": "ada@example.com", "password": "correct horse battery" });
    voltgate.api().post("/auth/signup", &body).await.expect(201);
    voltgate.process.kill().await;
    until("the killed process's PostgreSQL is gone", async || {
        (!is_postgres(postgres)).then_some(())
    })
    .await;

    voltgate.start_again().await;
    let operator = voltgate.admin().await;
    operator.get("/ocpp/charge-points/CP1").await.expect(200);
    voltgate.api().log_in("ada@example.com", "correct horse battery").await;
    until("the mails are sent", async || {
        let messages = operator.get("/email/messages?status=sent").await;
        // The token may be older than five minutes on a very slow machine; then there is nothing to read.
        (messages.status == 200 && messages.json()["messages"].as_array()?.len() == 2).then_some(())
    })
    .await;
    voltgate.process.stop().await;
    welcomed_once(&voltgate.mails(), "ada@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn either_signal_stops_everything_postgresql_included() {
    let mut voltgate = Voltgate::start().await;
    for signal in ["TERM", "INT"] {
        let postgres = voltgate.postgres();
        assert!(is_postgres(postgres));
        let status = voltgate.process.signal(signal).await;
        assert!(status.success(), "{signal}: {status}\n{}", voltgate.process.log());
        assert!(!is_postgres(postgres), "{signal} left PostgreSQL behind");
        voltgate.start_again().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_password_is_printed_at_the_first_start_only() {
    let mut voltgate = Voltgate::start_with(&[]).await;
    let printed = voltgate.process.output();
    let line = printed
        .lines()
        .find(|line| line.trim_start().starts_with("Password"))
        .expect("the password is printed");
    let password = line
        .split_whitespace()
        .nth(1)
        .expect("it stands behind its label")
        .to_owned();
    assert_ne!(password, ADMIN_PASSWORD);
    voltgate.api().log_in("admin", &password).await;
    voltgate.process.stop().await;

    voltgate.start_again().await;
    voltgate.api().log_in("admin", &password).await;
    assert_eq!(
        voltgate.process.output().matches(&password).count(),
        1,
        "the output of both starts is in one file"
    );
    assert!(
        !voltgate.process.log().contains(&password),
        "a password is never logged"
    );
}
