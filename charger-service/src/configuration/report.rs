//! A charge point has told of its keys.

use chrono::{DateTime, Utc};
use ocpp::v1_6::KeyValue;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::redact;

/// Far longer than any, and as long as an index takes.
const LONGEST_KEY: usize = 255;

/// How many connectors it has.
const NUMBER_OF_CONNECTORS: &str = "NumberOfConnectors";

#[derive(Debug)]
pub struct Report {
    pub charge_point: Uuid,
    pub known: Vec<KeyValue>,
    pub unknown: Vec<String>,
    /// It was asked for all keys that it has: what it does not tell of is not there.
    pub complete: bool,
    pub at: DateTime<Utc>,
}

pub async fn report(connection: &mut PgConnection, mut report: Report) -> Result<(), sqlx::Error> {
    report.known.retain(|entry| entry.key.len() <= LONGEST_KEY);
    report.unknown.retain(|key| key.len() <= LONGEST_KEY);
    if report.complete {
        forget_others(connection, &report).await?;
    }
    known(connection, &report).await?;
    unknown(connection, report.charge_point, &report.unknown, report.at).await?;
    connectors(connection, &report).await
}

/// Keys that an operator has set stay, without a reported value.
async fn forget_others(connection: &mut PgConnection, report: &Report) -> Result<(), sqlx::Error> {
    let told: Vec<&str> = report.known.iter().map(|entry| entry.key.as_str()).collect();
    sqlx::query!(
        r#"WITH gone AS (
             DELETE FROM ocpp.configuration_key
             WHERE charge_point_id = $1 AND desired_at IS NULL AND known
               AND lower(key) NOT IN (SELECT lower(told COLLATE "C") FROM unnest($2::text[]) AS told))
         UPDATE ocpp.configuration_key SET reported_value = NULL, reported_at = $3
         WHERE charge_point_id = $1 AND desired_at IS NOT NULL
           AND lower(key) NOT IN (SELECT lower(told COLLATE "C") FROM unnest($2::text[]) AS told)"#,
        report.charge_point,
        &told as &[&str],
        report.at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn known(connection: &mut PgConnection, report: &Report) -> Result<(), sqlx::Error> {
    let keys: Vec<&str> = report.known.iter().map(|entry| entry.key.as_str()).collect();
    let readonly: Vec<Option<bool>> = report.known.iter().map(|entry| entry.readonly).collect();
    let values: Vec<Option<&str>> = report.known.iter().map(shown).collect();
    // One that is told twice has the value that was told last.
    sqlx::query!(
        r#"INSERT INTO ocpp.configuration_key (charge_point_id, key, known, readonly, reported_value, reported_at)
         SELECT DISTINCT ON (lower(key COLLATE "C")) $1, key, true, readonly, value, $5
         FROM unnest($2::text[], $3::boolean[], $4::text[]) WITH ORDINALITY AS told (key, readonly, value, place)
         ORDER BY lower(key COLLATE "C"), place DESC
         ON CONFLICT (charge_point_id, lower(key)) DO UPDATE
         SET key = excluded.key, known = true, readonly = excluded.readonly, reported_value = excluded.reported_value,
             reported_at = excluded.reported_at"#,
        report.charge_point,
        &keys as &[&str],
        &readonly as &[Option<bool>],
        &values as &[Option<&str>],
        report.at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The charge point has no such keys.
pub(super) async fn unknown(
    connection: &mut PgConnection,
    charge_point: Uuid,
    keys: &[String],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"INSERT INTO ocpp.configuration_key (charge_point_id, key, known, reported_at)
         SELECT DISTINCT ON (lower(key COLLATE "C")) $1::uuid, key, false, $3::timestamptz FROM unnest($2::text[]) AS told (key)
         ON CONFLICT (charge_point_id, lower(key)) DO UPDATE
         SET known = false, readonly = NULL, reported_value = NULL, reported_at = excluded.reported_at"#,
        charge_point,
        keys,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn connectors(connection: &mut PgConnection, report: &Report) -> Result<(), sqlx::Error> {
    let told = report
        .known
        .iter()
        .find(|entry| entry.key.eq_ignore_ascii_case(NUMBER_OF_CONNECTORS))
        .and_then(|entry| entry.value.as_deref()?.trim().parse::<i32>().ok());
    if let Some(connectors) = told {
        sqlx::query!(
            "UPDATE ocpp.charge_point SET number_of_connectors = $2
             WHERE id = $1 AND number_of_connectors IS DISTINCT FROM $2",
            report.charge_point,
            connectors,
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// What may be kept of a value.
fn shown(entry: &KeyValue) -> Option<&str> {
    match &entry.value {
        Some(value) if !redact::is_secret(&entry.key) => Some(value),
        _ => None,
    }
}
