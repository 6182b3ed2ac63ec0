//! Who may ask, and how often: decided by the head of a request alone, before its body is read and before a service is asked. The
//! services decide again who may; how often is the gateway's alone.
//!
//! First it is found out who asks, then the request is counted for them, and then they are refused where they may not. So whoever tries
//! tokens is counted as a stranger, and somebody who is logged in waits for nobody who shares the address. Who asks is found out here,
//! but for API keys that are new to this gateway: these are auth-service's to tell, and counted for their address before it is asked.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{Extensions, HeaderMap, Method};
use service_kit::access::Caller;
use service_kit::network::Network;
use service_kit::reason::Reason;
use tonic::Status;
use uuid::Uuid;

use crate::client::Client;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::rate_limit::{Class, Standing, Who};
use crate::request_id::RequestId;
use crate::routes::{Endpoint, Kind, Rpc};
use crate::{cors, observe, rest};

/// Whoever was let in.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'g> {
    /// How far they are from their limits.
    pub standing: Standing<'g>,
    pub party: Party,
}

/// For whom places are kept that a request may hold for long.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Party {
    Account(Uuid),
    /// All who have not proven who they are, where they are.
    Network(Network),
}

impl Party {
    fn of(caller: &Caller, address: IpAddr) -> Self {
        match caller {
            Caller::Account { id, .. } => Self::Account(*id),
            Caller::Anonymous | Caller::Service { .. } => Self::stranger(address),
        }
    }

    fn stranger(address: IpAddr) -> Self {
        Self::Network(Network::of(address))
    }
}

/// Lets a request of an endpoint in. At the door of charge points it is the service that tells who they are.
///
/// # Errors
/// There were too many, or the caller may not ask for it.
pub async fn admit<'g>(
    gateway: &'g Gateway,
    endpoint: &Endpoint,
    variables: &[String],
    request: &Parts,
) -> Result<Admitted<'g>, Status> {
    let address = address(&request.extensions);
    if endpoint.kind == Kind::Door {
        let identity = variables.first().map(String::as_str).unwrap_or_default();
        let class = if request.method == Method::POST {
            Class::Frame
        } else {
            endpoint.class
        };
        let standing = gateway.limits.count(class, Who::Station(identity), address).await?;
        let party = Party::stranger(address);
        return Ok(Admitted { standing, party });
    }
    let class = if rest::wants_file(endpoint, &request.headers) {
        Class::Heavy
    } else {
        endpoint.class
    };
    judge(gateway, endpoint.grpc_path.as_str(), class, &request.headers, address).await
}

/// Lets a gRPC call in.
///
/// # Errors
/// As above.
pub async fn admit_call<'g>(gateway: &'g Gateway, rpc: &Rpc, request: &Parts) -> Result<Admitted<'g>, Status> {
    let address = address(&request.extensions);
    judge(gateway, rpc.path.as_str(), rpc.class, &request.headers, address).await
}

/// Counts a request for what does not exist, or is the same for everybody.
///
/// # Errors
/// There were too many.
pub fn nothing_here<'g>(
    gateway: &'g Gateway,
    request: &Request,
) -> impl Future<Output = Result<Standing<'g>, Status>> + use<'g> {
    // Browsers ask before they ask. They remember the answer, and it costs nothing.
    let is_free = cors::is_preflight(request);
    let address = address(request.extensions());
    async move {
        if is_free {
            return Ok(Standing::default());
        }
        gateway.limits.count(Class::Read, Who::Stranger, address).await
    }
}

/// Counts requests for the gateway's own paths.
pub async fn own_path(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    match nothing_here(&gateway, &request).await {
        Ok(standing) => {
            let mut response = next.run(request).await;
            standing.tell(response.headers_mut());
            response
        }
        Err(status) => {
            let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
            Problem::from(status).render(&id)
        }
    }
}

async fn judge<'g>(
    gateway: &'g Gateway,
    path: &str,
    class: Class,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Admitted<'g>, Status> {
    let may_ask = || async {
        let counted = gateway.limits.count(Class::Credential, Who::Stranger, address).await;
        counted.map(|_| ())
    };
    let (caller, judgement) = gateway.access.judge(path, headers, may_ask).await;
    // What was refused for one limit is not counted for another.
    if let Err(status) = &judgement
        && Reason::of(status) == Reason::TooManyRequests
    {
        return Err(status.clone());
    }
    observe::account(&caller);
    let standing = gateway.limits.count(class, Who::of(&caller), address).await?;
    match judgement {
        Ok(()) => Ok(Admitted {
            standing,
            party: Party::of(&caller, address),
        }),
        Err(status) => Err(standing.with(status)),
    }
}

/// Where the client is.
pub fn address(extensions: &Extensions) -> IpAddr {
    let client = extensions.get::<Client>();
    client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.address)
}
