//! What was asked for, as everything names it that is seen from outside: never by the path.

use std::sync::Arc;

use super::meters::Meters;
use crate::routes::{Endpoint, Rpc};

/// Noted as soon as it is known: also what nobody waited for was asked of some route.
#[derive(Clone, Debug, Default)]
pub enum Route {
    Rest(Arc<Endpoint>),
    Grpc(Arc<Rpc>),
    /// A path of the gateway's own.
    Own(&'static Meters),
    /// There is nothing at the path.
    #[default]
    None,
}

static HEALTH: Meters = Meters::own("/health");
static LIVEZ: Meters = Meters::own("/livez");
static READYZ: Meters = Meters::own("/readyz");
static OPENAPI: Meters = Meters::own("/openapi.json");
static DOCS: Meters = Meters::own("/docs");
static NONE: Meters = Meters::own("none");

impl Route {
    /// The gateway's own, where the path is one.
    pub fn own(path: &str) -> Option<Self> {
        let meters = match path {
            "/health" => &HEALTH,
            "/livez" => &LIVEZ,
            "/readyz" => &READYZ,
            "/openapi.json" => &OPENAPI,
            _ if path == "/docs" || path.starts_with("/docs/") => &DOCS,
            _ => return None,
        };
        Some(Self::Own(meters))
    }

    pub fn label(&self) -> &str {
        self.meters().route()
    }

    pub fn meters(&self) -> &Meters {
        match self {
            Self::Rest(endpoint) => &endpoint.meters,
            Self::Grpc(rpc) => &rpc.meters,
            Self::Own(meters) => meters,
            Self::None => &NONE,
        }
    }
}
