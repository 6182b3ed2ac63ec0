//! Who is turned away before a service is asked.

use insta::assert_snapshot;

use crate::system::{System, show, token, token_that_expires_in};

const PATH: &str = "/ocpp/charge-points/CP-1/commands";

#[tokio::test]
async fn without_credentials_the_answer_says_how_to_get_in() {
    let system = System::start().await;
    assert_snapshot!(show(system.get(PATH).send().await.unwrap()).await);
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_told_so() {
    let system = System::start().await;
    for token in ["nonsense", &token_that_expires_in(-1, &["admin"])] {
        let response = system.get(PATH).bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status(), 401);
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert_eq!(challenge, "Bearer realm=\"voltgate\", error=\"invalid_token\"");
    }
}

#[tokio::test]
async fn a_missing_role_is_not_enough() {
    let system = System::start().await;
    assert_snapshot!(show(system.get(PATH).bearer_auth(token(&["driver"])).send().await.unwrap()).await);
}

#[tokio::test]
async fn a_wrong_password_is_a_401_without_an_error_code() {
    let system = System::start().await;
    let request = system
        .post("/auth/login")
        .json(&serde_json::json!({"username": "a", "password": "b"}));
    assert_snapshot!(show(request.send().await.unwrap()).await);
}

#[tokio::test]
async fn an_expired_token_does_not_keep_anybody_from_logging_in() {
    let system = System::start().await;
    let request = system
        .post("/auth/signup")
        .bearer_auth(token_that_expires_in(-1, &[]))
        .json(&serde_json::json!({"username": "ada"}));
    assert_eq!(request.send().await.unwrap().status(), 201);
}
