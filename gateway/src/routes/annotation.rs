//! Reads the options that stand beside an RPC, and says what is wrong with one that cannot be used.

use http::Method;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use voltgate_proto::api::v1 as api;
use voltgate_proto::google::api::{HttpRule, http_rule::Pattern};

use super::template::BadTemplate;

/// An annotation that cannot be used, and the RPC it stands at.
#[derive(Debug, thiserror::Error)]
#[error("{rpc}: {problem}")]
pub struct BrokenAnnotation {
    rpc: String,
    #[source]
    problem: Problem,
}

/// What is wrong with an annotation.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("it has an HTTP rule but no voltgate.api.v1.endpoint")]
    NoEndpoint,
    #[error("its service does not name its voltgate.api.v1.upstream")]
    NoUpstream,
    #[error("its options cannot be read: {0}")]
    Unreadable(String),
    #[error("its HTTP rule has no method and path")]
    NoPattern,
    #[error("its additional bindings have additional bindings")]
    NestedBindings,
    #[error("`{0}` is not an HTTP method")]
    BadMethod(String),
    #[error("{0}")]
    BadTemplate(#[from] BadTemplate),
    #[error("the request has no field `{0}`")]
    NoSuchField(String),
    #[error("the path variable `{0}` is not a single value")]
    VariableNotScalar(String),
    #[error("the answer has no field `{0}`")]
    NoSuchAnswer(String),
    #[error("its media types are for a body of type google.api.HttpBody, which it does not take")]
    MediaTypesOfJson,
    #[error("`{0}` is not a media type")]
    BadMediaType(String),
    #[error("the field `{0}` is not a single text or integer, as an event's id and type must be")]
    BadEventField(String),
    #[error("only a stream of messages has event ids and types")]
    EventFieldWithoutEvents,
    #[error("a {0} request has no body, but the rule has one")]
    BodyNotAllowed(String),
    #[error("`{0}` is both in the path and the body")]
    BoundTwice(String),
    #[error("its success status {0} is not one of 200 to 299")]
    BadSuccessStatus(i32),
    #[error("its timeout of {0} seconds is not one of 0 to 300")]
    BadTimeout(i32),
    #[error("ACCESS_INTERNAL and an HTTP rule go together at a charge point's door only")]
    InternalOverHttp,
    #[error(
        "a stream of requests with an HTTP rule must be a charge point's door: ACCESS_INTERNAL, `get`, one variable, from voltgate.ocpp.v1.FromStation to voltgate.ocpp.v1.ToStation; or have one answer and a body of type google.api.HttpBody, which comes in chunks"
    )]
    NotADoor,
    #[error("{0} has the same method and path")]
    Taken(String),
}

impl BrokenAnnotation {
    pub(super) fn new(method: &MethodDescriptor, problem: Problem) -> Self {
        Self {
            rpc: method.full_name().to_owned(),
            problem,
        }
    }
}

/// The HTTP rule of an RPC with its additional bindings; none where it has no rule.
pub fn http_rules(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Vec<HttpRule>, Problem> {
    let Some(mut rule) = option::<HttpRule>(pool, "google.api.http", method)? else {
        return Ok(Vec::new());
    };
    let additional = std::mem::take(&mut rule.additional_bindings);
    if additional.iter().any(|rule| !rule.additional_bindings.is_empty()) {
        return Err(Problem::NestedBindings);
    }
    Ok(std::iter::once(rule).chain(additional).collect())
}

/// The option `voltgate.api.v1.endpoint`.
pub fn endpoint(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<api::Endpoint, Problem> {
    option(pool, "voltgate.api.v1.endpoint", method)?.ok_or(Problem::NoEndpoint)
}

/// The option `voltgate.api.v1.upstream` of the RPC's service.
pub fn upstream(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<String, Problem> {
    let options = method.parent_service().options();
    let extension = pool
        .get_extension_by_name("voltgate.api.v1.upstream")
        .ok_or(Problem::NoUpstream)?;
    match options.get_extension(&extension).as_str() {
        None | Some("") => Err(Problem::NoUpstream),
        Some(name) => Ok(name.to_owned()),
    }
}

/// Methods and path of a rule. The method `*` stands for all that have a body or, in a rule without a body, for all.
pub fn pattern(rule: &HttpRule) -> Result<(Vec<Method>, &str), Problem> {
    let (method, path) = match rule.pattern.as_ref().ok_or(Problem::NoPattern)? {
        Pattern::Get(path) => (Method::GET, path),
        Pattern::Put(path) => (Method::PUT, path),
        Pattern::Post(path) => (Method::POST, path),
        Pattern::Delete(path) => (Method::DELETE, path),
        Pattern::Patch(path) => (Method::PATCH, path),
        Pattern::Custom(custom) if custom.kind == "*" => {
            let mut methods = vec![Method::POST, Method::PUT, Method::PATCH];
            if rule.body.is_empty() {
                methods.extend([Method::GET, Method::DELETE]);
            }
            return Ok((methods, &custom.path));
        }
        Pattern::Custom(custom) => {
            let method =
                Method::from_bytes(custom.kind.as_bytes()).map_err(|_| Problem::BadMethod(custom.kind.clone()))?;
            (method, &custom.path)
        }
    };
    Ok((vec![method], path))
}

fn option<T: prost::Message + Default>(
    pool: &DescriptorPool,
    name: &str,
    method: &MethodDescriptor,
) -> Result<Option<T>, Problem> {
    let Some(extension) = pool.get_extension_by_name(name) else {
        return Ok(None);
    };
    let options = method.options();
    if !options.has_extension(&extension) {
        return Ok(None);
    }
    let value = options.get_extension(&extension);
    let message = value
        .as_message()
        .ok_or_else(|| Problem::Unreadable(format!("{name} is not a message")))?;
    message
        .transcode_to()
        .map(Some)
        .map_err(|error| Problem::Unreadable(error.to_string()))
}
