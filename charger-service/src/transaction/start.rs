//! Starts a transaction, once for each start that a station means.
//!
//! A station repeats a start until it gets an answer, so the repetition is recognised before anything else is asked
//! (rule 3 of the OCPP decisions): were the token looked at first, a token blocked in between would turn a running charge
//! into a refused one. A refused start is stored as well and has an id of its own, since the station may charge anyway.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::announce;
use crate::authorization::{self, Authorization, AuthorizationStatus, Presented, Purpose};
use crate::charging_profile;
use crate::event::Kind;
use crate::reservation::redeem::redeemed;
use crate::station_clock::ordered_at;

/// No connection outlives its successor by nearly as much.
const LATE: TimeDelta = TimeDelta::hours(1);

/// How much a station's clock may be slow, for a token to be somebody's already who has just got it.
const SLOW: TimeDelta = TimeDelta::minutes(5);

/// What the station says.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    pub charge_point: Uuid,
    pub connector_id: i32,
    pub id_token: String,
    /// None where it cannot be read, which is not the same as 0.
    pub meter_start_wh: Option<i64>,
    pub reservation_id: Option<i32>,
    /// By the station's clock; None where it cannot be read.
    pub started_at: Option<DateTime<Utc>>,
    /// By ours.
    pub received_at: DateTime<Utc>,
    /// It came in on a connection that has a successor. The station may have said it again on that one since, and have
    /// stopped the transaction as well.
    pub is_late: bool,
    /// The charge point is out of use by now, or another device has its place: what it started is kept, and counts for nobody.
    pub is_gone: bool,
    /// What another authority said of the token, where one was asked.
    pub heard: Option<&'a Authorization>,
}

impl Start<'_> {
    fn presented(&self, purpose: Purpose) -> Presented<'_> {
        Presented {
            id_token: &self.id_token,
            charge_point: self.charge_point,
            connector_id: Some(self.connector_id),
            purpose,
            at: self.received_at,
            heard: self.heard,
        }
    }
}

#[derive(Debug)]
pub struct Started {
    /// Positive and never given twice.
    pub transaction_id: i32,
    pub authorization: Authorization,
}

struct Known {
    id: i32,
    authorization_status: String,
}

pub async fn start(connection: &mut PgConnection, start: &Start<'_>) -> Result<Started, sqlx::Error> {
    if let Some(known) = find(connection, start).await? {
        return repeated(connection, start, known).await;
    }
    if start.is_late
        && let Some(known) = find_stopped(connection, start, i32::MAX).await?
    {
        return repeated(connection, start, known).await;
    }
    let mut authorization = authorization::decide(connection, &start.presented(Purpose::Start)).await?;
    if start.is_gone {
        authorization.status = AuthorizationStatus::Invalid;
    }
    match insert(connection, start, authorization.status).await? {
        Some(transaction_id) => {
            // The other socket may have stopped it while this one waited to insert the same.
            if start.is_late
                && let Some(known) = find_stopped(connection, start, transaction_id).await?
            {
                withdraw(connection, transaction_id).await?;
                return repeated(connection, start, known).await;
            }
            // A refused one leaves the reservation and the profile to whoever they are for.
            if authorization.status == AuthorizationStatus::Accepted {
                settle(connection, start, transaction_id).await?;
                announce::charge::started(connection, transaction_id, start.received_at).await?;
            }
            Ok(Started {
                transaction_id,
                authorization,
            })
        }
        // The station's other socket said the same a moment ago.
        None => match find(connection, start).await? {
            Some(known) => repeated(connection, start, known).await,
            // And stopped it since; the station will ask again.
            None => Err(sqlx::Error::RowNotFound),
        },
    }
}

/// What waited for this transaction.
async fn settle(connection: &mut PgConnection, start: &Start<'_>, transaction_id: i32) -> Result<(), sqlx::Error> {
    if let Some(reservation) = start.reservation_id {
        redeemed(
            connection,
            start.charge_point,
            reservation,
            transaction_id,
            start.received_at,
        )
        .await?;
    }
    charging_profile::transaction::started(
        connection,
        start.charge_point,
        start.connector_id,
        &start.id_token,
        transaction_id,
    )
    .await
}

/// The same id and the same verdict as the first time, whatever has become of the token since.
async fn repeated(connection: &mut PgConnection, start: &Start<'_>, known: Known) -> Result<Started, sqlx::Error> {
    let authorization = authorization::decide(connection, &start.presented(Purpose::Stop)).await?;
    Ok(Started {
        transaction_id: known.id,
        authorization: Authorization {
            status: AuthorizationStatus::remembered(&known.authorization_status),
            ..authorization
        },
    })
}

