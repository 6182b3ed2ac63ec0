//! Each service, and all of them through the gateway, reached by a gRPC client that knows them by reflection alone.

use e2e::all_in_one::{ADMIN_PASSWORD, Voltgate};
use e2e::python::Script;
use serde_json::{Value, json};

async fn reflect(arguments: &[&str]) -> Value {
    let mut script = Script::start("reflect.py", arguments);
    let answer = script.next().await;
    script.finish().await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_lists_itself_in_both_versions_of_reflection_and_says_that_it_serves() {
    let voltgate = Voltgate::start().await;
    for (setting, service) in [
        ("AUTH_LISTEN", "voltgate.auth.v1.AuthService"),
        ("CHARGER_LISTEN", "voltgate.ocpp.v1.TransactionService"),
        ("EMAIL_LISTEN", "voltgate.email.v1.EmailService"),
    ] {
        let address = voltgate.address(setting);
        for version in ["v1", "v1alpha"] {
            let services = reflect(&[address, version, "list"]).await;
            let services = services.as_array().unwrap();
            assert!(
                services.contains(&json!(service)),
                "{service} is missing in {services:?}"
            );
        }
        let request = json!({ "service": service }).to_string();
        let health = reflect(&[address, "v1", "grpc.health.v1.Health/Check", &request]).await;
        assert_eq!(health["answer"]["status"], "SERVING");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn access_rules_hold_for_a_grpc_client_too() {
    let voltgate = Voltgate::start().await;
    let (auth, charger) = (voltgate.address("AUTH_LISTEN"), voltgate.address("CHARGER_LISTEN"));

    let body = json!({ "username": "ada@example.com", "password": "correct horse battery" }).to_string();
    let driver = reflect(&[auth, "v1", "voltgate.auth.v1.AuthService/SignUp", &body]).await;
    let driver = driver["answer"]["accessToken"].as_str().unwrap();
    let body = json!({ "username": "admin", "password": ADMIN_PASSWORD }).to_string();
    let admin = reflect(&[auth, "v1alpha", "voltgate.auth.v1.AuthService/LogIn", &body]).await;
    let admin = admin["answer"]["accessToken"].as_str().unwrap();

    let profile = "voltgate.auth.v1.ProfileService/GetProfile";
    assert_eq!(reflect(&[auth, "v1", profile, "{}"]).await["code"], "UNAUTHENTICATED");
    assert_eq!(
        reflect(&[auth, "v1", profile, "{}", driver]).await["answer"]["username"],
        "ada@example.com"
    );

    let transactions = "voltgate.ocpp.v1.TransactionService/ListTransactions";
    assert_eq!(
        reflect(&[charger, "v1", transactions, "{}"]).await["code"],
        "UNAUTHENTICATED"
    );
    assert_eq!(
        reflect(&[charger, "v1", transactions, "{}", driver]).await["code"],
        "PERMISSION_DENIED"
    );
    assert_eq!(reflect(&[charger, "v1", transactions, "{}", admin]).await["code"], "OK");

    let session = "voltgate.ocpp.v1.SessionService/Open";
    let open = json!({ "open": { "identity": "CP1" } }).to_string();
    assert_eq!(
        reflect(&[charger, "v1", session, &open, admin]).await["code"],
        "PERMISSION_DENIED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_speaks_grpc_for_everything_behind_it() {
    let voltgate = Voltgate::start().await;
    let gateway = voltgate.address("GATEWAY_LISTEN");
    for version in ["v1", "v1alpha"] {
        let services = reflect(&[gateway, version, "list"]).await;
        let services = services.as_array().unwrap();
        for service in [
            "voltgate.auth.v1.AuthService",
            "voltgate.ocpp.v1.TransactionService",
            "voltgate.email.v1.EmailService",
            "grpc.health.v1.Health",
        ] {
            assert!(
                services.contains(&json!(service)),
                "{service} is missing in {services:?}"
            );
        }
        assert!(!services.contains(&json!("voltgate.ocpp.v1.SessionService")));
    }
    for service in ["", "voltgate.email.v1.EmailService"] {
        let request = json!({ "service": service }).to_string();
        let health = reflect(&[gateway, "v1", "grpc.health.v1.Health/Check", &request]).await;
        assert_eq!(health["answer"]["status"], "SERVING", "{service}");
    }

    let wrong = json!({ "username": "admin", "password": "a wrong password" }).to_string();
    let log_in = "voltgate.auth.v1.AuthService/LogIn";
    assert_eq!(
        reflect(&[gateway, "v1", log_in, &wrong]).await["code"],
        "UNAUTHENTICATED"
    );
    let body = json!({ "username": "admin", "password": ADMIN_PASSWORD }).to_string();
    let admin = reflect(&[gateway, "v1", log_in, &body]).await;
    let admin = admin["answer"]["accessToken"].as_str().unwrap();
    let create = "voltgate.ocpp.v1.ChargePointService/CreateChargePoint";
    let body = json!({ "identity": "CP1" }).to_string();
    let created = reflect(&[gateway, "v1", create, &body, admin]).await;
    assert_eq!(created["answer"]["registrationStatus"], "Accepted");
    let again = reflect(&[gateway, "v1", create, &body, admin]).await;
    assert_eq!(again["code"], "ALREADY_EXISTS");
    assert_eq!(
        reflect(&[gateway, "v1", create, &body]).await["code"],
        "UNAUTHENTICATED"
    );
}
