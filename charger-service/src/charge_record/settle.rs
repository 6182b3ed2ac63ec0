//! Writes the record of a charge and tells the other services of its end, in the transaction of its stop: none is there without the
//! others.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;
use voltgate_proto::events::v1::{ChargingCost, ChargingCostLine};
use voltgate_proto::ocpp::v1::CostLine;

use super::facts::Facts;
use super::told;
use crate::announce;

/// What is known of a charge's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// For the first time.
    Told,
    /// Otherwise than before.
    Corrected,
}

/// No record where no tariff held when it began, and nothing at all where it runs. To be called when all that the stop tells is stored, by
/// who holds the transaction's row.
pub async fn settle(
    connection: &mut PgConnection,
    transaction_id: i32,
    stop: Stop,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let Some(facts) = Facts::read(connection, transaction_id).await? else {
        return announce::charge::finished(connection, transaction_id, stop, None, now).await;
    };
    let Some(stopped_at) = facts.stopped else {
        return Ok(());
    };
    let cost = facts.cost(connection, stopped_at).await?;
    let (id, total) = (Uuid::now_v7(), cost.total.to_string());
    let number = sqlx::query_scalar!(
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
         FROM signed
         RETURNING number"#,
        id,
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
        total,
        facts.terms.currency.code(),
        Json(&cost) as _,
        now,
    )
    .fetch_one(&mut *connection)
    .await?;
    let remarks = cost.remarks.iter().map(|remark| remark.as_str().to_owned()).collect();
    let told = told::cost(&facts.terms, &cost);
    let cost = ChargingCost {
        record_id: id.to_string(),
        record_number: number,
        tariff_name: facts.tariff_name,
        currency: told.currency,
        total: told.total,
        lines: told.lines.into_iter().map(line).collect(),
        remarks,
    };
    announce::charge::finished(connection, transaction_id, stop, Some(cost), now).await
}

fn line(line: CostLine) -> ChargingCostLine {
    ChargingCostLine {
        part: line.part,
        quantity: line.quantity,
        unit: line.unit,
        price: line.price,
        tax_name: line.tax_name,
        tax_percent: line.tax_percent,
        amount: line.amount,
    }
}
