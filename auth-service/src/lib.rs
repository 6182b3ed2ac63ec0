//! auth-service: accounts, and the tokens that prove them. It owns the schema `authentication` and nothing else; it
//! knows no charge points and sends no mail, but tells of a signup through its outbox.

mod access_token;
mod account;
mod administrator;
mod announce;
mod api_key;
mod application;
mod audit;
mod authority;
mod caller;
mod contact;
mod credential;
mod discovery;
mod email;
mod email_code;
mod erasure;
mod grpc;
mod health;
mod housekeeping;
mod login;
mod logout;
mod name;
mod owner;
mod passkey;
mod password;
mod password_hash;
mod profile;
mod random_token;
mod reauthentication;
mod recovery_code;
mod revocation;
mod second_factor;
mod session;
mod settings;
mod sign_in;
mod signing_key;
mod signup;
mod throttle;
mod totp;
mod user;
mod username;
mod verification;

pub use administrator::Administrator;
pub use application::Application;
pub use password::Password;
pub use settings::Settings;
pub use username::Username;

use std::collections::BTreeSet;
use std::sync::Arc;

use service_kit::access::Scope;
use service_kit::clock::SharedClock;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The name under which this service writes events and is known to the others.
pub const NAME: &str = "auth-service";

/// Connections of its pool that the service takes for good, to hear what replicas tell each other: of events to be published,
/// revocations, signing keys, and requests for a new password.
const LISTENERS: u32 = 4;

/// What every operation works with.
struct State {
    database: PgPool,
    clock: SharedClock,
    passwords: password_hash::PasswordHasher,
    tokens: access_token::AccessTokens,
    rotation: Arc<signing_key::rotation::Rotation>,
    sessions: session::Lifetimes,
    /// How long entries of the audit log are kept.
    audit_retention: chrono::TimeDelta,
    revocations: revocation::Feed,
    throttle: throttle::Throttle,
    health: watch::Sender<health::Health>,
    sealing: service_kit::sealing::SealingKey,
    passkeys: passkey::RelyingParty,
    /// Every scope that an API key can have.
    scopes: BTreeSet<Scope>,
    /// What people call this installation.
    site_name: String,
    /// Cancelled when the process wants no new work; streams end then.
    stopping: CancellationToken,
}
