//! What lists give as files comes in again as a file, through the gateway.

use e2e::all_in_one::Voltgate;
use e2e::api::{Answer, Api};
use reqwest::Method;
use serde_json::{Value, json};

async fn export(operator: &Api, path: &str, media_type: &str) -> String {
    let headers = [("accept", media_type)];
    let answer = operator.send(Method::GET, path, &headers, String::new()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text
}

async fn import(operator: &Api, path: &str, media_type: &str, file: &str) -> Answer {
    let headers = [("content-type", media_type)];
    operator.send(Method::POST, path, &headers, file.to_owned()).await
}

/// The rows of a list, by what an import cannot decide left out.
async fn rows(operator: &Api, path: &str, list: &str, but: &[&str]) -> Vec<Value> {
    let mut page = operator.get(path).await.expect(200);
    let mut rows = page[list].as_array_mut().unwrap().clone();
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        row.retain(|member, _| !but.contains(&member.as_str()));
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_and_id_tokens_that_were_exported_are_imported_as_they_were() {
    let voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    for site in [
        json!({"name": "=1+1", "timeZone": "Europe/Berlin", "gridLimitWatts": 250_000, "address": "Am Hafen 1; =2, \"Hamburg\"",
            "groups": ["a, b", "x;=1"]}),
        json!({"name": "Mall"}),
    ] {
        operator.post("/ocpp/sites", &site).await.expect(201);
    }
    let charge_point = json!({"identity": "CP-1", "tags": ["fast", "indoor"], "displayName": "-bay 1"});
    operator.post("/ocpp/charge-points", &charge_point).await.expect(201);
    for token in [
        json!({"idToken": "+49-30", "groupId": "@fleet", "expiresAt": "2031-12-31T23:59:59.5Z", "blocked": true}),
        json!({"idToken": "CARD1", "maxConcurrentTransactions": 2,
            "allowedLocations": [{"identity": "CP-1", "connectorId": 1}, {"identity": "CP-1"}]}),
    ] {
        operator.post("/ocpp/id-tokens", &token).await.expect(201);
    }
    for media_type in ["text/csv", "application/x-ndjson"] {
        for (path, list, name, but) in [
            ("/ocpp/sites", "sites", "id", &["id", "createdAt"][..]),
            ("/ocpp/id-tokens", "idTokens", "idToken", &["createdAt"]),
        ] {
            let before = rows(&operator, path, list, but).await;
            assert_eq!(before.len(), 2);
            let file = export(&operator, path, media_type).await;
            let all = operator.get(path).await.expect(200);
            for row in all[list].as_array().unwrap() {
                let name: String = row[name].as_str().unwrap().replace('+', "%2B");
                let deleted = operator
                    .send(Method::DELETE, &format!("{path}/{name}"), &[], String::new())
                    .await;
                assert_eq!(deleted.status, 200, "{}", deleted.text);
            }
            let imported = import(&operator, &format!("{path}/import"), media_type, &file)
                .await
                .expect(200);
            assert_eq!((&imported["rows"], &imported["created"]), (&json!(2), &json!(2)));
            assert_eq!(rows(&operator, path, list, but).await, before, "{path} {media_type}");
        }
        // A charge point is not deleted, so another one has all that the first has.
        let path = "/ocpp/charge-points";
        let file = export(&operator, "/ocpp/charge-points?search=CP-1", media_type).await;
        let name = if media_type == "text/csv" { "CP-2" } else { "CP-3" };
        let file = file.replace("CP-1", name);
        let imported = import(&operator, &format!("{path}/import"), media_type, &file)
            .await
            .expect(200);
        assert_eq!(imported["passwords"][0]["identity"], name);
        let copy = operator.get(&format!("{path}/{name}")).await.expect(200);
        assert_eq!(
            (&copy["tags"], &copy["displayName"]),
            (&json!(["fast", "indoor"]), &json!("-bay 1"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_errors_reach_the_client_and_what_is_no_such_file_is_refused() {
    let voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    let path = "/ocpp/charge-points/import";
    let file: String = ["identity,displayName\n".to_owned()]
        .into_iter()
        .chain((0..2000).map(|row| format!("transactions,row {row}\n")))
        .collect();
    let problem = import(&operator, path, "text/csv", &file)
        .await
        .problem(400, "INVALID_REQUEST");
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1000);
    assert_eq!(
        errors[0],
        json!({"field": "lines[2].identity", "message": "is the path of something else"})
    );
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.ends_with("and there are 2999 more"), "{detail}");
    let other = import(&operator, path, "application/json", "[]").await;
    other.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let large = format!("identity\n{}", "x".repeat(9 * 1024 * 1024));
    import(&operator, path, "text/csv", &large)
        .await
        .problem(413, "PAYLOAD_TOO_LARGE");
    let checked = import(
        &operator,
        &format!("{path}?dryRun=true"),
        "text/csv",
        "identity\nCP-1\n",
    )
    .await;
    assert_eq!(checked.expect(200), json!({"rows": 1, "created": 0, "passwords": []}));
    operator.get("/ocpp/charge-points/CP-1").await.problem(404, "NOT_FOUND");
}
