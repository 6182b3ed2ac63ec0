//! The services as separate processes.

use e2e::processes::{Processes, SERVICES, somebody, welcomed_once};
use serde_json::json;
use sqlx::{Connection, PgConnection};

#[tokio::test(flavor = "multi_thread")]
async fn a_signup_goes_through_rabbitmq_to_the_mail_server_once() {
    let processes = Processes::start().await;
    processes.api().post("/auth/signup", &somebody()).await.expect(201);
    let mails = processes.settled_mails().await;
    welcomed_once(&mails, "ada@example.com");
    for part in ["To: ada@example.com", "text/plain", "text/html"] {
        assert!(mails[0].contains(part), "{part} is missing in:\n{}", mails[0]);
    }
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_completes_across_processes() {
    let processes = Processes::start().await;
    crate::charge::complete_a_charge(&processes.admin().await).await;
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_takes_no_other_with_it() {
    let mut processes = Processes::start().await;
    let operator = processes.admin().await;
    processes.kill("email-service").await;
    let health = e2e::wait::until("the gateway says that it is down", async || {
        let health = operator.get("/health").await;
        (health.status == 503).then(|| health.json())
    })
    .await;
    assert_eq!(
        (&health["services"]["auth"], &health["services"]["ocpp"]),
        (&json!("SERVING"), &json!("SERVING"))
    );
    assert_ne!(health["services"]["email"], "SERVING");
    operator.get("/email/messages").await.problem(503, "UNAVAILABLE");
    operator.get("/ocpp/transactions").await.expect(200);
    processes.start_one("email-service").await;
    e2e::wait::until("email is back", async || {
        (operator.get("/email/messages").await.status == 200).then_some(())
    })
    .await;
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_a_service_reaches_its_own_schema_only() {
    let processes = Processes::start().await;
    for (role, own, foreign) in [
        ("voltgate_auth", "authentication.account", "ocpp.charge_point"),
        ("voltgate_charger", "ocpp.charge_point", "email.message"),
        ("voltgate_email", "email.message", "authentication.account"),
    ] {
        let mut connection = PgConnection::connect(&processes.url_as(role)).await.unwrap();
        let select = |table: &str| sqlx::AssertSqlSafe(format!("SELECT FROM {table}"));
        sqlx::raw_sql(select(own)).execute(&mut connection).await.unwrap();
        let refused = sqlx::raw_sql(select(foreign))
            .execute(&mut connection)
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_shows_its_metrics() {
    let processes = Processes::start().await;
    for (service, ..) in SERVICES {
        let url = format!("http://{}/metrics", processes.environments[service]["ADMIN_LISTEN"]);
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{service}");
    }
    processes.stop().await;
}
