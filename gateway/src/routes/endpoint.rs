//! One endpoint: an RPC, and how it is reached over HTTP.

use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use prost::Name as _;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind as FieldKind, MessageDescriptor, MethodDescriptor};
use voltgate_proto::api::v1::{self as api, Access};
use voltgate_proto::google::api::HttpRule;
use voltgate_proto::ocpp::v1::{FromStation, ToStation};

use super::annotation::{self, BrokenAnnotation, Problem};
use super::binding::{self, AnswerBody, Body, FieldPath, field_named};
use super::listing::Listing;
use super::template::Template;
use crate::json::{self, WellKnown};
use crate::media_type;
use crate::observe::Meters;
use crate::rate_limit::Class;

/// The longest that an endpoint may be given to answer, in seconds.
const LONGEST_TIMEOUT: i32 = 300;

/// The parameter by which a client chooses members of an answer.
pub const FIELDS: &str = "fields";

/// How an endpoint is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// One request, one answer.
    Unary,
    /// One request, any number of answers.
    Stream,
    /// A body that goes in chunks, one answer.
    Upload,
    /// A WebSocket, carried as a stream both ways.
    Door,
}

/// An RPC under a method and a path.
#[derive(Debug)]
pub struct Endpoint {
    pub method: Method,
    pub template: Template,
    /// The template as metrics and OpenAPI show it.
    pub label: String,
    pub meters: Meters,
    pub kind: Kind,
    pub rpc: MethodDescriptor,
    /// `/package.Service/Method`
    pub grpc_path: PathAndQuery,
    pub upstream: String,
    /// The field of each path variable, in the order of the path. Empty at a door, whose variable is the identity.
    pub variables: Vec<FieldPath>,
    pub body: Body,
    pub answer: AnswerBody,
    /// Where it answers with the rows of a list, a page at a time.
    pub listing: Option<Listing>,
    /// Of a stream: the field that names each message, so that a client can go on from there.
    pub event_id: Option<FieldDescriptor>,
    /// Of a stream: the field that says what kind of event each message is.
    pub event_type: Option<FieldDescriptor>,
    pub success: StatusCode,
    /// Who may call it, as the protos say; for the documentation.
    pub options: api::Endpoint,
    /// How long it may take, where it has a longer or shorter time than the others.
    pub timeout: Option<Duration>,
    /// What it is counted with.
    pub class: Class,
}

impl Endpoint {
    /// Where in the HTTP request the RPC's field `field` came from.
    pub fn locate(&self, field: &str) -> String {
        binding::locate(field, &self.variables, &self.body)
    }

    /// The message of whose members a client may choose some with `fields`: of a row where the answer is a list, of the answer
    /// otherwise. Nothing where that cannot be: a RPC's own field of that name goes before.
    pub fn selectable(&self) -> Option<MessageDescriptor> {
        if self.method != Method::GET || self.kind != Kind::Unary || field_named(&self.rpc.input(), FIELDS).is_some() {
            return None;
        }
        match (&self.listing, &self.answer) {
            (Some(listing), _) => listing.row(),
            (None, AnswerBody::Whole) => Some(self.rpc.output()),
            (None, AnswerBody::Json(field)) => json::members(field),
            (None, AnswerBody::Raw(_) | AnswerBody::RawWhole) => None,
        }
        .filter(|message| WellKnown::of(message).is_none())
    }
}

