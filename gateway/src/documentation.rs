//! The documentation of the API, for programs and for people: `/openapi.json`, and Swagger UI at `/docs` with its assets
//! from the binary.

use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::header;
use service_kit::reason::Reason;
use utoipa_swagger_ui::Config;

use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::request_id::RequestId;
use crate::watchdog;

/// Scripts and styles from here only, and no page of somebody else's may show it in a frame.
const POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

/// `GET /openapi.json`
pub async fn openapi(State(gateway): State<Gateway>) -> impl IntoResponse {
    let document = gateway.openapi.clone();
    let size = document.len();
    // In pieces, so that its line says how much of it was taken.
    let body = watchdog::guard_large(Body::from(document), size, gateway.stall, &gateway.tasks);
    ([(header::CONTENT_TYPE, "application/json")], body)
}

/// `GET /docs`: the page's own links need the slash.
pub async fn redirect() -> Redirect {
    Redirect::permanent("/docs/")
}

/// `GET /docs/`
pub async fn index(Extension(id): Extension<RequestId>) -> Response {
    asset("index.html", &id)
}

/// `GET /docs/{file}`
pub async fn file(Extension(id): Extension<RequestId>, Path(file): Path<String>) -> Response {
    asset(&file, &id)
}

fn asset(name: &str, id: &RequestId) -> Response {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        Arc::new(
            Config::new(["/openapi.json"])
                .persist_authorization(true)
                .display_request_duration(true),
        )
    });
    match utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)) {
        Ok(Some(asset)) => {
            let headers = [
                (header::CONTENT_TYPE, asset.content_type.clone()),
                (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
            ];
            let mut response = (headers, asset.bytes.into_owned()).into_response();
            if asset.gzpipped {
                let gzip = http::HeaderValue::from_static("gzip");
                response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            }
            response
        }
        Ok(None) => Problem::from(Reason::NotFound.status("There is nothing at this path")).render(id),
        Err(error) => {
            tracing::error!(%error, name, "A page of the documentation cannot be shown");
            Problem::from(Reason::Internal.status("The page cannot be shown")).render(id)
        }
    }
}
