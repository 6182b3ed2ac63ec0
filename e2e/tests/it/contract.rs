//! The OpenAPI document, held against its own standard and against the running system.

use std::path::Path;
use std::time::Duration;

use e2e::all_in_one::Voltgate;
use e2e::python::{Script, run};
use serde_json::json;

use crate::charge::complete_a_charge;
use crate::strays::leave_a_stray;

/// Another one finds other things; this one finds the same again.
const SEED: &str = "20260131";

/// How long schemathesis may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_openapi_3_1_and_its_examples_are_valid() {
    let voltgate = Voltgate::start().await;
    let document = voltgate.api().get("/openapi.json").await.expect(200);
    let mut script = Script::start("contract.py", &[]);
    script.tell(&document.to_string()).await;
    let report = script.next().await;
    script.finish().await;
    assert_eq!(report["problems"], json!([]));
    assert!(report["examples"].as_u64() > Some(100), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    // With security profile 0 allowed, as the document says that an installation may.
    let voltgate = Voltgate::start_with(&[
        ("ADMIN_PASSWORD", e2e::all_in_one::ADMIN_PASSWORD),
        ("CHARGER_ALLOW_UNSECURED", "true"),
        // All that it makes up comes from one address.
        ("AUTH_FREE_FAILURES_PER_ADDRESS", "1000000"),
        ("AUTH_FREE_SIGNUPS_PER_ADDRESS", "1000000"),
        ("GATEWAY_RATE_LIMIT", "false"),
    ])
    .await;
    let admin = voltgate.admin().await;
    // Empty lists would say little about what is in them.
    complete_a_charge(&admin).await;
    leave_a_stray(&admin).await;
    let charge_point = json!({ "identity": "CP-1", "password": "a-password-for-CP-1" });
    admin.post("/ocpp/charge-points", &charge_point).await.expect(201);

    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (config, hooks) = (
        folder.join("schemathesis.toml"),
        folder.join("python/schemathesis_hooks.py"),
    );
    let document = format!("http://{}/openapi.json", admin.gateway());
    let arguments = [
        "-m",
        "schemathesis.cli",
        "--no-color",
        "--config-file",
        &config.display().to_string(),
        "run",
        &document,
        "--seed",
        SEED,
        "--checks",
        "all",
        "--continue-on-failure",
    ];
    let environment = [
        ("VOLTGATE_TOKEN", admin.token()),
        ("VOLTGATE_SCHEMATHESIS_HOOKS", &hooks.display().to_string()),
    ];
    eprintln!("schemathesis runs with seed {SEED}");
    let (status, said) = run(&arguments, &environment, PATIENCE).await;
    assert!(
        status.success(),
        "schemathesis found something, with seed {SEED}:\n{said}"
    );
}
