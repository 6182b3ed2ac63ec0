//! Who may call what. The rule stands beside each RPC in the `.proto` files; it is enforced in every service, so that
//! nobody gets round it with a gRPC client, and checked at the gateway by the same code, so that most refusals are
//! cheap. Nothing here knows accounts or passwords: that is auth-service's.

mod admission;
mod api_key;
mod authority;
mod caller;
pub mod client;
mod exchange;
mod layer;
mod peer;
mod remote_authority;
mod revocations;
mod rule;
mod scope;
mod service_token;
mod unknown_keys;
mod verification_keys;
mod verifier;

pub use admission::Admission;
pub use api_key::ApiKey;
pub use authority::{Authority, AuthorityUnavailable};
pub use caller::{Caller, Role, Roles};
pub use client::Client;
pub use layer::{Access, AccessLayer};
pub use peer::CALLER;
pub use remote_authority::RemoteAuthority;
pub use revocations::{Revocation, Revocations};
pub use rule::{Rule, Rules, Who};
pub use scope::{Scope, Scopes, Verb};
pub use service_token::{ServiceSecret, ServiceTokens};
pub use unknown_keys::UnknownKeys;
pub use verifier::{ACCESS_TOKEN_TYPE, AccessClaims, Jwk, Verifier};
