//! The HTTP binding of the station's door, where it is switched on.

use serde_json::{Value, json};
use service_kit::reason::Reason;

use super::failures;
use crate::media_type;
use crate::routes::Endpoint;

pub fn operation(door: &Endpoint) -> Value {
    let reasons = [
        Reason::InvalidRequest,
        Reason::NoCommonSubprotocol,
        Reason::StationUnauthorized,
        Reason::PermissionDenied,
        Reason::NotFound,
        Reason::RequestTimeout,
        Reason::PayloadTooLarge,
        Reason::TooManyRequests,
        Reason::Overloaded,
        Reason::Unavailable,
        Reason::Internal,
        Reason::DeadlineExceeded,
    ];
    let mut responses: Value = failures::of_reasons(reasons, &door.options).into();
    // What is no frame is taken too: OCPP says what becomes of it, which in 1.6 is nothing.
    let asked = json!({"schema": {}, "example": [2, "19", "Heartbeat", {}]});
    let answer = json!({
        "schema": {"type": "array"},
        "example": [3, "19", {"currentTime": "2026-01-31T08:15:00Z"}],
    });
    responses["200"] = json!({"description": "The frame that answers it.", "headers": super::headers::of_answer([]), "content": {media_type::JSON: answer}});
    responses["204"] =
        json!({"description": "OCPP has no answer to such a frame.", "headers": super::headers::of_answer([])});
    json!({
        "operationId": "SessionService.Exchange",
        "tags": [door.rpc.parent_service().name()],
        "summary": "One OCPP-J frame, and the frame that answers it",
        "description": "For simulators and curl. No socket comes to be, and the one that the charge point may have goes on.\n\n\
            For charge points, by name and password.",
        "security": [{"chargePoint": []}, {}],
        "parameters": [
            {"name": "identity", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}, "example": "CP-1"},
            {"name": "version", "in": "query", "description": "The version of OCPP, where the header does not name it.",
             "schema": {"type": "string"}, "example": "1.6"},
            {"name": "OCPP-Version", "in": "header", "description": "The version of OCPP.",
             "schema": {"type": "string"}, "example": "1.6"},
        ],
        "requestBody": {
            "required": true,
            "content": {media_type::JSON: asked},
        },
        "responses": responses,
    })
}
