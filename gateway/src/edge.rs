//! Everything that the public port answers: the endpoints of the protos, and the few of the gateway's own.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use http::header::{self, HeaderValue};
use service_kit::reason::Reason;

use crate::gateway::Gateway;
use crate::grpc::{self, Grpc};
use crate::problem::Problem;
use crate::request_id::{self, RequestId};
use crate::routes::{Found, Kind, Miss};
use crate::{documentation, headers, health, observe, rest, websocket};

/// The whole of it, from the outside in.
pub fn router(gateway: Gateway) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/openapi.json", get(documentation::openapi))
        .route("/docs", get(documentation::redirect))
        .route("/docs/", get(documentation::index))
        .route("/docs/{*file}", get(documentation::file))
        .method_not_allowed_fallback(get_only)
        .fallback(endpoint)
        // Innermost: what comes in under names that services trust is gone before anything reads a header.
        .layer(from_fn(headers::clean))
        // A gRPC call takes its own way from here.
        .layer(from_fn_with_state(Grpc::new(&gateway), grpc::divert))
        // Sees the final status, and times everything within.
        .layer(from_fn_with_state(gateway.clone(), observe::observe))
        // Outermost: whatever happens within carries the request's id.
        .layer(from_fn(request_id::identify))
        .with_state(gateway)
}

/// A path that the protos may know.
async fn endpoint(State(gateway): State<Gateway>, mut request: Request) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let found = match gateway.routes.find(request.method(), request.uri().path()) {
        Ok(found) => found,
        Err(miss) => return missed(miss).render(&id),
    };
    let Found { endpoint, variables } = found;
    request.extensions_mut().insert(id.clone());
    let result = match endpoint.kind {
        Kind::Unary => rest::serve(&gateway, &endpoint, &variables, request)
            .await
            .map_err(|status| Problem::from(status).at(&endpoint)),
        Kind::Door => websocket::admit(&gateway, &endpoint, &variables, request).await,
    };
    let mut response = result.unwrap_or_else(|problem| problem.render(&id));
    response.extensions_mut().insert(observe::Route::Rest(endpoint));
    response
}

fn missed(miss: Miss) -> Problem {
    match miss {
        Miss::Malformed(malformed) => Reason::InvalidRequest.status(malformed.to_string()).into(),
        Miss::UnknownPath => Reason::NotFound.status("There is nothing at this path").into(),
        Miss::WrongMethod { allow } => wrong_method(&allow),
    }
}

fn wrong_method(allow: &str) -> Problem {
    let problem = Problem::from(Reason::MethodNotAllowed.status(format!("This path takes {allow}")));
    match HeaderValue::from_str(allow) {
        Ok(value) => problem.with_header(header::ALLOW, value),
        Err(_) => problem,
    }
}

/// The gateway's own paths can only be read.
async fn get_only(request: Request) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    wrong_method("GET, HEAD").render(&id)
}
