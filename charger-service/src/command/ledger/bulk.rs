//! The commands of campaigns: queued many at a time, and taken back together.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ending::completed;
use crate::audit::{self, Author, Entry};
use crate::command::ended::Finished;
use crate::notice::{Notice, tell};
use crate::redact::location::TRANSFERS;

/// What commands of a campaign have in common.
#[derive(Debug)]
pub struct Common<'a> {
    pub campaign: Uuid,
    pub action: &'a str,
    /// JSON; None where each has its own.
    pub payload: Option<&'a str>,
    pub requested_by: &'a str,
    pub author: &'a Author,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// One of them.
#[derive(Debug)]
pub struct One {
    pub id: Uuid,
    pub charge_point: Uuid,
    pub identity: String,
    /// JSON.
    pub payload: Option<String>,
}

/// Queues all of them and wakes their sessions.
pub async fn enqueue(connection: &mut PgConnection, common: &Common<'_>, each: &[One]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = each.iter().map(|one| one.id).collect();
    let charge_points: Vec<Uuid> = each.iter().map(|one| one.charge_point).collect();
    let payloads: Vec<Option<&str>> = each.iter().map(|one| one.payload.as_deref()).collect();
    sqlx::query!(
        "INSERT INTO ocpp.command (id, charge_point_id, action, payload, requested_by, request_digest, created_at,
             expires_at, campaign_id)
         SELECT id, charge_point_id, $4, coalesce(payload, $5)::json, $6, '', $7, $8, $9
         FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS one (id, charge_point_id, payload)",
        &ids,
        &charge_points,
        &payloads as &[Option<&str>],
        common.action,
        common.payload,
        common.requested_by,
        common.created_at,
        common.expires_at,
        common.campaign,
    )
    .execute(&mut *connection)
    .await?;
    let entries = each.iter().map(|one| {
        Entry::new(audit::Action::CommandRequested, common.created_at, common.author)
            .on_charge_point(&one.identity)
            .with("action", Some(common.action))
            .with("command", Some(one.id.to_string()))
            .with("campaign", Some(common.campaign.to_string()))
    });
    audit::record_all(connection, entries).await?;
    let notices: Vec<_> = charge_points
        .into_iter()
        .map(|charge_point| Notice::Queued { charge_point })
        .collect();
    tell(connection, &notices).await
}

/// Takes back what a campaign has queued and what has not been sent: it never is, as if it had expired. `why` stands with each.
/// `with_urls`: there are URLs of ours in them, whose tokens are not needed any more. Returns the ids.
pub async fn withdraw(
    connection: &mut PgConnection,
    campaign: Uuid,
    with_urls: bool,
    why: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let token = format!("({TRANSFERS})[^/\"]+");
    let withdrawn = sqlx::query_as!(
        Finished,
        r"UPDATE ocpp.command
          SET status = 'expired', completed_at = $2, error_description = $3,
              payload = CASE WHEN $4 THEN regexp_replace(payload::text, $5, '\1***')::json ELSE payload END
          FROM ocpp.campaign_target AS target
          WHERE target.campaign_id = $1 AND target.state = 'queued' AND command.id = target.command_id
            AND command.status = 'queued'
          RETURNING command.id, command.action",
        campaign,
        now,
        why,
        with_urls,
        token,
    )
    .fetch_all(&mut *connection)
    .await?;
    completed(connection, &withdrawn, now).await?;
    Ok(withdrawn.into_iter().map(|command| command.id).collect())
}
