//! Sampled values of a meter.
//!
//! Each is kept as it came, with OCPP's defaults written out, and beside it in the base unit of its quantity where that
//! can be told (rule 8 of the OCPP decisions). What cannot be read as a number stays unread: nothing turns into 0.
//! Keeps the latest energy register, power and state of charge of a running charge with the transaction, and tells whoever watches
//! how it gets on.
//!
//! A station repeats what was not answered, on another connection too and under whatever message id. A sample that is there
//! already, alike in everything that it says, is the same one.

mod latest;
pub mod normalize;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use sqlx::PgConnection;
use uuid::Uuid;

use self::latest::Dated;
use self::normalize::Normalized;
use crate::event::Kind;
use crate::station_clock::ordered_at;

pub const ENERGY_REGISTER: &str = "Energy.Active.Import.Register";
const OUTLET: &str = "Outlet";

/// How far, in Wh, a register has to stand below the transaction's meterStart to be one of the session. One that counts for ever
/// may lack a little: some stations tell whole kilowatt-hours.
const FAR_BELOW: i64 = 1000;

/// One value.
#[derive(Debug, Clone)]
pub struct Sample {
    /// By the station's clock.
    pub sampled_at: DateTime<Utc>,
    /// As it came.
    pub value: String,
    pub measurand: String,
    /// Absent where the station names none and OCPP has no default for the measurand.
    pub unit: Option<String>,
    pub context: String,
    pub format: String,
    pub location: String,
    /// Absent where the value is that of all phases together.
    pub phase: Option<String>,
}

impl Sample {
    pub fn normalized(&self) -> Option<Normalized> {
        if self.format != "Raw" {
            return None;
        }
        normalize::normalize(&self.value, self.unit.as_deref())
    }

    /// The register that a transaction's energy is counted by, in Wh: the whole of what left the outlet.
    pub fn energy_register(&self) -> Option<Decimal> {
        if self.measurand != ENERGY_REGISTER || self.phase.is_some() || self.location != OUTLET {
            return None;
        }
        self.normalized()
            .filter(|normalized| normalized.unit.as_deref() == Some("Wh"))
            .map(|normalized| normalized.value)
    }
}

/// Values that a station sent together.
#[derive(Debug)]
pub struct Samples {
    pub charge_point: Uuid,
    /// 0 is the main meter of the charge point; None where nobody tells.
    pub connector_id: Option<i32>,
    /// A transaction of this charge point; absent for values outside a transaction.
    pub transaction_id: Option<i32>,
    pub samples: Vec<Sample>,
    /// By our clock.
    pub received_at: DateTime<Utc>,
}

/// Waits until nobody else stores values of this charge point, so that two of its connections cannot both find that theirs are
/// not there yet. Not for who holds a transaction's row already, since whoever waits for that may hold this.
pub async fn take_turns(connection: &mut PgConnection, charge_point: Uuid) -> Result<(), sqlx::Error> {
    let (high, low) = charge_point.as_u64_pair();
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", (high ^ low).cast_signed())
        .execute(connection)
        .await?;
    Ok(())
}

/// How many of the samples were there already.
pub async fn store(connection: &mut PgConnection, samples: &Samples) -> Result<u64, sqlx::Error> {
    if samples.samples.is_empty() {
        return Ok(0);
    }
    let stored = insert(connection, samples).await?;
    let known_before = samples.samples.len() as u64 - stored;
    if stored == 0 {
        // The register may have moved on since.
        return Ok(known_before);
    }
    let registers = samples.samples.iter().filter_map(|sample| {
        let register = sample.energy_register()?;
        Some((ordered_at(Some(sample.sampled_at), samples.received_at), register))
    });
    let standing = Standing {
        first_register: registers.clone().min().map(|(_, register)| register),
        register: registers.max(),
        power: latest::power(&samples.samples, samples.received_at),
        state_of_charge: latest::state_of_charge(&samples.samples, samples.received_at),
    };
    if let Some(transaction_id) = samples.transaction_id {
        advance(connection, transaction_id, &standing, samples.received_at).await?;
    }
    Ok(known_before)
}

