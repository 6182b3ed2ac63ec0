//! Who may call what. The rule stands beside each RPC in the `.proto` files; it is enforced in every service, so that
//! nobody gets round it with a gRPC client, and checked at the gateway by the same code, so that most refusals are
//! cheap. Nothing here knows accounts or passwords: that is auth-service's.

mod authority;
mod caller;
mod client;
mod layer;
mod peer;
mod remote_authority;
mod revocations;
mod rule;
mod service_token;
mod verifier;

pub use authority::{Authority, KeysUnavailable};
pub use caller::{Caller, Role, Roles};
pub use client::Client;
pub use layer::{Access, AccessLayer};
pub use peer::CALLER;
pub use remote_authority::RemoteAuthority;
pub use revocations::{Revocation, Revocations};
pub use rule::{Rule, Rules};
pub use service_token::{ServiceSecret, ServiceTokens};
pub use verifier::{ACCESS_TOKEN_TYPE, AccessClaims, Jwk, Verifier};