/// The endpoints of an RPC: none without an HTTP rule, more than one with additional bindings.
pub(super) fn of_method(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Vec<Endpoint>, BrokenAnnotation> {
    annotation::http_rules(pool, method)
        .and_then(|rules| {
            let endpoints: Result<Vec<_>, _> = rules.iter().map(|rule| of_rule(pool, method, rule)).collect();
            Ok(endpoints?.into_iter().flatten().collect())
        })
        .map_err(|problem| BrokenAnnotation::new(method, problem))
}

fn of_rule(pool: &DescriptorPool, rpc: &MethodDescriptor, rule: &HttpRule) -> Result<Vec<Endpoint>, Problem> {
    let (methods, path) = annotation::pattern(rule)?;
    let template = Template::parse(path)?;
    let read = |method| read(pool, rpc, rule, method, template.clone());
    methods.into_iter().map(read).collect()
}

fn read(
    pool: &DescriptorPool,
    rpc: &MethodDescriptor,
    rule: &HttpRule,
    method: Method,
    template: Template,
) -> Result<Endpoint, Problem> {
    let options = annotation::endpoint(pool, rpc)?;
    let input = rpc.input();
    let body = Body::resolve(&rule.body, &input)?;
    let kind = match (rpc.is_client_streaming(), rpc.is_server_streaming(), options.access()) {
        (true, ..) if is_door(rpc, &method, &template, &options) => Kind::Door,
        (true, false, access) if body.is_raw() && access != Access::Internal => Kind::Upload,
        (true, ..) => return Err(Problem::NotADoor),
        (.., Access::Internal) => return Err(Problem::InternalOverHttp),
        (_, true, _) => Kind::Stream,
        (_, false, _) => Kind::Unary,
    };
    let answer = AnswerBody::resolve(&rule.response_body, &rpc.output())?;
    if !matches!(body, Body::None) && matches!(method, Method::GET | Method::HEAD) {
        return Err(Problem::BodyNotAllowed(method.to_string()));
    }
    check_media_types(&options.media_types, &body)?;
    let variables = match kind {
        Kind::Unary | Kind::Stream | Kind::Upload => binding::resolve_variables(&template, &input, &body)?,
        Kind::Door => Vec::new(),
    };
    let grpc_path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name());
    let label = template.label();
    Ok(Endpoint {
        listing: Listing::of(&method, kind, rpc, &answer),
        meters: Meters::of(&label),
        label,
        grpc_path: grpc_path.parse().map_err(|_| Problem::Unreadable(grpc_path))?,
        upstream: annotation::upstream(pool, rpc)?,
        event_id: event_field(&options.event_id, kind, rpc)?,
        event_type: event_field(&options.event_type, kind, rpc)?,
        success: success_status(options.success_status)?,
        timeout: timeout(options.timeout_seconds)?,
        class: Class::of(&options, Some(&method), !matches!(kind, Kind::Unary)),
        rpc: rpc.clone(),
        method,
        template,
        kind,
        variables,
        body,
        answer,
        options,
    })
}

fn is_door(rpc: &MethodDescriptor, method: &Method, template: &Template, options: &api::Endpoint) -> bool {
    *method == Method::GET
        && template.variables().len() == 1
        && options.access() == Access::Internal
        && rpc.input().full_name() == FromStation::full_name()
        && rpc.output().full_name() == ToStation::full_name()
        && rpc.is_client_streaming()
        && rpc.is_server_streaming()
}

fn check_media_types(media_types: &[String], body: &Body) -> Result<(), Problem> {
    if !media_types.is_empty() && !body.is_raw() {
        return Err(Problem::MediaTypesOfJson);
    }
    let is_plain = |text: &&String| media_type::essence(text) == Some(text.as_str()) && !text.contains('*');
    match media_types.iter().find(|text| !is_plain(text)) {
        Some(bad) => Err(Problem::BadMediaType(bad.clone())),
        None => Ok(()),
    }
}

/// The field of a stream's messages that is written beside the message itself.
fn event_field(name: &str, kind: Kind, rpc: &MethodDescriptor) -> Result<Option<FieldDescriptor>, Problem> {
    if name.is_empty() {
        return Ok(None);
    }
    if kind != Kind::Stream {
        return Err(Problem::EventFieldWithoutEvents);
    }
    let field = rpc.output().get_field_by_name(name);
    let field = field.ok_or_else(|| Problem::NoSuchAnswer(name.to_owned()))?;
    let unfit = matches!(
        field.kind(),
        FieldKind::Message(_)
            | FieldKind::Enum(_)
            | FieldKind::Bytes
            | FieldKind::Bool
            | FieldKind::Float
            | FieldKind::Double
    );
    if unfit || field.is_list() || field.is_map() {
        return Err(Problem::BadEventField(name.to_owned()));
    }
    Ok(Some(field))
}

