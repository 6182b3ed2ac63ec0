//! Finds the transaction that a station means without its number.
//!
//! A station that never got an answer to its StartTransaction names the transaction -1 from then on (errata 3.18), and some
//! name it 0. Where the connector and the time leave no doubt which one that is, it is that one (rule 4 of the OCPP
//! decisions). Refuses to guess: what ends up at the wrong transaction is on somebody's bill.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::owned::Owned;

/// Whether a number stands for a transaction that has none.
pub fn is_placeholder(transaction_id: i32) -> bool {
    matches!(transaction_id, -1 | 0)
}

/// For the message log.
pub fn flag(told: i32, transaction_id: i32) -> String {
    format!("transactionId: is {told}, and was taken for {transaction_id} by connector and time")
}

/// The transaction that ran on a connector at a time: the last one that had started, unless it was over.
pub async fn at(
    connection: &mut PgConnection,
    charge_point: Uuid,
    connector_id: i32,
    at: DateTime<Utc>,
) -> Result<Option<Owned>, sqlx::Error> {
    sqlx::query_as!(
        Owned,
        r#"SELECT id AS "id!", connector_id AS "connector_id!" FROM (
             SELECT id, connector_id, stop_received_at, coalesce(stopped_at, stop_received_at) AS stopped
             FROM ocpp.transaction
             WHERE charge_point_id = $1 AND connector_id = $2 AND started_at <= $3
             ORDER BY started_at DESC LIMIT 1) AS last
         WHERE stop_received_at IS NULL OR stopped >= $3"#,
        charge_point,
        connector_id,
        at,
    )
    .fetch_optional(connection)
    .await
}

/// What a stop without a number tells.
#[derive(Debug)]
pub struct Stopping<'a> {
    pub charge_point: Uuid,
    pub at: DateTime<Utc>,
    pub meter_stop_wh: Option<i64>,
    pub id_token: Option<&'a str>,
}

/// The only transaction that it can end. A stop names no connector, so every one is looked at; one with a token ends what was
/// started with it.
pub async fn ended_by(connection: &mut PgConnection, stop: &Stopping<'_>) -> Result<Option<i32>, sqlx::Error> {
    // Where another one has started since on its connector, a transaction that is still open has only lost its stop.
    let candidates = sqlx::query_scalar!(
        r#"SELECT id FROM ocpp.transaction AS open
         WHERE charge_point_id = $1 AND stop_received_at IS NULL AND started_at <= $2
           AND coalesce(meter_start_wh <= $3, true)
           AND coalesce(lower(id_token) = lower($4 COLLATE "C"), true)
           AND NOT EXISTS (
               SELECT FROM ocpp.transaction AS later
               WHERE later.charge_point_id = $1 AND later.connector_id = open.connector_id
                 AND later.started_at > open.started_at AND later.started_at <= $2)
         ORDER BY id LIMIT 2"#,
        stop.charge_point,
        stop.at,
        stop.meter_stop_wh,
        stop.id_token,
    )
    .fetch_all(connection)
    .await?;
    match candidates.as_slice() {
        [only] => Ok(Some(*only)),
        _ => Ok(None),
    }
}

/// The transaction that was stopped with the very same facts before. After a power loss those of two connectors may differ by
/// their tokens only.
pub async fn ended_alike(connection: &mut PgConnection, stop: &Stopping<'_>) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM ocpp.transaction
         WHERE charge_point_id = $1 AND stopped_at = $2 AND meter_stop_wh IS NOT DISTINCT FROM $3
           AND stop_id_token IS NOT DISTINCT FROM $4
         ORDER BY id LIMIT 1",
        stop.charge_point,
        stop.at,
        stop.meter_stop_wh,
        stop.id_token,
    )
    .fetch_optional(connection)
    .await
}
