//! A charge point at the door that nobody has registered: an operator gets to see it, and where the installation says so it
//! is registered with what it brought along.

use uuid::Uuid;

use super::credentials;
use super::handshake::Offer;
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::charge_point::identity::Identity;
use crate::unknown::{self, Knock};

/// What it is registered with.
struct Brought {
    security_profile: i16,
    /// None without a password.
    password: Option<Vec<u8>>,
}

/// Whether it is registered now.
pub async fn accept(state: &State, identity: &Identity, offer: &Offer) -> Result<bool, sqlx::Error> {
    let brought = brought(state, identity, offer).filter(|_| state.accept_unknown);
    if let Some(brought) = brought {
        return register(state, identity, brought, &Author::at_the_door(offer.peer.as_deref())).await;
    }
    let knock = Knock {
        identity: identity.as_str(),
        peer: offer.peer.as_deref(),
        subprotocols: &offer.subprotocols,
        at: state.clock.now(),
    };
    state.knocks.note(&state.database, &knock).await?;
    Ok(false)
}

fn brought(state: &State, identity: &Identity, offer: &Offer) -> Option<Brought> {
    match offer.authorization.as_deref() {
        None => state.allow_unsecured.then_some(Brought {
            security_profile: 0,
            password: None,
        }),
        Some(header) => {
            let credentials = credentials::basic(header)?;
            let is_own = credentials.user == identity.as_str().as_bytes() && !credentials.password.is_empty();
            is_own.then_some(Brought {
                security_profile: 1,
                password: Some(credentials.password),
            })
        }
    }
}

async fn register(state: &State, identity: &Identity, brought: Brought, author: &Author) -> Result<bool, sqlx::Error> {
    let now = state.clock.now();
    let id = Uuid::now_v7();
    let hash = brought.password.map(|password| state.passwords.hash(id, &password));
    let mut transaction = state.database.begin().await?;
    // First, as an operator's registration does: neither waits for the other while it is waited for.
    unknown::forget(&mut transaction, identity.as_str()).await?;
    let registered = sqlx::query!(
        "INSERT INTO ocpp.charge_point (id, identity, display_name, security_profile, password_hash, created_at)
         VALUES ($1, $2, $2, $3, $4, $5)
         ON CONFLICT (identity) DO NOTHING",
        id,
        identity.as_str(),
        brought.security_profile,
        hash.as_ref().map(<[u8; 32]>::as_slice),
        now,
    )
    .execute(&mut *transaction)
    .await?;
    // Another connection of its own may have been faster.
    if registered.rows_affected() > 0 {
        let entry = Entry::new(Action::ChargePointCreated, now, author)
            .on_charge_point(identity.as_str())
            .with("securityProfile", Some(brought.security_profile))
            .with("acceptUnknown", Some(true));
        audit::record(&mut transaction, entry).await?;
    }
    transaction.commit().await?;
    tracing::warn!(%identity, "A charge point that nobody had registered was let in, because CHARGER_ACCEPT_UNKNOWN is on");
    Ok(true)
}
