//! When an account is deleted at auth-service, what charger-service knows of its owner goes too, by whatever bus it hears of it.

use e2e::all_in_one::Voltgate;
use e2e::api::Api;
use e2e::processes::Processes;
use e2e::wait::until;
use serde_json::{Value, json};

/// The entries of the audit log of charge points that an account made, as an administrator sees them.
async fn entries(admin: &Api, account: &Value) -> Vec<Value> {
    let path = format!("/ocpp/audit?actorId={}", account.as_str().unwrap());
    let page = admin.get(&path).await.expect(200);
    page["entries"].as_array().unwrap().clone()
}

async fn is_erased_at_both_services(admin: &Api) {
    let password = "correct horse battery";
    let ada = json!({ "username": "ada@example.com", "password": password, "roles": ["operator"] });
    let id = admin.post("/auth/users", &ada).await.expect(201)["id"].clone();
    let operator = admin.log_in("ada@example.com", password).await;
    let charge_point = json!({ "identity": "CP-1" });
    operator.post("/ocpp/charge-points", &charge_point).await.expect(201);
    let before = entries(admin, &id).await;
    assert_eq!(before.len(), 1);
    assert_eq!(before[0]["address"], "127.0.0.1");

    let erasure = json!({ "password": password });
    assert_eq!(operator.post("/auth/profile/erasure", &erasure).await.status, 204);
    let after = until("the log says less", async || {
        let entries = entries(admin, &id).await;
        entries[0]["address"].is_null().then_some(entries)
    })
    .await;
    assert_eq!(after.len(), 1);
    assert!(after[0]["device"].is_null());
    for field in ["id", "at", "action", "actorId", "chargePoint"] {
        assert_eq!(after[0][field], before[0][field], "{field}");
    }
    let dead = admin.get("/ocpp/dead-letters").await.expect(200);
    assert_eq!(dead["deadLetters"], json!([]));
    let nowhere = "/ocpp/dead-letters/01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e99";
    admin.get(nowhere).await.problem(404, "NOT_FOUND");
    admin
        .post(&format!("{nowhere}/redrive"), &json!({}))
        .await
        .problem(404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_charge_points_forgets_where_a_deleted_account_was_over_rabbitmq() {
    let processes = Processes::start().await;
    is_erased_at_both_services(&processes.admin().await).await;
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_charge_points_forgets_where_a_deleted_account_was_in_one_process() {
    let voltgate = Voltgate::start().await;
    is_erased_at_both_services(&voltgate.admin().await).await;
}
