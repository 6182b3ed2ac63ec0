//! Several commands that are queued at once: those of one request, and the same one for several charge points.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::audit::{self, Author, Entry};
use crate::notice::{Notice, tell};

/// One of many commands that an operator's request becomes.
#[derive(Debug)]
pub struct Several<'a> {
    pub id: Uuid,
    pub charge_point: Uuid,
    pub identity: &'a str,
    pub action: &'static str,
    /// JSON.
    pub payload: String,
}

/// Queues the commands of one request, in their order, and wakes the sessions. That the request is not repeated is for the
/// caller to see to.
pub async fn of_request(
    connection: &mut PgConnection,
    commands: &[Several<'_>],
    author: &Author,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = commands.iter().map(|command| command.id).collect();
    let charge_points: Vec<Uuid> = commands.iter().map(|command| command.charge_point).collect();
    let actions: Vec<&str> = commands.iter().map(|command| command.action).collect();
    let payloads: Vec<&str> = commands.iter().map(|command| command.payload.as_str()).collect();
    sqlx::query!(
        "INSERT INTO ocpp.command (id, charge_point_id, action, payload, requested_by, request_digest, created_at,
             expires_at)
         SELECT id, charge_point_id, action, payload::json, $5, '', $6, $7
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS new (id, charge_point_id, action, payload)",
        &ids,
        &charge_points,
        &actions as &[&str],
        &payloads as &[&str],
        author.to_string(),
        created_at,
        expires_at,
    )
    .execute(&mut *connection)
    .await?;
    let entries = commands.iter().map(|command| {
        Entry::new(audit::Action::CommandRequested, created_at, author)
            .on_charge_point(command.identity)
            .with("action", Some(command.action))
            .with("command", Some(command.id.to_string()))
    });
    audit::record_all(connection, entries).await?;
    let woken: BTreeSet<Uuid> = charge_points.into_iter().collect();
    let notices: Vec<_> = woken
        .into_iter()
        .map(|charge_point| Notice::Queued { charge_point })
        .collect();
    tell(connection, &notices).await
}

/// Queues the same command for each of some charge points, and wakes the sessions. Returns the ids, in the order of the
/// charge points.
pub async fn alike(
    connection: &mut PgConnection,
    charge_points: &[Uuid],
    action: &str,
    payload: &str,
    requested_by: &str,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = charge_points.iter().map(|_| Uuid::now_v7()).collect();
    if ids.is_empty() {
        return Ok(ids);
    }
    sqlx::query!(
        "INSERT INTO ocpp.command (id, charge_point_id, action, payload, requested_by, request_digest, created_at,
             expires_at)
         SELECT id, charge_point_id, $3, $4::text::json, $5, '', $6, $7
         FROM unnest($1::uuid[], $2::uuid[]) AS new (id, charge_point_id)",
        &ids,
        charge_points,
        action,
        payload,
        requested_by,
        created_at,
        expires_at,
    )
    .execute(&mut *connection)
    .await?;
    let notices: Vec<_> = charge_points
        .iter()
        .map(|charge_point| Notice::Queued {
            charge_point: *charge_point,
        })
        .collect();
    tell(connection, &notices).await?;
    Ok(ids)
}
