//! The pages that say how to add something to Voltgate, followed to the letter.
//!
//! A binary of its own, because it builds: cargo runs it before or after the other end-to-end tests, never beside them.
#![allow(clippy::unwrap_used)]

mod page;
mod security;
mod tree;

use std::path::Path;

use e2e::all_in_one::{ADMIN_PASSWORD, Voltgate};
use e2e::process::free_address;
use e2e::python::Script;
use serde_json::{Value, json};

use page::Page;
use tree::Tree;

const ENDPOINT: &str = include_str!("../../../docs/adding-an-endpoint.md");
const SERVICE: &str = include_str!("../../../docs/adding-a-service.md");

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_and_a_service_come_to_be_by_the_pages_that_say_how() {
    let mut tree = Tree::of_this_workspace();
    for page in [ENDPOINT, SERVICE] {
        for step in Page(page).steps() {
            tree.apply(&step);
        }
    }
    let built = tree.build(&["voltgate", "pricing-service"]);

    let pricing = free_address();
    let settings = [
        ("ADMIN_PASSWORD", ADMIN_PASSWORD),
        ("PRICING_LISTEN", &pricing),
        ("PRICING_CURRENCY", "SEK"),
    ];
    let voltgate = Voltgate::start_program(&built.join("voltgate"), &settings).await;
    the_endpoint_answers(&voltgate).await;
    the_service_answers(&voltgate, &pricing).await;
    it_starts_as_a_process_too(&built, tree.folder()).await;
}

async fn the_endpoint_answers(voltgate: &Voltgate) {
    let operator = voltgate.admin().await;
    let charge_point = json!({"identity": "CP1", "password": "a-password-for-CP1"});
    operator.post("/ocpp/charge-points", &charge_point).await.expect(201);
    let path = "/ocpp/charge-points/CP1/firmware";
    operator.get(path).await.problem(404, "NOT_FOUND");
    voltgate.api().get(path).await.problem(401, "MISSING_CREDENTIALS");

    let url = format!("ws://{}", voltgate.address("GATEWAY_LISTEN"));
    let boot = json!({"chargePointModel": "M", "chargePointVendor": "V", "firmwareVersion": "2.4.1"});
    let boot = json!([2, "1", "BootNotification", boot]).to_string();
    let arguments = [&url, "CP1", "a-password-for-CP1", "ocpp1.6", &boot, "answer"];
    let mut station = Script::start("raw_frames.py", &arguments);
    assert_eq!(station.next().await[2]["status"], "Accepted");
    station.finish().await;

    let firmware = json!({ "version": "2.4.1" });
    assert_eq!(operator.get(path).await.expect(200), firmware);
    let documented = operator.get("/openapi.json").await.expect(200);
    let template = "/ocpp/charge-points/{identity}/firmware";
    assert!(
        documented["paths"][template]["get"].is_object(),
        "{template} is not documented"
    );
    let charger = voltgate.address("CHARGER_LISTEN");
    let call = "voltgate.ocpp.v1.ChargePointService/GetFirmware";
    let request = json!({ "identity": "CP1" }).to_string();
    let answer = reflect(&[charger, "v1", call, &request, operator.token()]).await;
    assert_eq!(answer["answer"], firmware, "{answer}");
}

async fn the_service_answers(voltgate: &Voltgate, pricing: &str) {
    let somebody = voltgate.admin().await;
    let path = "/pricing/estimate?energyWh=30000";
    assert_eq!(
        somebody.get(path).await.expect(200),
        json!({"amount": "13.50", "currency": "SEK"})
    );
    voltgate.api().get(path).await.problem(401, "MISSING_CREDENTIALS");
    let problem = somebody.get("/pricing/estimate").await.problem(400, "INVALID_REQUEST");
    assert_eq!(problem["errors"][0]["field"], "energyWh");

    let documented = somebody.get("/openapi.json").await.expect(200);
    assert!(documented["paths"]["/pricing/estimate"]["get"].is_object());
    assert_eq!(
        somebody.get("/health").await.expect(200)["services"]["pricing"],
        "SERVING"
    );
    let services = reflect(&[pricing, "v1", "list"]).await;
    let name = json!("voltgate.pricing.v1.PricingService");
    assert!(services.as_array().unwrap().contains(&name), "{services}");
}

/// By the command and the settings that the compose file has for it.
async fn it_starts_as_a_process_too(built: &Path, source: &Path) {
    let mut script = Script::start(
        "compose.py",
        &[&source.join("docker-compose.yml").display().to_string()],
    );
    let compose = script.next().await;
    script.finish().await;
    let service = &compose["services"]["pricing-service"];
    let command = service["command"][0].as_str().unwrap();
    let help = std::process::Command::new(built.join(command))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for setting in service["environment"].as_object().unwrap().keys() {
        assert!(help.contains(&format!("[env: {setting}")), "{command} has no {setting}");
    }
    let upstreams = compose["services"]["gateway"]["environment"]["GATEWAY_UPSTREAMS"]
        .as_str()
        .unwrap();
    let listen = service["environment"]["PRICING_LISTEN"].as_str().unwrap();
    let port = listen.rsplit(':').next().unwrap();
    assert!(
        upstreams.contains(&format!("pricing=http://{command}:{port}")),
        "{upstreams}"
    );
}

async fn reflect(arguments: &[&str]) -> Value {
    let mut script = Script::start("reflect.py", arguments);
    let answer = script.next().await;
    script.finish().await;
    answer
}
