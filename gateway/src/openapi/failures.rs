//! The failures that an endpoint can have, from the catalogue of reasons.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use service_kit::reason::Reason;
use voltgate_proto::api::v1::{self as api, Access};

use super::headers;
use crate::problem;
use crate::routes::{Body, Endpoint, Kind};

/// Where a reason can be met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Met {
    /// At every endpoint.
    Everywhere,
    /// Where a body is read.
    WithBody,
    /// Where a body of JSON is read.
    WithJson,
    /// Where a body may have some media types only.
    WithMediaTypes,
    /// Where an access token is asked for.
    WithToken,
    /// At the door of charge points.
    AtTheDoor,
    /// Where the option `reasons` of the RPC names it.
    WhereNamed,
    /// Where the answer is JSON, so that a client may not take it.
    WithAnswerInJson,
    /// At no operation: with a method that a path does not take, by a gRPC client, or between Voltgate's own processes.
    Elsewhere,
}

/// Without a catch-all arm, so that nobody adds a reason that the document does not know.
fn met(reason: Reason) -> Met {
    match reason {
        Reason::InvalidRequest
        | Reason::Internal
        | Reason::Overloaded
        | Reason::TooManyRequests
        | Reason::Unavailable
        | Reason::DeadlineExceeded => Met::Everywhere,
        Reason::PayloadTooLarge | Reason::RequestTimeout => Met::WithBody,
        Reason::MalformedJson => Met::WithJson,
        Reason::UnsupportedMediaType => Met::WithMediaTypes,
        Reason::NotAcceptable => Met::WithAnswerInJson,
        Reason::InsufficientScope | Reason::InvalidToken | Reason::MissingCredentials | Reason::PermissionDenied => {
            Met::WithToken
        }
        Reason::NoCommonSubprotocol | Reason::StationUnauthorized | Reason::UpgradeRequired => Met::AtTheDoor,
        Reason::AddressSuppressed
        | Reason::CampaignOver
        | Reason::ChargePointExists
        | Reason::ChargePointNotRetired
        | Reason::ChargePointRetired
        | Reason::ChargingProfileTemplateExists
        | Reason::ConnectorCodeExists
        | Reason::ConnectorNotFree
        | Reason::DeadLetterUnreadable
        | Reason::DeliveryNotFailed
        | Reason::FileExists
        | Reason::IdTokenBlocked
        | Reason::IdTokenExists
        | Reason::IdTokenExpired
        | Reason::IdTokenInUse
        | Reason::IdTokenNotAccepted
        | Reason::IdempotencyKeyReused
        | Reason::InvalidChallenge
        | Reason::InvalidCode
        | Reason::InvalidCredentials
        | Reason::InvalidEmailedCode
        | Reason::InvalidRefreshToken
        | Reason::LastAdministrator
        | Reason::MessageNotRepeatable
        | Reason::NoEmail
        | Reason::NoEmailSecret
        | Reason::NoIdToken
        | Reason::NoPublicUrl
        | Reason::NotFound
        | Reason::PasskeyExists
        | Reason::PasskeyRefused
        | Reason::NothingToVerify
        | Reason::PasswordResetRequired
        | Reason::PreconditionFailed
        | Reason::StorageFull
        | Reason::SiteExists
        | Reason::SiteInUse
        | Reason::TariffExists
        | Reason::StrayMisfit
        | Reason::StraySettled
        | Reason::TooManyApiKeys
        | Reason::TooManyChargingProfileTemplates
        | Reason::TooManyPasskeys
        | Reason::TooManySubscriptions
        | Reason::TooManyWebhooks
        | Reason::TotpExists
        | Reason::TransactionStopped
        | Reason::TransactionsOpen
        | Reason::UsernameTaken
        | Reason::WrongCode
        | Reason::WrongPassword => Met::WhereNamed,
        Reason::MethodNotAllowed | Reason::SessionOver | Reason::UnknownRpc => Met::Elsewhere,
    }
}

/// The responses of an endpoint's failures, by status.
pub fn responses(endpoint: &Endpoint) -> Map<String, Value> {
    let reasons = Reason::ALL
        .iter()
        .copied()
        .filter(|reason| is_met_at(*reason, endpoint));
    of_reasons(reasons, &endpoint.options)
}

