//! The state of a connector.
//!
//! Notifications may come in late or out of order, and the later state wins by the station's clock. A clock that is
//! plainly wrong must not decide, or one notification from the future would hide all that follow (rule 9 of the OCPP
//! decisions): then the order of arrival counts. How the state came about is kept for a while, too.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::event::Kind;
use crate::housekeeping::in_batches;
use crate::station_clock::ordered_at;

/// What the station says.
#[derive(Debug)]
pub struct Status {
    pub charge_point: Uuid,
    /// 0 is the charge point as a whole.
    pub connector_id: i32,
    pub status: String,
    pub error_code: String,
    pub info: Option<String>,
    pub vendor_id: Option<String>,
    pub vendor_error_code: Option<String>,
    /// By the station's clock, where it tells.
    pub status_at: Option<DateTime<Utc>>,
    /// By ours.
    pub received_at: DateTime<Utc>,
}

/// Stores each state unless a later one is known, and adds it to the history whichever is. It is an event where it counts and is
/// another than before; whether it is, is looked at where the row is locked, so that two connections cannot both find it is.
/// No connector is among them twice.
pub async fn store(connection: &mut PgConnection, told: &[Status]) -> Result<(), sqlx::Error> {
    let rows = Columns::of(told);
    sqlx::query!(
        "WITH told AS (
             SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                 $8::timestamptz[], $9::timestamptz[], $10::timestamptz[])
                 AS told (charge_point_id, connector_id, status, error_code, info, vendor_id, vendor_error_code, status_at,
                     ordered_at, received_at)),
         history AS (
             INSERT INTO ocpp.connector_status (charge_point_id, connector_id, status, error_code, info, vendor_id,
                 vendor_error_code, status_at, received_at)
             SELECT charge_point_id, connector_id, status, error_code, info, vendor_id, vendor_error_code, status_at,
                 received_at
             FROM told),
         stored AS (
             INSERT INTO ocpp.connector AS known (charge_point_id, connector_id, status, error_code, info, vendor_id,
                 vendor_error_code, status_at, ordered_at, received_at)
             SELECT charge_point_id, connector_id, status, error_code, info, vendor_id, vendor_error_code, status_at,
                 ordered_at, received_at
             FROM told
             ON CONFLICT (charge_point_id, connector_id) DO UPDATE
             SET status = excluded.status, error_code = excluded.error_code, info = excluded.info,
                 vendor_id = excluded.vendor_id, vendor_error_code = excluded.vendor_error_code,
                 status_at = excluded.status_at, ordered_at = excluded.ordered_at, received_at = excluded.received_at,
                 is_news = (known.status, known.error_code, known.info, known.vendor_id, known.vendor_error_code)
                     IS DISTINCT FROM (excluded.status, excluded.error_code, excluded.info, excluded.vendor_id,
                         excluded.vendor_error_code)
             WHERE known.ordered_at <= excluded.ordered_at
             RETURNING charge_point_id, connector_id, is_news)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT told.received_at, $11, identity, site_id,
             json_build_object('connectorId', told.connector_id, 'status', told.status, 'errorCode', told.error_code,
                 'statusAt', told.status_at)
         FROM stored JOIN told USING (charge_point_id, connector_id)
             JOIN ocpp.charge_point ON charge_point.id = stored.charge_point_id
         WHERE is_news AND charge_point.id = ANY($1)",
        &rows.charge_point,
        &rows.connector_id,
        &rows.status as &[&str],
        &rows.error_code as &[&str],
        &rows.info as &[Option<&str>],
        &rows.vendor_id as &[Option<&str>],
        &rows.vendor_error_code as &[Option<&str>],
        &rows.status_at,
        &rows.ordered_at,
        &rows.received_at,
        Kind::ConnectorStatus.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// States by column, as one statement takes them.
#[derive(Default)]
struct Columns<'a> {
    charge_point: Vec<Uuid>,
    connector_id: Vec<i32>,
    status: Vec<&'a str>,
    error_code: Vec<&'a str>,
    info: Vec<Option<&'a str>>,
    vendor_id: Vec<Option<&'a str>>,
    vendor_error_code: Vec<Option<&'a str>>,
    status_at: Vec<DateTime<Utc>>,
    ordered_at: Vec<DateTime<Utc>>,
    received_at: Vec<DateTime<Utc>>,
}

impl<'a> Columns<'a> {
    fn of(told: &'a [Status]) -> Self {
        let mut columns = Self::default();
        for status in told {
            columns.charge_point.push(status.charge_point);
            columns.connector_id.push(status.connector_id);
            columns.status.push(&status.status);
            columns.error_code.push(&status.error_code);
            columns.info.push(status.info.as_deref());
            columns.vendor_id.push(status.vendor_id.as_deref());
            columns.vendor_error_code.push(status.vendor_error_code.as_deref());
            columns.status_at.push(status.status_at.unwrap_or(status.received_at));
            columns
                .ordered_at
                .push(ordered_at(status.status_at, status.received_at));
            columns.received_at.push(status.received_at);
        }
        columns
    }
}

/// Deletes what of the history is older than it is kept.
pub async fn prune(database: &PgPool, now: DateTime<Utc>, retention: TimeDelta) -> Result<(), sqlx::Error> {
    in_batches(|at_once| async move {
        let pruned = sqlx::query!(
            "DELETE FROM ocpp.connector_status WHERE id IN (
                 SELECT id FROM ocpp.connector_status WHERE received_at < $1 ORDER BY received_at LIMIT $2
                 FOR UPDATE SKIP LOCKED)",
            now - retention,
            at_once,
        )
        .execute(database)
        .await?;
        Ok(pruned.rows_affected())
    })
    .await
}