fn success_status(status: i32) -> Result<StatusCode, Problem> {
    if status == 0 {
        return Ok(StatusCode::OK);
    }
    u16::try_from(status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(StatusCode::is_success)
        .ok_or(Problem::BadSuccessStatus(status))
}

pub(super) fn timeout(seconds: i32) -> Result<Option<Duration>, Problem> {
    match seconds {
        0 => Ok(None),
        1..=LONGEST_TIMEOUT => Ok(u64::try_from(seconds).ok().map(Duration::from_secs)),
        _ => Err(Problem::BadTimeout(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use crate::routes::Routes;
    use crate::test_protos;

    /// The error of a service with one RPC that stands in `rpc`.
    fn refusal(service: &str) -> String {
        let pool = test_protos::compile(&format!(
            r#"syntax = "proto3"; package test;
            import "google/api/annotations.proto"; import "google/api/httpbody.proto"; import "voltgate/api/v1/options.proto";
            message Thing {{ string id = 1; repeated string tags = 2; Thing inner = 3; google.api.HttpBody raw = 4; }}
            service Things {{ {service} }}"#
        ));
        Routes::from_descriptors(&pool)
            .expect_err("the annotation is broken")
            .to_string()
    }

    fn refusal_of(http: &str, endpoint: &str) -> String {
        refusal(&format!(
            r#"option (voltgate.api.v1.upstream) = "things";
            rpc Get(Thing) returns (Thing) {{
                option (google.api.http) = {{ {http} }};
                option (voltgate.api.v1.endpoint) = {{ {endpoint} }};
            }}"#
        ))
    }

    const PUBLIC: &str = "access: ACCESS_PUBLIC";

    #[test]
    fn a_broken_annotation_names_its_rpc() {
        assert_eq!(
            refusal_of(r#"get: "/things/{nope}""#, PUBLIC),
            "test.Things.Get: the request has no field `nope`"
        );
    }

    #[test]
    fn each_way_to_break_an_annotation_is_told() {
        for (http, endpoint, expected) in [
            (r#"get: "things""#, PUBLIC, "does not start with a slash"),
            (r#"get: "/things/{tags}""#, PUBLIC, "`tags` is not a single value"),
            (r#"get: "/things/{inner}""#, PUBLIC, "`inner` is not a single value"),
            (r#"get: "/things" body: "*""#, PUBLIC, "a GET request has no body"),
            (r#"post: "/things" body: "nope""#, PUBLIC, "no field `nope`"),
            (
                r#"post: "/things/{id}" body: "id""#,
                PUBLIC,
                "both in the path and the body",
            ),
            (
                r#"post: "/things/{raw.content_type}" body: "raw""#,
                PUBLIC,
                "both in the path and the body",
            ),
            (
                r#"get: "/things" response_body: "nope""#,
                PUBLIC,
                "the answer has no field `nope`",
            ),
            (
                r#"get: "/things" additional_bindings {get: "/t" additional_bindings {get: "/u"}}"#,
                PUBLIC,
                "additional bindings have additional bindings",
            ),
            (
                r#"get: "/things""#,
                "access: ACCESS_INTERNAL",
                "charge point's door only",
            ),
            (
                r#"get: "/things""#,
                "access: ACCESS_PUBLIC success_status: 404",
                "success status 404",
            ),
            (
                r#"get: "/things""#,
                "access: ACCESS_PUBLIC timeout_seconds: -1",
                "timeout of -1 seconds",
            ),
            (
                r#"post: "/things" body: "*""#,
                r#"access: ACCESS_PUBLIC media_types: "text/csv""#,
                "google.api.HttpBody, which it does not take",
            ),
            (
                r#"post: "/things" body: "raw""#,
                r#"access: ACCESS_PUBLIC media_types: "text/*""#,
                "`text/*` is not a media type",
            ),
            (
                r#"get: "/things""#,
                r#"access: ACCESS_PUBLIC event_id: "id""#,
                "only a stream of messages has event ids and types",
            ),
            (
                r#"get: "/things""#,
                r#"access: ACCESS_PUBLIC event_type: "id""#,
                "only a stream of messages has event ids and types",
            ),
            (r#"body: "*""#, PUBLIC, "no method and path"),
        ] {
            let refusal = refusal_of(http, endpoint);
            assert!(refusal.contains(expected), "{http} {endpoint}: {refusal}");
        }
    }

    #[test]
    fn an_rpc_with_a_path_needs_an_endpoint_option_and_an_upstream() {
        let bare = r#"rpc Get(Thing) returns (Thing) { option (google.api.http) = {get: "/things"}; }"#;
        assert!(refusal(bare).contains("no voltgate.api.v1.endpoint"));
        let no_upstream = r#"rpc Get(Thing) returns (Thing) {
            option (google.api.http) = {get: "/things"};
            option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
        }"#;
        assert!(refusal(no_upstream).contains("does not name its voltgate.api.v1.upstream"));
    }

    #[test]
    fn two_rpcs_cannot_share_a_path() {
        let both = r#"option (voltgate.api.v1.upstream) = "things";
            rpc First(Thing) returns (Thing) {
                option (google.api.http) = {get: "/things/{id}"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
            }
            rpc Second(Thing) returns (Thing) {
                option (google.api.http) = {get: "/things/{inner.id}"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
            }"#;
        assert_eq!(
            refusal(both),
            "test.Things.Second: test.Things.First has the same method and path"
        );
    }

    #[test]
    fn the_id_and_the_type_of_an_event_are_a_text_or_an_integer() {
        for field in ["event_id", "event_type"] {
            let stream = format!(
                r#"option (voltgate.api.v1.upstream) = "things";
            rpc Watch(Thing) returns (stream Thing) {{
                option (google.api.http) = {{get: "/things"}};
                option (voltgate.api.v1.endpoint) = {{access: ACCESS_PUBLIC {field}: "inner"}};
            }}"#
            );
            assert!(refusal(&stream).contains("`inner` is not a single text or integer"));
        }
    }

    #[test]
    fn a_stream_of_requests_that_is_no_door_is_refused() {
        let stream = r#"option (voltgate.api.v1.upstream) = "things";
            rpc Upload(stream Thing) returns (Thing) {
                option (google.api.http) = {post: "/things" body: "*"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
            }"#;
        assert!(refusal(stream).contains("must be a charge point's door"));
    }
}
