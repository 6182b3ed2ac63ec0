//! gRPC on the public port: a call goes by its service's name to the service behind it, streams and all, as if there were
//! no gateway between. Who may call is asked here first, by the same code as there. What does not get through is answered as
//! a gRPC status, never as a problem of HTTP.
//!
//! Reflection and health are the gateway's own, and speak for everything behind it.

mod deadline;
mod health;
mod reflection;
mod relay;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderMap};
use http::{Method, Version};
use http_body_util::Limited;
use service_kit::reason::Reason;
use tonic::Status;
use tonic::service::Routes;
use tower::ServiceExt as _;

pub use reflection::descriptors;

use crate::admission::{self, Admitted};
use crate::gateway::Gateway;
use crate::observe::{self, Route};
use crate::problem::Failed;
use crate::routes::Rpc;

/// What one call may ask of the gateway's own services, in bytes: some hundreds of questions of reflection, which has a stream of them for
/// one request, and a few kilobytes of descriptors for each. Clients that want to know everything ask some dozens.
const LONGEST_CONVERSATION: usize = 16 * 1024;

/// Everything that answers gRPC.
#[derive(Clone)]
pub struct Grpc {
    gateway: Gateway,
    /// The gateway's own services.
    own: Routes,
}

/// How a call's messages are encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    Protobuf,
    Other,
}

/// Nothing where it is no gRPC. The web's dialect of it is not spoken here.
pub fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next()?.trim().to_ascii_lowercase();
    match essence.strip_prefix("application/grpc")? {
        "" | "+proto" => Some(Encoding::Protobuf),
        suffix if suffix.starts_with('+') => Some(Encoding::Other),
        _ => None,
    }
}

/// Why it is no call, though it says that it is one.
fn objection(encoding: Encoding, request: &Request) -> Option<Status> {
    if request.version() != Version::HTTP_2 {
        Some(Reason::UnknownRpc.status("gRPC needs HTTP/2"))
    } else if request.method() != Method::POST {
        Some(Reason::MethodNotAllowed.status("gRPC calls are sent by POST"))
    } else if encoding != Encoding::Protobuf {
        Some(Reason::UnsupportedMediaType.status("Messages are encoded as protobuf here"))
    } else {
        None
    }
}

/// An answer of a status alone, with HTTP's 200 as gRPC wants it.
fn refuse(status: Status) -> Response {
    let reason = Reason::of(&status);
    let mut response = status.into_http::<Body>();
    response.extensions_mut().insert(Failed(reason));
    response
}

impl Grpc {
    pub fn new(gateway: &Gateway) -> Self {
        let own = Routes::new(health::server(gateway.clone()));
        Self {
            own: match &gateway.reflection {
                Some(descriptors) => reflection::add_to(own, descriptors, &gateway.rpcs),
                None => own,
            },
            gateway: gateway.clone(),
        }
    }

    /// Answers a call.
    pub async fn serve(&self, encoding: Encoding, request: Request) -> Response {
        self.call(encoding, request).await.unwrap_or_else(refuse)
    }

    async fn call(&self, encoding: Encoding, request: Request) -> Result<Response, Status> {
        if let Some(status) = objection(encoding, &request) {
            return Err(self.refuse_as(&request, status).await);
        }
        let Some(rpc) = self.gateway.rpcs.get(request.uri().path()).cloned() else {
            return self.answer_itself(request).await;
        };
        observe::found(Route::Grpc(Arc::clone(&rpc)));
        self.pass(&rpc, request).await
    }

    async fn pass(&self, rpc: &Arc<Rpc>, request: Request) -> Result<Response, Status> {
        // Not even for one that has a service token: those of Voltgate's own processes do not come this way.
        if rpc.internal {
            let status = Reason::PermissionDenied.status("This call is for Voltgate's own processes");
            return Err(self.refuse_as(&request, status).await);
        }
        let (parts, body) = request.into_parts();
        let Admitted { standing, party } = admission::admit_call(&self.gateway, rpc, &parts).await?;
        let request = Request::from_parts(parts, body);
        let mut response = relay::pass(&self.gateway, rpc, request, party).await?;
        standing.tell(response.headers_mut());
        Ok(response)
    }

    /// The refusal of a call that goes nowhere: this one, unless there were too many.
    fn refuse_as<'g>(&'g self, request: &Request, status: Status) -> impl Future<Output = Status> + use<'g> {
        let counted = admission::nothing_here(&self.gateway, request);
        async {
            match counted.await {
                Ok(standing) => standing.with(status),
                Err(too_many) => too_many,
            }
        }
    }

    /// Health and reflection, or nothing that anybody knows.
    async fn answer_itself(&self, request: Request) -> Result<Response, Status> {
        let service = request.uri().path().trim_start_matches('/').split('/').next();
        let known = match service {
            Some(health::SERVICE) => true,
            Some(service) => self.gateway.reflection.is_some() && reflection::SERVICES.contains(&service),
            None => false,
        };
        if !known {
            let status = Reason::UnknownRpc.status("No service here has such an RPC");
            return Err(self.refuse_as(&request, status).await);
        }
        // Health is counted by itself, where it costs anything.
        if service != Some(health::SERVICE) {
            admission::nothing_here(&self.gateway, &request).await?;
        }
        let request = request.map(|body| Body::new(Limited::new(body, LONGEST_CONVERSATION)));
        let Ok(response) = self.own.clone().oneshot(request).await;
        Ok(response.map(Body::new))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn encoding_of(content_type: &'static str) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        encoding(&headers)
    }

    #[test]
    fn grpc_is_told_by_its_media_type() {
        for ours in ["application/grpc", "application/grpc+proto", "Application/gRPC; x=y"] {
            assert_eq!(encoding_of(ours), Some(Encoding::Protobuf), "{ours}");
        }
        assert_eq!(encoding_of("application/grpc+json"), Some(Encoding::Other));
        for other in ["application/json", "application/grpc-web+proto", ""] {
            assert_eq!(encoding_of(other), None, "{other}");
        }
    }
}
