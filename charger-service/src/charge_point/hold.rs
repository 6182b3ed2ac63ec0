//! Takes a charge point for a change after which nobody counts who was let in before: another identity, another device, none at
//! all.

use service_kit::version::{self, IfMatch};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::find::FindError;

#[derive(Debug, Error)]
pub(super) enum HoldError {
    #[error("the charge point has been changed meanwhile")]
    Changed,
    #[error(transparent)]
    Find(#[from] FindError),
}

impl From<sqlx::Error> for HoldError {
    fn from(error: sqlx::Error) -> Self {
        Self::Find(error.into())
    }
}

impl From<HoldError> for Status {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Changed => version::changed(),
            HoldError::Find(error) => error.into(),
        }
    }
}

/// What it is before the change.
#[derive(Debug)]
pub(super) struct Held {
    pub id: Uuid,
    pub security_profile: i16,
    /// The highest that it may come in with.
    pub highest_security_profile: i16,
    pub is_retired: bool,
    pub vendor: Option<String>,
    pub model: Option<String>,
    pub serial_number: Option<String>,
    pub firmware_version: Option<String>,
    revision: i64,
}

/// In the version that the caller has seen. From here to the end of the transaction no connection of it comes to be: one that was
/// let in waits, and is refused then (`session::takeover`).
pub(super) async fn hold(connection: &mut PgConnection, identity: &str, if_match: &IfMatch) -> Result<Held, HoldError> {
    let held = sqlx::query_as!(
        Held,
        r#"SELECT id, security_profile,
               greatest(security_profile, next_security_profile, offered_security_profile) AS "highest_security_profile!",
               retired_at IS NOT NULL AS "is_retired!", vendor, model, serial_number, firmware_version, revision
           FROM ocpp.charge_point WHERE identity = $1 FOR UPDATE"#,
        identity,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(FindError::Unknown)?;
    match if_match.revisions() {
        Some(seen) if !seen.contains(&held.revision) => Err(HoldError::Changed),
        Some(_) | None => Ok(held),
    }
}
