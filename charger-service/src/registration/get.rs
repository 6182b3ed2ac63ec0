//! Shows how a charge point is received.

use serde_json::value::RawValue;
use service_kit::database;
use service_kit::version::Versioned;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use voltgate_proto::ocpp::v1::Registration;

use super::pending::Step;
use crate::charge_point::find::FindError;

pub(super) async fn get(database: &PgPool, identity: &str) -> Result<Versioned<Registration>, FindError> {
    read(&mut *database::begin(database).await?, identity).await
}

/// As the transaction sees it that the connection is in.
pub(super) async fn read(connection: &mut PgConnection, identity: &str) -> Result<Versioned<Registration>, FindError> {
    let row = sqlx::query!(
        r#"SELECT registration_status, boot_interval_seconds, pending_commands AS "pending_commands: Json<Vec<Step<Box<RawValue>>>>",
             revision
         FROM ocpp.charge_point WHERE identity = $1"#,
        identity,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(FindError::Unknown)?;
    let registration = Registration {
        registration_status: row.registration_status,
        interval_seconds: row.boot_interval_seconds,
        pending_commands: row.pending_commands.0.into_iter().map(Into::into).collect(),
    };
    Ok(Versioned::new(registration, row.revision))
}
