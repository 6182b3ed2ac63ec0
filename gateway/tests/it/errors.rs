//! Everything that can be wrong with a request, as its client reads it.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use crate::system::{System, show, token};

async fn signup(system: &System, body: &'static str) -> String {
    let request = system
        .post("/auth/signup")
        .header("content-type", "application/json")
        .body(body);
    show(request.send().await.unwrap()).await
}

#[tokio::test]
async fn malformed_json_is_told_with_its_position() {
    let system = System::start().await;
    assert_snapshot!(signup(&system, "{\n  \"username\": \"ada\",\n  \"password\": }").await);
}

#[tokio::test]
async fn unknown_fields_and_wrong_types_are_told_together_each_with_its_path() {
    let system = System::start().await;
    assert_snapshot!(
        signup(
            &system,
            r#"{"username": 5, "pasword": "x", "email": ["a"], "username": "b"}"#
        )
        .await
    );
}

#[tokio::test]
async fn what_a_service_finds_wrong_is_told_where_the_client_wrote_it() {
    let system = System::start().await;
    assert_snapshot!("violations_in_the_body", signup(&system, "{}").await);
    let request = system
        .post("/ocpp/charge-points/CP-1/commands/Refused?waitSeconds=5")
        .bearer_auth(token(&["operator"]))
        .json(&json!({}));
    assert_snapshot!(
        "violations_in_path_raw_body_and_query",
        show(request.send().await.unwrap()).await
    );
}

#[tokio::test]
async fn query_parameters_are_checked_by_name_and_type() {
    let system = System::start().await;
    let request = system
        .get("/ocpp/charge-points/CP-1/commands?pageSize=many&order=asc")
        .bearer_auth(token(&["admin"]));
    assert_snapshot!(show(request.send().await.unwrap()).await);
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let system = System::start().await;
    assert_snapshot!(show(system.get("/auth/nothing").send().await.unwrap()).await);
    // What gRPC calls an RPC is no path of REST.
    let rpc = system
        .post("/voltgate.ocpp.v1.SessionService/Open")
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(rpc.status(), 404);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let system = System::start().await;
    assert_snapshot!(show(system.get("/auth/signup").send().await.unwrap()).await);
    let request = system.http.request(Method::PATCH, system.url("/ocpp/charge-points"));
    let response = request.send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["allow"].to_str().unwrap()
        ),
        (405, "GET, HEAD, POST, OPTIONS")
    );
    let own = system.post("/health").send().await.unwrap();
    assert_eq!(own.status(), 405);
    assert_eq!(own.headers()["content-type"], "application/problem+json");
    assert!(own.headers()["allow"].to_str().unwrap().contains("GET"));
}

#[tokio::test]
async fn a_path_that_cannot_be_decoded_is_refused() {
    let system = System::start().await;
    let response = system.get("/ocpp/charge-points/%ff").send().await.unwrap();
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn a_wrong_media_type_is_refused() {
    let system = System::start().await;
    let request = system
        .post("/auth/signup")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("a=b");
    assert_snapshot!(show(request.send().await.unwrap()).await);
}

#[tokio::test]
async fn a_raw_document_is_taken_as_json_only() {
    let system = System::start().await;
    for (content_type, status) in [("text/plain", 415), ("application/json; charset=utf-8", 201)] {
        let request = system
            .post("/ocpp/charge-points/CP-1/commands/Any")
            .bearer_auth(token(&["operator"]))
            .header("content-type", content_type)
            .body("{}");
        assert_eq!(request.send().await.unwrap().status(), status, "{content_type}");
    }
}

#[tokio::test]
async fn an_answer_in_no_form_that_the_client_takes_is_not_even_asked_for() {
    let mut system = System::start().await;
    for accept in ["text/html", "application/*;q=0", "application/problem+json"] {
        let request = system
            .post("/auth/signup")
            .header("accept", accept)
            .json(&json!({"username": "ada"}));
        let answer = request.send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (406, &"application/problem+json".parse().unwrap())
        );
    }
    let accept = "text/html;q=0.9, application/json;q=0.1";
    let request = system
        .post("/auth/signup")
        .header("accept", accept)
        .json(&json!({"username": "ada"}));
    assert_eq!(request.send().await.unwrap().status(), 201);
    // Only the last one reached the service.
    assert_eq!(system.peers.metadata().await.get("accept").unwrap(), accept);
}

#[tokio::test]
async fn the_reasons_of_services_have_their_statuses() {
    let system = System::start().await;
    assert_snapshot!("conflict", signup(&system, r#"{"username": "taken"}"#).await);
    assert_snapshot!("overload", signup(&system, r#"{"username": "busy"}"#).await);
    assert_snapshot!("foreign_status", signup(&system, r#"{"username": "broken"}"#).await);
}
