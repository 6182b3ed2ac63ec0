//! Everything that the public port answers: the endpoints of the protos, and the few of the gateway's own.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use service_kit::reason::Reason;
use tower::ServiceExt as _;

use crate::admission::Admitted;
use crate::cors::Page;
use crate::entity_tag::Held;
use crate::gateway::Gateway;
use crate::grpc::{self, Grpc};
use crate::observe::Route;
use crate::problem::Problem;
use crate::request_id::{self, RequestId};
use crate::routes::{Found, Kind, Miss};
use crate::{
    admission, authority, client, compression, documentation, headers, health, observe, rest, upload, websocket,
};

/// The public port.
pub struct Edge {
    gateway: Gateway,
    grpc: Grpc,
    /// What is asked of by REST.
    paths: Router,
}

impl Edge {
    pub fn new(gateway: Gateway) -> Self {
        Self {
            grpc: Grpc::new(&gateway),
            paths: paths(gateway.clone()),
            gateway,
        }
    }

    /// Answers a request, whatever it is.
    pub async fn answer(&self, mut request: Request) -> Response {
        let id = request_id::identify(&mut request);
        // Before the headers that tell it are dropped, and before anything is logged.
        client::identify(&self.gateway, &mut request);
        let mut response = observe::observe(&self.gateway, request, |request| self.observed(request)).await;
        response.headers_mut().insert(request_id::HEADER, id.header());
        response
    }

    async fn observed(&self, request: Request) -> Response {
        if let Some(objection) = authority::objection(&request) {
            return authority::refuse(&self.gateway, request, objection).await;
        }
        match grpc::encoding(request.headers()) {
            Some(encoding) => self.grpc.serve(encoding, request).await,
            None => self.rest(request).await,
        }
    }

    async fn rest(&self, mut request: Request) -> Response {
        let page = Page::of(&request, &self.gateway.origins);
        headers::clean(request.headers_mut());
        let held = Held::read(&mut request);
        let Ok(response) = self.paths.clone().oneshot(request).await;
        let mut response = held.answer(response);
        // Errors included: a page is to see why.
        page.tell(&mut response);
        response
    }
}

/// The gateway's own paths, and those of the protos.
fn paths(gateway: Gateway) -> Router {
    Router::new()
        .route("/openapi.json", get(documentation::openapi))
        .route("/docs", get(documentation::redirect))
        .route("/docs/", get(documentation::index))
        .route("/docs/{*file}", get(documentation::file))
        .route_layer(from_fn_with_state(gateway.clone(), admission::own_path))
        // Whoever looks whether the gateway is well is not counted.
        .route("/health", get(health::health))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .method_not_allowed_fallback(own_path)
        .fallback(endpoint)
        .layer(compression::layer())
        .with_state(gateway)
}

/// A path that the protos may know.
async fn endpoint(State(gateway): State<Gateway>, mut request: Request) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let found = match gateway.routes.find(request.method(), request.uri().path()) {
        Ok(found) => found,
        Err(miss) => match websocket::door_for(&gateway, request.method(), request.uri().path()) {
            Some(door) => door,
            None => {
                if let Err(status) = admission::nothing_here(&gateway, &request).await {
                    return Problem::from(status).render(&id);
                }
                let miss = websocket::wrong_method(&gateway, request.uri().path(), miss);
                return missed(miss, request.method(), &id);
            }
        },
    };
    let Found { endpoint, variables } = found;
    observe::found(Route::Rest(Arc::clone(&endpoint)));
    request.extensions_mut().insert(id.clone());
    let (parts, body) = request.into_parts();
    let admitted = admission::admit(&gateway, &endpoint, &variables, &parts).await;
    let request = Request::from_parts(parts, body);
    let Admitted { standing, party } = match admitted {
        Ok(admitted) => admitted,
        Err(status) => {
            if endpoint.kind == Kind::Upload {
                upload::hear_out(request, &status).await;
            }
            return Problem::from(status).render(&id);
        }
    };
    let result = match endpoint.kind {
        Kind::Door if request.method() == Method::POST => {
            websocket::exchange(&gateway, &endpoint, &variables, request).await
        }
        Kind::Unary => rest::serve(&gateway, &endpoint, &variables, request)
            .await
            .map_err(|status| Problem::from(status).at(&endpoint)),
        Kind::Stream => crate::stream::serve(&gateway, &endpoint, &variables, request, party)
            .await
            .map_err(|status| Problem::from(status).at(&endpoint)),
        Kind::Upload => upload::serve(&gateway, &endpoint, &variables, request, party)
            .await
            .map_err(|status| Problem::from(status).at(&endpoint)),
        Kind::Door => websocket::admit(&gateway, &endpoint, &variables, request).await,
    };
    let mut response = result.unwrap_or_else(|problem| problem.render(&id));
    // Charge points have little room for what they have no use for.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        standing.tell(response.headers_mut());
    }
    response
}

fn missed(miss: Miss, method: &Method, id: &RequestId) -> Response {
    let status = match miss {
        Miss::Malformed(malformed) => Reason::InvalidRequest.status(malformed.to_string()),
        Miss::UnknownPath => Reason::NotFound.status("There is nothing at this path"),
        Miss::WrongMethod { allow } => return other_method(method, &allow, id),
    };
    Problem::from(status).render(id)
}

/// The gateway's own paths can only be read. What else is asked of them is counted here: this answers for health too, which is not.
async fn own_path(State(gateway): State<Gateway>, request: Request) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    match admission::nothing_here(&gateway, &request).await {
        Ok(standing) => {
            let mut response = other_method(request.method(), "GET, HEAD", &id);
            standing.tell(response.headers_mut());
            response
        }
        Err(status) => Problem::from(status).render(&id),
    }
}

/// A path that exists, asked by another method than it takes. To ask which those are is one that every path takes.
fn other_method(method: &Method, takes: &str, id: &RequestId) -> Response {
    let mut response = if method == Method::OPTIONS {
        let mut response = Response::new(no_body());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        let status = Reason::MethodNotAllowed.status(format!("This path takes {takes}"));
        Problem::from(status).render(id)
    };
    if let Ok(allow) = HeaderValue::from_str(&format!("{takes}, OPTIONS")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// For answers whose status has no body. An empty one would be announced, by a `Content-Length` that they must not have.
pub fn no_body() -> Body {
    Body::from_stream(stream::empty::<Result<Bytes, Infallible>>())
}
