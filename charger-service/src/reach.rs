//! Operators who are limited to groups of sites, kept there.
//!
//! Which objects a call is about stands beside its RPC in the proto (`reach`), and is looked at here, before the call begins: what is not
//! within the caller's groups is refused in the words for what does not exist. An RPC that says nothing is not for them at all
//! (`service_kit::access`), so nobody has to think of them to be safe. Lists that leave out the others by themselves ask for the
//! caller's groups ([`groups_of`]).
//!
//! What a call is about may be moved to another site while it is under way. It was within reach when it began.

mod objects;

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use service_kit::access::Caller;
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::PgPool;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use uuid::Uuid;
use voltgate_proto::api::v1::{Endpoint, Reach};

/// In bytes, of a request: as much as any call may have.
const LONGEST: usize = 4 * 1024 * 1024;

/// What stands before a message in the body of a call: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The groups of sites within which a list has to stay; none for a caller who may see everything.
pub fn groups_of<T>(request: &tonic::Request<T>) -> Option<Vec<String>> {
    Caller::of(request).limits().map(|groups| groups.to_vec())
}

/// The sites in these groups now; none where there is no limit.
pub async fn sites_of(database: &PgPool, groups: Option<Vec<String>>) -> Result<Option<HashSet<Uuid>>, sqlx::Error> {
    let Some(groups) = groups else { return Ok(None) };
    let mut connection = database::begin(database).await?;
    let sites = sqlx::query_scalar!("SELECT id FROM ocpp.site WHERE groups && $1", &groups)
        .fetch_all(&mut *connection)
        .await?;
    Ok(Some(sites.into_iter().collect()))
}

/// What the calls of an RPC are about.
#[derive(Debug)]
struct Objects {
    request: MessageDescriptor,
    reach: Reach,
}

/// Puts the gate round the service's RPCs.
#[derive(Clone)]
pub struct ReachLayer {
    database: PgPool,
    rpcs: Arc<HashMap<String, Objects>>,
}

impl ReachLayer {
    pub fn new(database: PgPool, pool: &DescriptorPool) -> Self {
        let own = pool
            .services()
            .filter(|service| service.package_name() == "voltgate.ocpp.v1");
        let rpcs = own.flat_map(|service| service.methods().collect::<Vec<_>>());
        let rpcs = rpcs.filter_map(|rpc| {
            let option = pool.get_extension_by_name("voltgate.api.v1.endpoint")?;
            let endpoint = rpc
                .options()
                .get_extension(&option)
                .as_message()?
                .transcode_to::<Endpoint>()
                .ok()?;
            let path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name());
            let objects = Objects {
                request: rpc.input(),
                reach: endpoint.reach?,
            };
            Some((path, objects))
        });
        Self {
            database,
            rpcs: Arc::new(rpcs.collect()),
        }
    }
}

impl<S> Layer<S> for ReachLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind [`ReachLayer`].
#[derive(Clone)]
pub struct Gate<S> {
    inner: S,
    layer: ReachLayer,
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let limits = request.extensions().get::<Caller>().and_then(Caller::limits).cloned();
        // The instance that said it is ready must be the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let Some(groups) = limits else {
            return Box::pin(inner.call(request));
        };
        let layer = self.layer.clone();
        Box::pin(async move {
            match layer.checked(request, &groups).await {
                Ok(request) => inner.call(request).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

impl ReachLayer {
    /// The request, if all that it is about is within the groups.
    async fn checked(&self, request: Request<Body>, groups: &[String]) -> Result<Request<Body>, Status> {
        let Some(objects) = self.rpcs.get(request.uri().path()) else {
            return Ok(request);
        };
        if objects.reach.objects.is_empty() {
            return Ok(request);
        }
        let (head, body) = request.into_parts();
        let body = Limited::new(body, LONGEST)
            .collect()
            .await
            .map_err(|_| unreadable())?
            .to_bytes();
        let message = objects.read(&body)?;
        for object in &objects.reach.objects {
            match Told::of(&message, &object.field) {
                Told::Nothing if object.if_told => {}
                Told::Nothing => return Err(reason::invalid(vec![unnamed(&message, &object.field)])),
                Told::Name(name) => objects::check(&self.database, object.kind(), &name, groups).await?,
            }
        }
        Ok(Request::from_parts(head, Body::new(Full::new(body))))
    }
}

impl Objects {
    fn read(&self, body: &Bytes) -> Result<DynamicMessage, Status> {
        // Nobody has told the client that it may compress.
        match body.get(..PREFIX) {
            Some([0, ..]) => {}
            Some(_) | None => return Err(unreadable()),
        }
        DynamicMessage::decode(self.request.clone(), body.slice(PREFIX..)).map_err(|_| unreadable())
    }
}

/// What a field says.
enum Told {
    Nothing,
    Name(String),
}

impl Told {
    fn of(message: &DynamicMessage, field: &str) -> Self {
        let Some(field) = message.descriptor().get_field_by_name(field) else {
            return Self::Nothing;
        };
        if field.supports_presence() && !message.has_field(&field) {
            // What a mask names and the request leaves out is taken away: to where nobody is within reach.
            return if is_masked(message, field.name()) {
                Self::Name(String::new())
            } else {
                Self::Nothing
            };
        }
        match message.get_field(&field).as_ref() {
            Value::String(text) if text.is_empty() && !field.supports_presence() => Self::Nothing,
            Value::String(text) => Self::Name(text.clone()),
            // Nothing has this number.
            Value::I32(0) if !field.supports_presence() => Self::Nothing,
            Value::I32(number) => Self::Name(number.to_string()),
            _ => Self::Nothing,
        }
    }
}

fn is_masked(message: &DynamicMessage, field: &str) -> bool {
    let Some(mask) = message.get_field_by_name("update_mask") else {
        return false;
    };
    let paths = mask
        .as_message()
        .and_then(|mask| mask.get_field_by_name("paths").map(|paths| paths.into_owned()));
    let paths = paths.as_ref().and_then(Value::as_list).unwrap_or_default();
    paths.iter().any(|path| path.as_str() == Some(field))
}

fn unnamed(message: &DynamicMessage, field: &str) -> FieldViolation {
    let field = message.descriptor().get_field_by_name(field);
    let name = field.map_or_else(String::new, |field| field.json_name().to_owned());
    FieldViolation::new(name, "is required of operators who are limited to groups of sites")
}

fn unreadable() -> Status {
    Reason::InvalidRequest.status("The request cannot be read")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use voltgate_proto::api::v1::object;

    use super::*;

    /// A field that is not there would be looked for in vain, and what it names never be looked at.
    #[tokio::test]
    async fn every_field_that_names_an_object_is_there_and_of_a_kind() {
        let database = PgPool::connect_lazy("postgres://127.0.0.1:1/nowhere").unwrap();
        let layer = ReachLayer::new(database, voltgate_proto::pool());
        assert!(layer.rpcs.len() > 40, "{}", layer.rpcs.len());
        for (path, objects) in layer.rpcs.iter() {
            assert!(
                objects.reach.leaves_out || !objects.reach.objects.is_empty(),
                "{path} says nothing of its objects"
            );
            for object in &objects.reach.objects {
                assert!(
                    objects.request.get_field_by_name(&object.field).is_some(),
                    "{path} has no {}",
                    object.field
                );
                assert_ne!(object.kind(), object::Kind::Unspecified, "{path}");
            }
        }
    }
}
