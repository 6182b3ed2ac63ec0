//! A command that begins a job leaves for its charge point.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Kind;

#[derive(Debug)]
pub struct Requested<'a> {
    pub charge_point: Uuid,
    pub command: Uuid,
    pub kind: Kind,
    /// By which notifications find it, where they say one.
    pub request_id: Option<i32>,
    /// A URL, without what lets in.
    pub location: &'a str,
    pub at: DateTime<Utc>,
}

pub async fn requested(connection: &mut PgConnection, requested: &Requested<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO ocpp.job (id, charge_point_id, kind, command_id, location, status, created_at, updated_at,
             request_id)
         VALUES ($1, $2, $3, $4, $5, 'requested', $6, $6, $7)",
        Uuid::now_v7(),
        requested.charge_point,
        requested.kind.as_str(),
        requested.command,
        requested.location,
        requested.at,
        requested.request_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}
