//! Charge points that are lost or broken. The live feed has a row of each, written with its fact; here they are looked through in the
//! order of transactions, by one replica at a time, and what others are told of goes into the outbox together with how far it has come.
//! So each is told exactly once, and none costs the fact anything.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use service_kit::event::{self, Event};
use service_kit::outbox::{self, EnqueueError};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use uuid::Uuid;
use voltgate_proto::events::v1::{ChargePointFaulted, ChargePointOffline};

use super::place::place;
use crate::event::Kind;

/// Events of the feed that one transaction looks through.
const AT_ONCE: i64 = 5000;

/// OCPP's word for a connector that cannot be used.
const FAULTED: &str = "Faulted";

#[derive(Debug, Error)]
pub enum TellError {
    #[error("what happened could not be put into the outbox")]
    Outbox(#[from] EnqueueError),
    #[error("what happened could not be looked through")]
    Database(#[from] sqlx::Error),
}

/// Tells all there is. Another replica that does so already is left alone.
pub async fn tell(database: &PgPool) -> Result<(), TellError> {
    while look(database).await? {}
    Ok(())
}

/// Whether there is more.
async fn look(database: &PgPool) -> Result<bool, TellError> {
    let mut transaction = database.begin().await?;
    let Some(from) = place_of(&mut transaction).await? else {
        return Ok(false);
    };
    let rows = read(&mut transaction, &from).await?;
    let Some(last) = rows.first() else {
        // Where it begins is kept, also where there is nothing yet: what comes next would be before a beginning that is looked for anew.
        transaction.commit().await?;
        return Ok(false);
    };
    let (xid, id, looked_at) = (last.last_xid.clone(), last.last_id, last.looked_at);
    let events: Vec<_> = rows.into_iter().filter_map(Row::told).collect();
    outbox::enqueue_all(&mut transaction, &events).await?;
    sqlx::query!("UPDATE ocpp.announced SET xid = $1::text::xid8, id = $2", xid, id,)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(looked_at == AT_ONCE)
}

struct Reached {
    xid: String,
    id: i64,
}

/// How far it has come. None where another replica is at it. Under another server transactions are numbered anew, so it begins with
/// what happens from now on, as it does at the first look.
async fn place_of(connection: &mut PgConnection) -> Result<Option<Reached>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT xid::text AS "xid!", id, server IS NOT DISTINCT FROM ocpp.event_server() AS "is_this_server!",
               server IS NULL AS "is_first!"
           FROM ocpp.announced FOR UPDATE SKIP LOCKED"#
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.is_this_server {
        return Ok(Some(Reached {
            xid: row.xid,
            id: row.id,
        }));
    }
    if !row.is_first {
        tracing::warn!("The database is another server now; charge points that were lost meanwhile are not told of");
    }
    let present = sqlx::query_as!(
        Reached,
        r#"UPDATE ocpp.announced SET server = ocpp.event_server(), xid = pg_snapshot_xmin(pg_current_snapshot()), id = 0
           RETURNING xid::text AS "xid!", id"#
    )
    .fetch_one(connection)
    .await?;
    Ok(Some(present))
}

struct Row {
    /// Of all that were looked at.
    last_xid: String,
    last_id: i64,
    looked_at: i64,
    /// What is told; nothing of it where nothing is.
    kind: Option<String>,
    at: Option<DateTime<Utc>>,
    identity: Option<String>,
    data: Option<String>,
    site_id: Option<Uuid>,
    site_name: Option<String>,
    groups: Option<Vec<String>>,
    time_zone: Option<String>,
}

/// Which transactions are still open is looked at by the very statement that reads (ADR 11).
async fn read(connection: &mut PgConnection, from: &Reached) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"WITH looked AS MATERIALIZED (
               SELECT page.* FROM (SELECT pg_current_snapshot() AS snapshot) AS present
               CROSS JOIN LATERAL (
                   SELECT xid, id, at, type, identity, site_id, data FROM ocpp.event
                   WHERE (event.xid, event.id) > ($1::text::xid8, $2) AND event.xid < pg_snapshot_xmin(present.snapshot)
                   ORDER BY event.xid, event.id LIMIT $3) AS page),
           last AS (SELECT xid, id FROM looked ORDER BY xid DESC, id DESC LIMIT 1)
           SELECT last.xid::text AS "last_xid!", last.id AS "last_id!", (SELECT count(*) FROM looked) AS "looked_at!",
               told.type AS "kind?", told.at AS "at?", told.identity AS "identity?", told.data::text AS "data?", site.id AS "site_id?",
               site.name AS "site_name?", site.groups AS "groups?: Vec<String>", site.time_zone AS "time_zone?"
           FROM last
           LEFT JOIN looked AS told ON told.type = $4 OR told.type = $5 AND told.data ->> 'status' = $6
           LEFT JOIN ocpp.site ON site.id = told.site_id
           ORDER BY told.xid, told.id"#,
        from.xid,
        from.id,
        AT_ONCE,
        Kind::ChargePointOffline.as_str(),
        Kind::ConnectorStatus.as_str(),
        FAULTED,
    )
    .fetch_all(connection)
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    connector_id: i32,
    error_code: String,
}

impl Row {
    fn told(self) -> Option<Event> {
        let (kind, at, identity) = (Kind::parse(&self.kind?)?, self.at?, self.identity?);
        let place = Some(place(self.site_id, self.site_name, self.groups, self.time_zone));
        match kind {
            Kind::ChargePointOffline => Some(event::new(crate::NAME, at, &ChargePointOffline { identity, place })),
            Kind::ConnectorStatus => {
                let status: Status = serde_json::from_str(&self.data?).ok()?;
                let faulted = ChargePointFaulted {
                    identity,
                    place,
                    connector_id: status.connector_id,
                    error_code: status.error_code,
                };
                Some(event::new(crate::NAME, at, &faulted))
            }
            _ => None,
        }
    }
}