/// How many were not there yet.
async fn insert(connection: &mut PgConnection, samples: &Samples) -> Result<u64, sqlx::Error> {
    let rows = Columns::of(&samples.samples);
    let inserted = sqlx::query!(
        r#"INSERT INTO ocpp.meter_value (charge_point_id, connector_id, transaction_id, received_at, sampled_at, value,
               measurand, unit, context, format, location, phase, normalized_value, normalized_unit)
           SELECT $1, $2, $3, $4, sampled_at, value, measurand, unit, context, format, location, phase,
               normalized_value::numeric, normalized_unit
           FROM unnest($5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
               $12::text[], $13::text[], $14::text[])
               AS row (sampled_at, value, measurand, unit, context, format, location, phase, normalized_value,
                   normalized_unit)
           WHERE NOT EXISTS (
               SELECT FROM ocpp.meter_value AS known
               WHERE known.transaction_id = $3 AND known.sampled_at = row.sampled_at
                 AND (known.charge_point_id, known.value, known.measurand, known.context, known.format, known.location)
                     = ($1, row.value, row.measurand, row.context, row.format, row.location)
                 AND (known.connector_id, known.unit, known.phase) IS NOT DISTINCT FROM ($2, row.unit, row.phase))
             AND NOT EXISTS (
               SELECT FROM ocpp.meter_value AS known
               WHERE $3::integer IS NULL AND known.transaction_id IS NULL
                 AND known.charge_point_id = $1 AND known.sampled_at = row.sampled_at
                 AND (known.value, known.measurand, known.context, known.format, known.location)
                     = (row.value, row.measurand, row.context, row.format, row.location)
                 AND (known.connector_id, known.unit, known.phase) IS NOT DISTINCT FROM ($2, row.unit, row.phase))"#,
        samples.charge_point,
        samples.connector_id,
        samples.transaction_id,
        samples.received_at,
        &rows.sampled_at as &[DateTime<Utc>],
        &rows.value as &[&str],
        &rows.measurand as &[&str],
        &rows.unit as &[Option<&str>],
        &rows.context as &[&str],
        &rows.format as &[&str],
        &rows.location as &[&str],
        &rows.phase as &[Option<&str>],
        &rows.normalized_value as &[Option<String>],
        &rows.normalized_unit as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected())
}

/// What a message tells of how its transaction stands.
struct Standing {
    /// The earliest register, in Wh.
    first_register: Option<Decimal>,
    register: Option<Dated>,
    power: Option<Dated>,
    state_of_charge: Option<Dated>,
}

