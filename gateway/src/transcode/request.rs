//! A request becomes the message of its RPC.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};
use service_kit::reason::{self, FieldViolation, Reason};
use tonic::Status;

use super::{media_type, query};
use crate::json::{self, Malformed, RawJsonFields, Unreadable};
use crate::routes::{Body, Endpoint};

/// The parts of a request that fill the message.
#[derive(Debug)]
pub struct Input<'r> {
    /// Decoded, in the order of the endpoint's variables.
    pub variables: &'r [String],
    pub query: Option<&'r str>,
    pub content_type: Option<&'r str>,
    pub body: Bytes,
}

/// Why a request is not one of its endpoint's.
#[derive(Debug)]
pub enum Refused {
    MediaType,
    Malformed(Malformed),
    Invalid(Vec<FieldViolation>),
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::MediaType => Reason::UnsupportedMediaType.status("The body must be application/json"),
            Refused::Malformed(malformed) => Reason::MalformedJson.status(malformed.to_string()),
            Refused::Invalid(violations) => reason::invalid(violations),
        }
    }
}

/// Fills the endpoint's message.
///
/// # Errors
/// The request is not one of the endpoint's; everything that is wrong with it is told.
pub fn message(endpoint: &Endpoint, raw_json: &RawJsonFields, input: Input<'_>) -> Result<DynamicMessage, Refused> {
    let mut violations = Vec::new();
    let mut message = match from_body(endpoint, raw_json, &input) {
        Ok(message) => message,
        Err(Refused::Invalid(invalid)) => {
            violations.extend(invalid);
            DynamicMessage::new(endpoint.rpc.input())
        }
        Err(refused) => return Err(refused),
    };
    if let Some(query) = input.query {
        violations.extend(query::apply(query, endpoint, &mut message));
    }
    for (path, text) in endpoint.variables.iter().zip(input.variables) {
        match json::parse_text(&path.leaf().kind(), text) {
            Ok(value) => {
                if let Some(place) = path.value_in(&mut message) {
                    *place = value;
                }
            }
            Err(problem) => violations.push(FieldViolation::new(path.leaf().json_name(), problem)),
        }
    }
    if violations.is_empty() {
        Ok(message)
    } else {
        Err(Refused::Invalid(violations))
    }
}

fn from_body(endpoint: &Endpoint, raw_json: &RawJsonFields, input: &Input<'_>) -> Result<DynamicMessage, Refused> {
    let descriptor = endpoint.rpc.input();
    let mut message = DynamicMessage::new(descriptor.clone());
    // No body is the same as an empty message, so that what is optional as a whole can be left out as a whole.
    if input.body.is_empty() {
        return Ok(message);
    }
    match &endpoint.body {
        Body::None => {
            return Err(Refused::Invalid(vec![FieldViolation::new(
                "$",
                "must be left out: this endpoint takes no body",
            )]));
        }
        Body::Whole => {
            message = read_json(input, raw_json, &descriptor)?;
            refuse_bound_fields(endpoint, &message)?;
        }
        Body::Json(field) => {
            if let Kind::Message(descriptor) = field.kind() {
                message.set_field(field, Value::Message(read_json(input, raw_json, &descriptor)?));
            }
        }
        Body::Raw(field) => {
            if let Some(body) = http_body(field, input) {
                message.set_field(field, Value::Message(body));
            }
        }
    }
    Ok(message)
}

fn read_json(
    input: &Input<'_>,
    raw_json: &RawJsonFields,
    descriptor: &prost_reflect::MessageDescriptor,
) -> Result<DynamicMessage, Refused> {
    if !input.content_type.is_some_and(media_type::is_json) {
        return Err(Refused::MediaType);
    }
    json::read(&input.body, descriptor, raw_json).map_err(|unreadable| match unreadable {
        Unreadable::Malformed(malformed) => Refused::Malformed(malformed),
        Unreadable::Invalid(violations) => Refused::Invalid(violations),
    })
}

/// What the path says, the body may not say too.
fn refuse_bound_fields(endpoint: &Endpoint, message: &DynamicMessage) -> Result<(), Refused> {
    let bound = endpoint.variables.iter().filter(|path| message.has_field(path.root()));
    let violations: Vec<_> = bound
        .map(|path| FieldViolation::new(format!("$.{}", path.root().json_name()), "is given in the path already"))
        .collect();
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Refused::Invalid(violations))
    }
}

