//! A command that begins a job leaves for its charge point.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Kind;
use crate::event;

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
        "WITH requested AS (
             INSERT INTO ocpp.job (id, charge_point_id, kind, command_id, location, status, created_at, updated_at,
                 request_id)
             VALUES ($1, $2, $3, $4, $5, 'requested', $6, $6, $7)
             RETURNING id, kind, status)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $6, $8, identity, site_id, json_build_object('jobId', requested.id, 'kind', kind, 'status', status)
         FROM requested JOIN ocpp.charge_point ON charge_point.id = $2",
        Uuid::now_v7(),
        requested.charge_point,
        requested.kind.as_str(),
        requested.command,
        requested.location,
        requested.at,
        requested.request_id,
        event::Kind::JobStatus.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
