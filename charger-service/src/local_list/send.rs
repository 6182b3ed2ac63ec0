//! A list, or a change to one, was sent to a charge point, and answered.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use ocpp::v1_6::{AuthorizationData, SendLocalList};
use sqlx::PgConnection;
use uuid::Uuid;

#[derive(Debug)]
pub struct Sent<'a> {
    pub charge_point: Uuid,
    pub list: &'a SendLocalList,
    /// Verbatim, such as `VersionMismatch`.
    pub answer: &'a str,
    pub at: DateTime<Utc>,
}

/// Only what the charge point has accepted changes its list.
pub async fn sent(connection: &mut PgConnection, sent: &Sent<'_>) -> Result<(), sqlx::Error> {
    let accepted = sent.answer == "Accepted";
    sqlx::query!(
        r#"INSERT INTO ocpp.local_list AS stored
             (charge_point_id, desired_version, desired_status, desired_at, reported_version, reported_at, entries_version)
         VALUES ($1, $2::integer, $3, $4::timestamptz, CASE WHEN $5 THEN $2 END, CASE WHEN $5 THEN $4 END, CASE WHEN $5 THEN $2 END)
         ON CONFLICT (charge_point_id) DO UPDATE
         SET desired_version = excluded.desired_version, desired_status = excluded.desired_status,
             desired_at = excluded.desired_at,
             reported_version = coalesce(excluded.reported_version, stored.reported_version),
             reported_at = coalesce(excluded.reported_at, stored.reported_at),
             entries_version = coalesce(excluded.entries_version, stored.entries_version)"#,
        sent.charge_point,
        sent.list.list_version,
        sent.answer,
        sent.at,
        accepted,
    )
    .execute(&mut *connection)
    .await?;
    if accepted {
        let codes = take_off(connection, sent).await?;
        put_on(connection, sent, &codes).await?;
    }
    Ok(())
}

/// Everything where the list is a new one, or else what is told of. Returns the codes among it, which stay codes if
/// they are put on again.
async fn take_off(connection: &mut PgConnection, sent: &Sent<'_>) -> Result<Vec<String>, sqlx::Error> {
    let told: Vec<&str> = sent.list.entries.iter().map(|entry| entry.id_tag.as_str()).collect();
    sqlx::query_scalar!(
        r#"WITH gone AS (
             DELETE FROM ocpp.local_list_entry
             WHERE charge_point_id = $1
               AND ($2 OR lower(id_tag) IN (SELECT lower(told COLLATE "C") FROM unnest($3::text[]) AS told))
             RETURNING lower(id_tag) AS id_tag, is_code)
         SELECT id_tag AS "id_tag!" FROM gone WHERE is_code"#,
        sent.charge_point,
        sent.list.full,
        &told as &[&str],
    )
    .fetch_all(connection)
    .await
}

async fn put_on(connection: &mut PgConnection, sent: &Sent<'_>, codes: &[String]) -> Result<(), sqlx::Error> {
    let entries = last_of_each(&sent.list.entries);
    let id_tags: Vec<&str> = entries.iter().map(|entry| entry.id_tag.as_str()).collect();
    let values: Vec<String> = id_tags.iter().map(|tag| tag.to_ascii_lowercase()).collect();
    let statuses: Vec<Option<&str>> = entries.iter().map(|entry| entry.status.as_deref()).collect();
    let expiry_dates: Vec<Option<DateTime<Utc>>> = entries.iter().map(|entry| entry.expiry_date).collect();
    let parents: Vec<Option<&str>> = entries.iter().map(|entry| entry.parent_id_tag.as_deref()).collect();
    sqlx::query!(
        r#"INSERT INTO ocpp.local_list_entry (charge_point_id, id_tag, status, expires_at, parent_id_tag, is_code)
         SELECT $1, id_tag, status, expires_at, parent_id_tag,
             lower(id_tag COLLATE "C") = ANY($6)
             OR lower(id_tag COLLATE "C") IN (SELECT lower(value) FROM ocpp.id_token WHERE type = 'KeyCode' AND lower(value) = ANY($7))
             OR lower(id_tag COLLATE "C") IN (
                 SELECT lower(id_token) FROM ocpp.desired_local_list_token WHERE charge_point_id = $1 AND is_code)
         FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::text[])
             AS told (id_tag, status, expires_at, parent_id_tag)
         WHERE status IS NOT NULL"#,
        sent.charge_point,
        &id_tags as &[&str],
        &statuses as &[Option<&str>],
        &expiry_dates as &[Option<DateTime<Utc>>],
        &parents as &[Option<&str>],
        codes,
        &values,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A tag may not be told twice (6.41). Where it is, nobody knows which the charge point takes; a later one is the likelier.
fn last_of_each(entries: &[AuthorizationData]) -> Vec<&AuthorizationData> {
    let by_tag: HashMap<_, _> = entries
        .iter()
        .map(|entry| (entry.id_tag.to_ascii_lowercase(), entry))
        .collect();
    by_tag.into_values().collect()
}