/// The body as google.api.HttpBody.
fn http_body(field: &FieldDescriptor, input: &Input<'_>) -> Option<DynamicMessage> {
    let descriptor = field.kind().as_message()?.clone();
    let mut body = DynamicMessage::new(descriptor);
    body.set_field_by_name(
        "content_type",
        Value::String(input.content_type.unwrap_or_default().to_owned()),
    );
    body.set_field_by_name("data", Value::Bytes(input.body.clone()));
    Some(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::routes::Routes;
    use crate::test_protos;

    fn pool() -> DescriptorPool {
        test_protos::compile(
            r#"syntax = "proto3"; package test;
            import "google/api/annotations.proto"; import "google/api/httpbody.proto";
            import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
            import "voltgate/api/v1/options.proto";
            enum State { STATE_UNSPECIFIED = 0; STATE_OPEN = 1; }
            message Filter { string owner_name = 1; repeated int32 sizes = 2; }
            message Ask {
              int32 id = 1; optional int32 page_size = 2; repeated State states = 3; Filter filter = 4;
              google.protobuf.Timestamp since = 5; google.protobuf.BoolValue live = 6; map<string, string> labels = 7;
              google.api.HttpBody raw = 8; string name = 9;
            }
            service Asks {
              option (voltgate.api.v1.upstream) = "asks";
              rpc List(Ask) returns (Ask) {
                option (google.api.http) = {get: "/asks/{id}"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
              }
              rpc Put(Ask) returns (Ask) {
                option (google.api.http) = {put: "/asks/{id}" body: "*"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
              }
              rpc Filtered(Ask) returns (Ask) {
                option (google.api.http) = {post: "/asks/{id}/filter" body: "filter"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
              }
              rpc Raw(Ask) returns (Ask) {
                option (google.api.http) = {post: "/asks/{filter.owner_name}/raw" body: "raw"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
              }
            }"#,
        )
    }

    fn ask(method: &str, target: &str, content_type: Option<&str>, body: &'static str) -> Result<String, Refused> {
        let pool = pool();
        let raw_json = RawJsonFields::default();
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let found = Routes::from_descriptors(&pool)
            .unwrap()
            .find(&method.parse().unwrap(), path)
            .unwrap();
        let input = Input {
            variables: &found.variables,
            query,
            content_type,
            body: Bytes::from_static(body.as_bytes()),
        };
        message(&found.endpoint, &raw_json, input).map(|message| message.to_text_format())
    }

    fn violations(result: Result<String, Refused>) -> BTreeMap<String, String> {
        match result {
            Err(Refused::Invalid(violations)) => violations
                .into_iter()
                .map(|violation| (violation.field, violation.message))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    const JSON: Option<&str> = Some("application/json");

    #[test]
    fn parameters_fill_fields_by_either_name() {
        let filled = ask(
            "GET",
            "/asks/7?pageSize=5&states=STATE_OPEN&states=0&filter.owner_name=A+B%26C&filter.sizes=1&filter.sizes=2\
             &since=2026-01-31T08:15:00Z&live=true",
            None,
            "",
        );
        assert_eq!(
            filled.unwrap(),
            "id:7,page_size:5,states:[STATE_OPEN,STATE_UNSPECIFIED],filter{owner_name:\"A B&C\",sizes:[1,2]},\
             since{seconds:1769847300},live{value:true}"
        );
    }

    #[test]
    fn everything_wrong_with_path_and_query_is_told_at_once() {
        let told = violations(ask(
            "GET",
            "/asks/seven?pageSize=x&page_size=1&id=3&nope=1&labels=a&filter=b&states=SHUT&raw=x&name=%ff&since=now",
            None,
            "",
        ));
        let expected = [
            ("filter", "cannot be given as one value"),
            ("id", "must be an integer"),
            ("labels", "cannot be given in a query"),
            ("name", "is not UTF-8 once it is decoded"),
            ("nope", "is not a parameter of this endpoint"),
            ("pageSize", "must be an integer"),
            ("raw", "cannot be given as one value"),
            ("since", "must be a time as in RFC 3339, such as `2026-01-31T08:15:00Z`"),
            ("states", "must be one of `STATE_UNSPECIFIED`, `STATE_OPEN`"),
        ];
        for (field, message) in expected {
            assert_eq!(told.get(field).map(String::as_str), Some(message), "{field}: {told:?}");
        }
    }

    #[test]
    fn a_single_value_may_be_given_once() {
        let told = violations(ask("GET", "/asks/7?pageSize=1&page_size=2", None, ""));
        assert_eq!(told["page_size"], "appears twice");
    }

    #[test]
    fn a_body_fills_the_message_and_the_path_the_rest() {
        assert_eq!(
            ask("PUT", "/asks/7", JSON, r#"{"name": "n"}"#).unwrap(),
            r#"id:7,name:"n""#
        );
        let told = violations(ask("PUT", "/asks/7", JSON, r#"{"id": 8}"#));
        assert_eq!(told["$.id"], "is given in the path already");
        let told = violations(ask("PUT", "/asks/7?name=n", JSON, "{}"));
        assert_eq!(told["name"], "is not a parameter of this endpoint");
    }

    #[test]
    fn a_body_may_fill_one_field() {
        let filled = ask("POST", "/asks/7/filter?name=n", JSON, r#"{"ownerName": "o"}"#);
        assert_eq!(filled.unwrap(), r#"id:7,filter{owner_name:"o"},name:"n""#);
    }

    #[test]
    fn a_raw_body_is_taken_as_it_is() {
        let filled = ask("POST", "/asks/o/raw", Some("text/csv"), "a,b");
        assert_eq!(
            filled.unwrap(),
            r#"filter{owner_name:"o"},raw{content_type:"text/csv",data:"a,b"}"#
        );
    }

    #[test]
    fn a_body_that_is_not_json_by_its_type_is_refused() {
        for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
            assert!(matches!(
                ask("PUT", "/asks/7", content_type, "{}"),
                Err(Refused::MediaType)
            ));
        }
    }

    #[test]
    fn a_body_that_nobody_reads_is_refused() {
        assert!(violations(ask("GET", "/asks/7", JSON, "{}"))["$"].contains("takes no body"));
    }
}
