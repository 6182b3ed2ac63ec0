//! Events as the table has them, some at a time.

use chrono::{DateTime, Utc};
use service_kit::event::timestamp;
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::Event;

use super::data::data;
use super::position::{NoPosition, Position, Snapshot};

/// Events of a page.
pub const MOST: i64 = 500;

/// An event, and what is looked at to tell who wants it.
#[derive(Debug)]
pub struct Happened {
    pub position: Position,
    pub site: Option<Uuid>,
    pub event: Event,
}

#[derive(Debug)]
pub struct Page {
    /// In their order.
    pub events: Vec<Happened>,
    /// Nothing before it is left to read.
    pub to: Position,
    /// There is more.
    pub is_full: bool,
    /// Up to here events have been deleted.
    pub horizon: Position,
}

/// What comes next. Which transactions are still open is looked at by the very statement that reads, so that all that can ever
/// come before the end of the page is in it. Reads by the order alone, whatever somebody wants of it: a page costs the same
/// however seldom a filter fits.
pub async fn read(database: &PgPool, after: Position) -> Result<Page, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT pg_snapshot_xmin(present.snapshot)::text AS "frontier!",
               horizon.xid::text AS "horizon_xid!", horizon.id AS "horizon_id!",
               page.xid::text AS "xid?", page.id AS "id?", page.at AS "at?", page.type AS "type?",
               page.identity AS "identity?", page.site_id AS "site_id?", page.data::text AS "data?"
           FROM (SELECT pg_current_snapshot() AS snapshot) AS present
           CROSS JOIN ocpp.event_horizon AS horizon
           LEFT JOIN LATERAL (
               SELECT xid, id, at, type, identity, site_id, data FROM ocpp.event
               WHERE (event.xid, event.id) > ($1::text::xid8, $2) AND event.xid < pg_snapshot_xmin(present.snapshot)
               ORDER BY event.xid, event.id LIMIT $3) AS page ON true
           ORDER BY page.xid, page.id"#,
        after.xid.to_string(),
        after.id,
        MOST,
    )
    .fetch_all(database)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let (frontier, horizon) = (number(&first.frontier)?, number(&first.horizon_xid)?);
    let horizon = Position {
        xid: horizon,
        id: first.horizon_id,
    };
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        // None at all where there is no event.
        let (Some(xid), Some(id), Some(at), Some(r#type), Some(data)) = (row.xid, row.id, row.at, row.r#type, row.data)
        else {
            continue;
        };
        let position = Position { xid: number(&xid)?, id };
        events.push(happened(position, at, r#type, row.identity, row.site_id, &data));
    }
    let is_full = events.len() as i64 == MOST;
    let to = match events.last() {
        Some(last) if is_full => last.position,
        _ => Position::before(frontier).max(after),
    };
    Ok(Page {
        events,
        to,
        is_full,
        horizon,
    })
}

/// Which transactions are over now.
pub async fn present(database: &PgPool) -> Result<Snapshot, sqlx::Error> {
    let snapshot = sqlx::query_scalar!(r#"SELECT pg_current_snapshot()::text AS "snapshot!""#)
        .fetch_one(database)
        .await?;
    snapshot.parse().map_err(unreadable)
}

fn happened(
    position: Position,
    at: DateTime<Utc>,
    r#type: String,
    identity: Option<String>,
    site: Option<Uuid>,
    told: &str,
) -> Happened {
    // A newer release may tell what this one does not know.
    let data = data(&r#type, told).unwrap_or_else(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            r#type,
            "What an event tells cannot be read"
        );
        None
    });
    Happened {
        position,
        site,
        event: Event {
            id: position.to_string(),
            time: Some(timestamp(at)),
            r#type,
            identity,
            site_id: site.map(|site| site.to_string()),
            data,
        },
    }
}

fn number(xid: &str) -> Result<u64, sqlx::Error> {
    xid.parse().map_err(|_| unreadable(NoPosition))
}

fn unreadable(error: NoPosition) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
