//! The few paths that are the gateway's own (`crate::edge`), which no proto describes.

use serde_json::{Value, json};
use service_kit::reason::Reason;
use voltgate_proto::api::v1 as api;

use super::{failures, headers};

pub const TAG: &str = "Gateway";

/// What stands under the tag.
pub const TEXT: &str = "The gateway itself: whether it works, and its documentation.";

/// The operations, each with its path. All of them are `GET`.
pub fn operations() -> [(&'static str, Value); 7] {
    [
        (
            "/health",
            operation(
                "health",
                "Whether every service behind the gateway works",
                "200 where all of them serve, 503 where one does not, as it was found within the last second. For people and dashboards: a load balancer should \
                 ask `/readyz`, which depends on no service that was not named for it.",
                json!({
                    "200": report("Every service serves.", "SERVING"),
                    "503": report("A service does not serve.", "UNREACHABLE"),
                }),
            ),
        ),
        (
            "/livez",
            operation(
                "livez",
                "Whether the process answers",
                "",
                json!({"200": text("It does.", "ok\n")}),
            ),
        ),
        (
            "/readyz",
            operation(
                "readyz",
                "Whether the process wants new work",
                "For load balancers. Says which services do not serve, as it was found within the last second, and depends on those only \
                 that the gateway was told to need.",
                json!({
                    "200": text("It does.", "ready\n"),
                    "503": text("It is about to stop, or a service that it needs does not serve.", "draining\n"),
                }),
            ),
        ),
        (
            "/openapi.json",
            operation(
                "openapi",
                "This document",
                "",
                json!({"200": answer("OpenAPI 3.1.", "application/json", json!({"schema": {"type": "object"}}))}),
            ),
        ),
        (
            "/docs",
            operation(
                "docs",
                "Leads to the documentation for people",
                "",
                json!({"308": moved()}),
            ),
        ),
        (
            "/docs/",
            operation(
                "docsPage",
                "The documentation for people",
                "",
                json!({"200": answer("A page.", "text/html", json!({"schema": {"type": "string"}}))}),
            ),
        ),
        ("/docs/{file}", file()),
    ]
}

/// The schema of `GET /health`.
pub fn health() -> Value {
    let status = json!({
        "type": "string",
        "enum": ["SERVING", "NOT_SERVING", "UNREACHABLE"],
        "description": "`NOT_SERVING`: it answers, and says that it does not serve, such as while it stops.",
    });
    json!({
        "type": "object",
        "required": ["status", "services"],
        "properties": {
            "status": {"allOf": [&status], "description": "The worst of all services."},
            "services": {"type": "object", "description": "By name.", "additionalProperties": status},
        },
    })
}

fn operation(id: &str, summary: &str, description: &str, responses: Value) -> Value {
    json!({
        "operationId": format!("{TAG}.{id}"),
        "tags": [TAG],
        "summary": summary,
        "description": description,
        "security": [],
        "responses": responses,
    })
}

fn file() -> Value {
    let responses = failures::of_reasons([Reason::NotFound, Reason::Internal], &api::Endpoint::default());
    let mut operation = operation("docsFile", "A part of the page", "", responses.into());
    operation["responses"]["200"] = answer("The file.", "*/*", json!({"schema": {}}));
    operation["parameters"] = json!([{
        "name": "file",
        "in": "path",
        "required": true,
        "schema": {"type": "string", "minLength": 1},
        "example": "swagger-ui.css",
    }]);
    operation
}

fn report(description: &str, status: &str) -> Value {
    let example = json!({"status": status, "services": {"auth": "SERVING", "email": "SERVING", "ocpp": status}});
    let schema = json!({"$ref": "#/components/schemas/Health"});
    answer(
        description,
        "application/json",
        json!({"schema": schema, "example": example}),
    )
}

fn text(description: &str, example: &str) -> Value {
    let content = json!({"schema": {"type": "string"}, "example": example});
    answer(description, "text/plain", content)
}

fn moved() -> Value {
    json!({"description": "The page is at `/docs/`.", "headers": headers::of_answer(["Location"])})
}

fn answer(description: &str, media_type: &str, content: Value) -> Value {
    json!({"description": description, "headers": headers::of_answer([]), "content": {media_type: content}})
}