fn is_met_at(reason: Reason, endpoint: &Endpoint) -> bool {
    let named = endpoint.options.reasons.iter().any(|name| name == reason.as_str());
    let with_token = endpoint.kind != Kind::Door && endpoint.options.access() != Access::Public;
    named
        || match met(reason) {
            Met::Everywhere => true,
            Met::WithBody => !matches!(endpoint.body, Body::None),
            Met::WithJson => takes_json(endpoint),
            Met::WithMediaTypes => takes_json(endpoint) || !endpoint.options.media_types.is_empty(),
            Met::WithAnswerInJson => endpoint.kind != Kind::Door && !endpoint.answer.is_raw(),
            Met::WithToken => with_token,
            Met::AtTheDoor => endpoint.kind == Kind::Door,
            Met::WhereNamed | Met::Elsewhere => false,
        }
}

fn takes_json(endpoint: &Endpoint) -> bool {
    matches!(endpoint.body, Body::Whole | Body::Json(_))
}

/// The responses that belong to no operation, by the names of their reasons.
pub fn elsewhere() -> Map<String, Value> {
    let reasons = Reason::ALL.iter().filter(|reason| met(**reason) == Met::Elsewhere);
    reasons
        .map(|reason| (format!("{reason:?}"), response(reason.http_status(), &[*reason], &[])))
        .collect()
}

/// The responses for some reasons, by status.
pub fn of_reasons(reasons: impl IntoIterator<Item = Reason>, options: &api::Endpoint) -> Map<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<Reason>> = BTreeMap::new();
    for reason in reasons {
        by_status.entry(reason.http_status()).or_default().push(reason);
    }
    let roles: Vec<_> = options.roles().map(super::operation::role_name).collect();
    by_status
        .into_iter()
        .map(|(status, reasons)| (status.to_string(), response(status, &reasons, &roles)))
        .collect()
}

fn response(status: u16, reasons: &[Reason], roles: &[String]) -> Value {
    let told: Vec<_> = reasons.iter().map(|reason| describe(*reason, roles)).collect();
    let names: Vec<_> = reasons.iter().map(|reason| reason.as_str()).collect();
    let schema = json!({
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"status": {"const": status}, "reason": {"enum": names}},
    });
    let examples: Map<_, _> = reasons
        .iter()
        .map(|reason| {
            (
                reason.as_str().to_owned(),
                json!({"summary": reason.title(), "value": example(*reason)}),
            )
        })
        .collect();
    let further: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        405 => &["Allow"],
        429 => &["RateLimit", "RateLimit-Policy", "Retry-After"],
        503 => &["Retry-After"],
        _ => &[],
    };
    json!({
        "description": told.join("\n"),
        "headers": headers::of_answer(further.iter().copied().chain(["Cache-Control"])),
        "content": {problem::MEDIA_TYPE: {"schema": schema, "examples": examples}},
    })
}

fn describe(reason: Reason, roles: &[String]) -> String {
    let line = format!("- `{}`: {}.", reason.as_str(), reason.title());
    if reason == Reason::PermissionDenied && !roles.is_empty() {
        format!("{line} One of these roles is required: {}.", roles.join(", "))
    } else {
        line
    }
}

fn example(reason: Reason) -> Value {
    let mut example = json!({
        "type": problem::type_of(reason),
        "title": reason.title(),
        "status": reason.http_status(),
        "detail": format!("{}.", reason.title()),
        "reason": reason.as_str(),
        "requestId": "01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e0f",
    });
    if reason == Reason::InvalidRequest {
        example["detail"] = "pageSize must be between 1 and 1000".into();
        example["errors"] = json!([{"field": "pageSize", "message": "must be between 1 and 1000"}]);
    }
    example
}

/// The schema of problem+json, with every reason there is.
pub fn problem() -> Value {
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    json!({
        "type": "object",
        "description": "Why a request failed (RFC 9457).",
        "required": ["type", "title", "status", "detail", "reason", "requestId"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "Names the kind of failure."},
            "title": {"type": "string", "description": "The same for every failure of this kind."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What went wrong this time."},
            "reason": {"type": "string", "enum": reasons, "description": "For programs to decide by."},
            "requestId": {"type": "string", "description": "Names the request in the logs."},
            "errors": {
                "type": "array",
                "description": "Everything that is wrong with the request.",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {
                        "field": {"type": "string", "description": "JSON path in the body, or name of the parameter."},
                        "message": {"type": "string", "description": "What is wrong with it."},
                    },
                },
            },
        },
    })
}
