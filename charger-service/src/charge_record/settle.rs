//! Writes the record of a charge, in the transaction of its stop: neither is there without the other.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::facts::Facts;

/// Nothing where no tariff held when it began, or it runs. To be called when all that the stop tells is stored, by who holds the
/// transaction's row; once more where that was corrected.
pub async fn settle(connection: &mut PgConnection, transaction_id: i32, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let Some(facts) = Facts::read(connection, transaction_id).await? else {
        return Ok(());
    };
    let Some(stopped_at) = facts.stopped else {
        return Ok(());
    };
    let cost = facts.cost(connection, stopped_at).await?;
    sqlx::query!(
        r#"WITH signed AS (
             SELECT coalesce(array_agg(value ORDER BY sampled_at), '{}') AS values FROM (
                 SELECT value, sampled_at FROM ocpp.meter_value
                 WHERE transaction_id = $2 AND format = 'SignedData' ORDER BY sampled_at LIMIT 1000) AS signed),
         priced AS (
             UPDATE ocpp.transaction SET total_cost = $15::text::numeric, currency = $16 WHERE id = $2)
         INSERT INTO ocpp.charge_record (id, transaction_id, number, charge_point_id, identity, connector_id, started_at,
             stopped_at, energy_wh, time_zone, tariff_version_id, tariff_id, tariff_version, tariff_name, terms, cost,
             signed_values, created_at)
         SELECT $1, $2, coalesce((SELECT max(number) FROM ocpp.charge_record WHERE transaction_id = $2), 0) + 1,
             $3, $4, $5, $6, $7, $8::text::numeric, $9, $10, $11, $12, $13, $14, $17, signed.values, $18
         FROM signed"#,
        Uuid::now_v7(),
        transaction_id,
        facts.charge_point,
        facts.identity,
        facts.connector_id,
        facts.started,
        stopped_at,
        facts.energy_wh.map(|wh| wh.to_string()),
        facts.time_zone,
        facts.tariff_version_id,
        facts.tariff_id,
        facts.tariff_version,
        facts.tariff_name,
        Json(&facts.terms) as _,
        cost.total.to_string(),
        facts.terms.currency.code(),
        Json(&cost) as _,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
