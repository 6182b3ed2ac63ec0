//! Events as the table has them, some at a time.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::event::timestamp;
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::Event;

use super::data::data;
use super::position::{EventId, NoId, Position, Server, Snapshot};

/// Events of a page.
pub const MOST: i64 = 200;

/// An event, and what is looked at to tell who wants it.
#[derive(Debug)]
pub struct Happened {
    pub position: Position,
    pub site: Option<Uuid>,
    pub event: Event,
}

#[derive(Debug)]
pub struct Page {
    pub server: Server,
    /// In their order.
    pub events: Vec<Arc<Happened>>,
    /// The last of them, or where it was read from.
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
        r#"SELECT ocpp.event_server() AS "server!",
               horizon.xid::text AS "horizon_xid!", horizon.id AS "horizon_id!",
               page.xid::text AS "xid?", page.id AS "id?", page.at AS "at?", page.type AS "type?",
               page.identity AS "identity?", page.site_id AS "site_id?", page.data::text AS "data?"
           FROM (SELECT pg_current_snapshot() AS snapshot) AS present
           CROSS JOIN (SELECT xid, id FROM ocpp.event_horizon LIMIT 1) AS horizon
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
    let server = Server::of_digest(first.server);
    let horizon = Position {
        xid: number(&first.horizon_xid)?,
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
        let id = EventId { server, position };
        events.push(Arc::new(happened(id, at, r#type, row.identity, row.site_id, &data)));
    }
    Ok(Page {
        server,
        is_full: events.len() as i64 == MOST,
        to: events.last().map_or(after, |last| last.position),
        events,
        horizon,
    })
}

/// Where somebody stands who begins to listen.
#[derive(Debug)]
pub struct Present {
    pub server: Server,
    /// Which transactions are over.
    pub snapshot: Snapshot,
    /// The last event that nothing can come before any more. Not the last transaction: after a crash its number may be given again,
    /// where it had written nothing.
    pub last: Position,
}

pub async fn present(database: &PgPool) -> Result<Present, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT ocpp.event_server() AS "server!",
               present.snapshot::text AS "snapshot!", coalesce(last.xid, horizon.xid)::text AS "xid!",
               coalesce(last.id, horizon.id) AS "id!"
           FROM (SELECT pg_current_snapshot() AS snapshot) AS present
           CROSS JOIN (SELECT xid, id FROM ocpp.event_horizon LIMIT 1) AS horizon
           LEFT JOIN LATERAL (
               SELECT xid, id FROM ocpp.event WHERE event.xid < pg_snapshot_xmin(present.snapshot)
               ORDER BY event.xid DESC, event.id DESC LIMIT 1) AS last ON true"#
    )
    .fetch_one(database)
    .await?;
    Ok(Present {
        server: Server::of_digest(row.server),
        snapshot: row.snapshot.parse().map_err(unreadable)?,
        last: Position {
            xid: number(&row.xid)?,
            id: row.id,
        },
    })
}

fn happened(
    id: EventId,
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
        position: id.position,
        site,
        event: Event {
            id: id.to_string(),
            time: Some(timestamp(at)),
            r#type,
            identity,
            site_id: site.map(|site| site.to_string()),
            data,
        },
    }
}

fn number(xid: &str) -> Result<u64, sqlx::Error> {
    xid.parse().map_err(|_| unreadable(NoId))
}

fn unreadable(error: NoId) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