/// Compares as the index `transaction_start_unique` does.
async fn find(connection: &mut PgConnection, start: &Start<'_>) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        r#"SELECT id, authorization_status FROM ocpp.transaction
           WHERE charge_point_id = $1 AND connector_id = $2 AND left(lower(id_token), 255) = left(lower($3 COLLATE "C"), 255)
             AND coalesce(started_at, '-infinity'::timestamptz) = coalesce($4, '-infinity'::timestamptz)
             AND coalesce(meter_start_wh, -9223372036854775808) = coalesce($5, -9223372036854775808)
             AND stop_received_at IS NULL"#,
        start.charge_point,
        start.connector_id,
        start.id_token,
        start.started_at,
        start.meter_start_wh,
    )
    .fetch_optional(connection)
    .await
}

/// It never was, and nobody is told that it was.
async fn withdraw(connection: &mut PgConnection, transaction_id: i32) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH untold AS (DELETE FROM ocpp.event WHERE xid = pg_current_xact_id() AND type = $2)
         DELETE FROM ocpp.transaction WHERE id = $1",
        transaction_id,
        Kind::TransactionStarted.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Like [`find`], among those that were stopped of late, and before this one.
async fn find_stopped(
    connection: &mut PgConnection,
    start: &Start<'_>,
    before: i32,
) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        r#"SELECT id, authorization_status FROM ocpp.transaction
           WHERE charge_point_id = $1 AND connector_id = $2 AND left(lower(id_token), 255) = left(lower($3 COLLATE "C"), 255)
             AND coalesce(started_at, '-infinity'::timestamptz) = coalesce($4, '-infinity'::timestamptz)
             AND coalesce(meter_start_wh, -9223372036854775808) = coalesce($5, -9223372036854775808)
             AND start_received_at > $6 AND id < $7
           ORDER BY id DESC LIMIT 1"#,
        start.charge_point,
        start.connector_id,
        start.id_token,
        start.started_at,
        start.meter_start_wh,
        start.received_at - LATE,
        before,
    )
    .fetch_optional(connection)
    .await
}

async fn insert(
    connection: &mut PgConnection,
    start: &Start<'_>,
    authorization: AuthorizationStatus,
) -> Result<Option<i32>, sqlx::Error> {
    let status = match authorization {
        AuthorizationStatus::Accepted => "active",
        AuthorizationStatus::Blocked
        | AuthorizationStatus::ConcurrentTx
        | AuthorizationStatus::Expired
        | AuthorizationStatus::Invalid => "refused",
    };
    let began = ordered_at(start.started_at, start.received_at);
    // Whose token it was then. A token that is handed to somebody else does not show them what was charged with it before.
    sqlx::query_scalar!(
        r#"WITH started AS (
             INSERT INTO ocpp.transaction (charge_point_id, connector_id, id_token, status, authorization_status,
                 reservation_id, meter_start_wh, started_at, start_received_at, tariff_version_id, account_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
                 CASE WHEN $4 = 'active' THEN ocpp.tariff_version_of($1, $11) END,
                 (SELECT account_id FROM ocpp.id_token_owner
                  WHERE value = lower($3 COLLATE "C") AND since <= $12 AND (until IS NULL OR $11 < until)
                  ORDER BY since LIMIT 1))
             ON CONFLICT (charge_point_id, connector_id, left(lower(id_token), 255),
                 coalesce(started_at, '-infinity'::timestamptz), coalesce(meter_start_wh, -9223372036854775808))
                 WHERE stop_received_at IS NULL DO NOTHING
             RETURNING id),
         told AS (
             INSERT INTO ocpp.event (at, type, identity, site_id, data)
             SELECT $9, $10, identity, site_id, json_build_object('transactionId', started.id,
                 'connectorId', $2::integer, 'status', $4::text, 'startedAt', $8::timestamptz)
             FROM started JOIN ocpp.charge_point ON charge_point.id = $1)
         SELECT id AS "id!" FROM started"#,
        start.charge_point,
        start.connector_id,
        start.id_token,
        status,
        authorization.as_str(),
        start.reservation_id,
        start.meter_start_wh,
        start.started_at,
        start.received_at,
        Kind::TransactionStarted.as_str(),
        began,
        began + SLOW,
    )
    .fetch_optional(connection)
    .await
}
