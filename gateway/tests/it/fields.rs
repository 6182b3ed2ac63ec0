//! `fields`: those members of an answer that a client wants.

use serde_json::{Value, json};

use crate::listed::Listed;
use crate::system::read;

async fn body(listed: &Listed, path: &str, accept: &str) -> Value {
    let told = read(listed.get(path, accept).await).await;
    assert_eq!(told["status"], 200, "{told}");
    told["body"].clone()
}

const JSON: &str = "application/json";

#[tokio::test]
async fn an_answer_has_the_members_that_are_asked_for() {
    let listed = Listed::start().await;
    for (path, expected) in [
        ("/rows/x?fields=id", json!({"id": "7"})),
        (
            "/rows/x?fields=inner.number,text",
            json!({"inner": {"number": 7}, "text": "a \"b\", c"}),
        ),
        (
            "/rows/x?fields=inner.word,inner,id",
            json!({"id": "7", "inner": {"number": 7, "word": "=cmd"}}),
        ),
        ("/rows/x?fields=document", json!({"document": {"a": 1.0}})),
        ("/inners/x?fields=word", json!({"word": "=cmd"})),
    ] {
        assert_eq!(body(&listed, path, JSON).await, expected, "{path}");
    }
}

#[tokio::test]
async fn of_a_list_they_are_those_of_a_row_in_every_form() {
    let listed = Listed::start().await;
    let path = "/topics/2/rows?fields=id,inner.word";
    let rows = json!([{"id": "0"}, {"id": "1", "inner": {"word": "=cmd"}}]);
    let expected = json!({"rows": rows, "nextPageToken": "", "total": 2});
    assert_eq!(body(&listed, path, JSON).await, expected);
    assert_eq!(
        body(&listed, path, "text/csv").await,
        "id,inner.word\r\n0,\r\n1,'=cmd\r\n"
    );
    let lines = "{\"id\":\"0\"}\n{\"id\":\"1\",\"inner\":{\"word\":\"=cmd\"}}\n";
    assert_eq!(body(&listed, path, "application/x-ndjson").await, lines);
}

#[tokio::test]
async fn what_the_answer_does_not_have_is_told_by_name_with_everything_else_that_is_wrong() {
    let listed = Listed::start().await;
    let told = read(
        listed
            .get("/topics/2/rows?fields=id,nope,inner.x,rows&pageSize=x", JSON)
            .await,
    )
    .await;
    assert_eq!(told["status"], 400);
    let errors = told["body"]["errors"].as_array().unwrap();
    let fields: Vec<_> = errors.iter().filter(|error| error["field"] == "fields").collect();
    let named: Vec<_> = fields.iter().map(|error| error["message"].as_str().unwrap()).collect();
    let expected = ["nope", "inner.x", "rows"].map(|path| format!("has `{path}`, which the answer does not have"));
    assert_eq!(named, expected);
    assert!(errors.iter().any(|error| error["field"] == "pageSize"), "{told}");
    for query in ["fields=", "fields=id,", "fields=id&fields=text", "fields=%ff"] {
        let told = read(listed.get(&format!("/rows/x?{query}"), JSON).await).await;
        assert_eq!(told["status"], 400, "{query}");
        assert_eq!(told["body"]["errors"][0]["field"], "fields", "{query}");
    }
    // Where an answer has no members to choose from, there is no such parameter.
    let told = read(listed.get("/words/x?fields=text", JSON).await).await;
    assert_eq!(
        told["body"]["errors"][0]["message"],
        "is not a parameter of this endpoint"
    );
}