/// Moves on with the station's clock only, so that the result does not depend on the order of arrival. The very first sample shows
/// which kind of register it is; later ones no more, since one of the session may well pass meterStart. While the charge runs it
/// is an event of now, whatever they tell, and however long they waited for an operator.
async fn advance(
    connection: &mut PgConnection,
    transaction_id: i32,
    told: &Standing,
    received_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let time = |dated: Option<Dated>| dated.map(|(at, _)| at);
    let value = |dated: Option<Dated>| dated.map(|(_, value)| value.to_string());
    let whole = |dated: Option<Dated>| dated.and_then(|(_, value)| value.round().to_i32());
    sqlx::query!(
        "WITH advanced AS (
             UPDATE ocpp.transaction
             SET (register_at, register_wh) = (
                     SELECT at, wh FROM (VALUES (register_at, register_wh), ($2::timestamptz, $3::text::numeric)) AS known (at, wh)
                     ORDER BY at DESC NULLS LAST, wh DESC NULLS LAST LIMIT 1),
                 register_is_of_session = CASE WHEN register_at IS NULL THEN $4::text::numeric + $5::bigint <= meter_start_wh
                                               ELSE register_is_of_session END,
                 (power_at, power_w) = (
                     SELECT at, w FROM (VALUES (power_at, power_w), ($6::timestamptz, $7::text::numeric)) AS known (at, w)
                     ORDER BY at DESC NULLS LAST, w DESC NULLS LAST LIMIT 1),
                 (soc_at, soc_percent) = (
                     SELECT at, percent FROM (VALUES (soc_at, soc_percent), ($8::timestamptz, $9::text::numeric)) AS known (at, percent)
                     ORDER BY at DESC NULLS LAST, percent DESC NULLS LAST LIMIT 1)
             WHERE id = $1
               AND (($2::timestamptz IS NOT NULL AND (register_at IS NULL OR (register_at, register_wh) < ($2, $3::text::numeric)))
                    OR ($6::timestamptz IS NOT NULL AND (power_at IS NULL OR power_at < $6))
                    OR ($8::timestamptz IS NOT NULL AND (soc_at IS NULL OR soc_at < $8)))
             RETURNING energy_wh),
         charge AS (
             SELECT charge_point_id, connector_id, coalesce(advanced.energy_wh, transaction.energy_wh) AS energy_wh
             FROM ocpp.transaction LEFT JOIN advanced ON true
             WHERE id = $1 AND stop_received_at IS NULL)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT greatest($10, now()), $11, identity, site_id, json_build_object('transactionId', $1::integer, 'connectorId', connector_id,
             'energyWh', ocpp.whole(energy_wh),
             'powerWatts', $12::integer, 'stateOfChargePercent', $13::integer)
         FROM charge JOIN ocpp.charge_point ON charge_point.id = charge_point_id",
        transaction_id,
        time(told.register),
        value(told.register),
        told.first_register.map(|wh| wh.to_string()),
        FAR_BELOW,
        time(told.power),
        value(told.power),
        time(told.state_of_charge),
        value(told.state_of_charge),
        received_at,
        Kind::TransactionMeterValues.as_str(),
        whole(told.power),
        whole(told.state_of_charge),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The samples by column, as one statement takes them.
#[derive(Default)]
struct Columns<'a> {
    sampled_at: Vec<DateTime<Utc>>,
    value: Vec<&'a str>,
    measurand: Vec<&'a str>,
    unit: Vec<Option<&'a str>>,
    context: Vec<&'a str>,
    format: Vec<&'a str>,
    location: Vec<&'a str>,
    phase: Vec<Option<&'a str>>,
    normalized_value: Vec<Option<String>>,
    normalized_unit: Vec<Option<String>>,
}

impl<'a> Columns<'a> {
    fn of(samples: &'a [Sample]) -> Self {
        let mut columns = Self::default();
        for sample in samples {
            let (normalized_value, normalized_unit) = match sample.normalized() {
                Some(Normalized { value, unit }) => (Some(value.to_string()), unit),
                None => (None, None),
            };
            columns.sampled_at.push(sample.sampled_at);
            columns.value.push(&sample.value);
            columns.measurand.push(&sample.measurand);
            columns.unit.push(sample.unit.as_deref());
            columns.context.push(&sample.context);
            columns.format.push(&sample.format);
            columns.location.push(&sample.location);
            columns.phase.push(sample.phase.as_deref());
            columns.normalized_value.push(normalized_value);
            columns.normalized_unit.push(normalized_unit);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(value: &str, unit: &str) -> Sample {
        Sample {
            sampled_at: DateTime::UNIX_EPOCH,
            value: value.to_owned(),
            measurand: ENERGY_REGISTER.to_owned(),
            unit: Some(unit.to_owned()),
            context: "Sample.Periodic".to_owned(),
            format: "Raw".to_owned(),
            location: OUTLET.to_owned(),
            phase: None,
        }
    }

    #[test]
    fn energy_is_counted_by_the_register_of_all_phases_at_the_outlet() {
        assert_eq!(register("1.5", "kWh").energy_register(), Some(Decimal::from(1500)));
        let phase = Sample {
            phase: Some("L1".to_owned()),
            ..register("1", "Wh")
        };
        let inlet = Sample {
            location: "Inlet".to_owned(),
            ..register("1", "Wh")
        };
        let power = Sample {
            measurand: "Power.Active.Import".to_owned(),
            ..register("1", "W")
        };
        for other in [phase, inlet, power] {
            assert_eq!(other.energy_register(), None);
        }
    }

    #[test]
    fn a_signed_value_is_never_read_as_a_number() {
        let signed = Sample {
            format: "SignedData".to_owned(),
            ..register("12", "Wh")
        };
        assert_eq!(signed.normalized(), None);
    }
}
