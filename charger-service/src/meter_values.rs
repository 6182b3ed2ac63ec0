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

use std::collections::HashMap;

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

/// Waits until nobody else stores values of these charge points, so that two connections of one cannot both find that theirs are
/// not there yet. Not for who holds a transaction's row already, since whoever waits for that may hold this.
pub async fn take_turns(connection: &mut PgConnection, charge_points: &[Uuid]) -> Result<(), sqlx::Error> {
    let key = |charge_point: &Uuid| {
        let (high, low) = charge_point.as_u64_pair();
        (high ^ low).cast_signed()
    };
    let mut keys: Vec<i64> = charge_points.iter().map(key).collect();
    // All take them in the same order.
    keys.sort_unstable();
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key",
        &keys
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many of the samples of each were there already. No charge point is among them twice.
pub async fn store(connection: &mut PgConnection, told: &[Samples]) -> Result<Vec<u64>, sqlx::Error> {
    let stored = insert(connection, told).await?;
    let stored = |samples: &Samples| stored.get(&samples.charge_point).copied().unwrap_or(0);
    // Where all were there already the register may have moved on since.
    let standings: Vec<_> = told
        .iter()
        .filter(|samples| stored(samples) > 0)
        .filter_map(Standing::of)
        .collect();
    if !standings.is_empty() {
        advance(connection, &standings).await?;
    }
    Ok(told
        .iter()
        .map(|samples| samples.samples.len() as u64 - stored(samples))
        .collect())
}

/// What the message log says of those of which some were there already.
pub fn repetitions(told: &[Samples], known_before: &[u64]) -> impl Iterator<Item = Option<String>> {
    told.iter().zip(known_before).map(|(samples, &known)| {
        let all = samples.samples.len();
        (known > 0).then(|| format!("meterValue: {known} of {all} values were there already"))
    })
}

/// How many of each charge point's were not there yet.
async fn insert(connection: &mut PgConnection, told: &[Samples]) -> Result<HashMap<Uuid, u64>, sqlx::Error> {
    let rows = Columns::of(told);
    if rows.value.is_empty() {
        return Ok(HashMap::new());
    }
    let inserted = sqlx::query_scalar!(
        r#"INSERT INTO ocpp.meter_value (charge_point_id, connector_id, transaction_id, received_at, sampled_at, value,
               measurand, unit, context, format, location, phase, normalized_value, normalized_unit)
           SELECT charge_point_id, connector_id, transaction_id, received_at, sampled_at, value, measurand, unit, context,
               format, location, phase, normalized_value::numeric, normalized_unit
           FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::text[],
               $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
               AS row (charge_point_id, connector_id, transaction_id, received_at, sampled_at, value, measurand, unit,
                   context, format, location, phase, normalized_value, normalized_unit)
           -- With limits, each is looked up by its index, however few rows PostgreSQL believes the table to have.
           LEFT JOIN LATERAL (
               SELECT true AS is_there FROM ocpp.meter_value AS known
               WHERE known.transaction_id = row.transaction_id AND known.sampled_at = row.sampled_at
                 AND (known.charge_point_id, known.value, known.measurand, known.context, known.format, known.location)
                     = (row.charge_point_id, row.value, row.measurand, row.context, row.format, row.location)
                 AND (known.connector_id, known.unit, known.phase)
                     IS NOT DISTINCT FROM (row.connector_id, row.unit, row.phase)
               LIMIT 1) AS of_transaction ON row.transaction_id IS NOT NULL
           LEFT JOIN LATERAL (
               SELECT true AS is_there FROM ocpp.meter_value AS known
               WHERE row.transaction_id IS NULL AND known.transaction_id IS NULL
                 AND known.charge_point_id = row.charge_point_id AND known.sampled_at = row.sampled_at
                 AND (known.value, known.measurand, known.context, known.format, known.location)
                     = (row.value, row.measurand, row.context, row.format, row.location)
                 AND (known.connector_id, known.unit, known.phase)
                     IS NOT DISTINCT FROM (row.connector_id, row.unit, row.phase)
               LIMIT 1) AS outside ON row.transaction_id IS NULL
           WHERE of_transaction.is_there IS NULL AND outside.is_there IS NULL
           RETURNING charge_point_id"#,
        &rows.charge_point,
        &rows.connector_id as &[Option<i32>],
        &rows.transaction_id as &[Option<i32>],
        &rows.received_at,
        &rows.sampled_at,
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
    .fetch_all(connection)
    .await?;
    let mut counts = HashMap::new();
    for charge_point in inserted {
        *counts.entry(charge_point).or_insert(0) += 1;
    }
    Ok(counts)
}

/// What a message tells of how its transaction stands.
struct Standing {
    transaction_id: i32,
    /// The earliest register, in Wh.
    first_register: Option<Decimal>,
    register: Option<Dated>,
    power: Option<Dated>,
    state_of_charge: Option<Dated>,
    received_at: DateTime<Utc>,
}

impl Standing {
    /// None of values outside a transaction.
    fn of(told: &Samples) -> Option<Self> {
        let registers = told.samples.iter().filter_map(|sample| {
            let register = sample.energy_register()?;
            Some((ordered_at(Some(sample.sampled_at), told.received_at), register))
        });
        Some(Self {
            transaction_id: told.transaction_id?,
            first_register: registers.clone().min().map(|(_, register)| register),
            register: registers.max(),
            power: latest::power(&told.samples, told.received_at),
            state_of_charge: latest::state_of_charge(&told.samples, told.received_at),
            received_at: told.received_at,
        })
    }
}

/// Moves on with the station's clock only, so that the result does not depend on the order of arrival. The very first sample shows
/// which kind of register it is; later ones no more, since one of the session may well pass meterStart. While the charge runs it
/// is an event of now, whatever they tell, and however long they waited for an operator.
async fn advance(connection: &mut PgConnection, told: &[Standing]) -> Result<(), sqlx::Error> {
    let time = |dated: &Option<Dated>| dated.map(|(at, _)| at);
    let value = |dated: &Option<Dated>| dated.map(|(_, value)| value.to_string());
    let whole = |dated: &Option<Dated>| dated.and_then(|(_, value)| value.round().to_i32());
    fn column<T>(told: &[Standing], of: impl Fn(&Standing) -> T) -> Vec<T> {
        told.iter().map(of).collect()
    }
    sqlx::query!(
        "WITH told AS (
             SELECT * FROM unnest($1::integer[], $2::timestamptz[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
                 $7::timestamptz[], $8::text[], $9::timestamptz[], $10::integer[], $11::integer[])
                 AS told (transaction_id, register_at, register_wh, first_register_wh, power_at, power_w, soc_at, soc_percent,
                     received_at, power_watts, state_of_charge)),
         advanced AS (
             UPDATE ocpp.transaction AS known
             SET (register_at, register_wh) = (
                     SELECT at, wh
                     FROM (VALUES (known.register_at, known.register_wh), (told.register_at, told.register_wh::numeric))
                         AS either (at, wh)
                     ORDER BY at DESC NULLS LAST, wh DESC NULLS LAST LIMIT 1),
                 register_is_of_session = CASE WHEN known.register_at IS NULL
                                               THEN told.first_register_wh::numeric + $12::bigint <= known.meter_start_wh
                                               ELSE known.register_is_of_session END,
                 (power_at, power_w) = (
                     SELECT at, w
                     FROM (VALUES (known.power_at, known.power_w), (told.power_at, told.power_w::numeric)) AS either (at, w)
                     ORDER BY at DESC NULLS LAST, w DESC NULLS LAST LIMIT 1),
                 (soc_at, soc_percent) = (
                     SELECT at, percent
                     FROM (VALUES (known.soc_at, known.soc_percent), (told.soc_at, told.soc_percent::numeric))
                         AS either (at, percent)
                     ORDER BY at DESC NULLS LAST, percent DESC NULLS LAST LIMIT 1)
             FROM told
             -- The list keeps PostgreSQL from reading the whole table where it believes it to be small.
             WHERE known.id = ANY($1) AND known.id = told.transaction_id
               AND ((told.register_at IS NOT NULL
                     AND (known.register_at IS NULL
                          OR (known.register_at, known.register_wh) < (told.register_at, told.register_wh::numeric)))
                    OR (told.power_at IS NOT NULL AND (known.power_at IS NULL OR known.power_at < told.power_at))
                    OR (told.soc_at IS NOT NULL AND (known.soc_at IS NULL OR known.soc_at < told.soc_at)))
             RETURNING known.id, known.energy_wh),
         charge AS (
             SELECT told.*, charge_point_id, connector_id, coalesce(advanced.energy_wh, transaction.energy_wh) AS energy_wh
             FROM told
                 CROSS JOIN LATERAL (
                     SELECT charge_point_id, connector_id, stop_received_at, energy_wh FROM ocpp.transaction
                     WHERE id = told.transaction_id LIMIT 1) AS transaction
                 LEFT JOIN advanced ON advanced.id = told.transaction_id
             WHERE stop_received_at IS NULL)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT greatest(charge.received_at, now()), $13, identity, site_id,
             json_build_object('transactionId', transaction_id, 'connectorId', connector_id,
                 'energyWh', ocpp.whole(energy_wh),
                 'powerWatts', power_watts, 'stateOfChargePercent', state_of_charge)
         FROM charge
             CROSS JOIN LATERAL (
                 SELECT identity, site_id FROM ocpp.charge_point WHERE charge_point.id = charge.charge_point_id LIMIT 1) AS place",
        &column(told, |one| one.transaction_id),
        &column(told, |one| time(&one.register)) as &[Option<DateTime<Utc>>],
        &column(told, |one| value(&one.register)) as &[Option<String>],
        &column(told, |one| one.first_register.map(|wh| wh.to_string())) as &[Option<String>],
        &column(told, |one| time(&one.power)) as &[Option<DateTime<Utc>>],
        &column(told, |one| value(&one.power)) as &[Option<String>],
        &column(told, |one| time(&one.state_of_charge)) as &[Option<DateTime<Utc>>],
        &column(told, |one| value(&one.state_of_charge)) as &[Option<String>],
        &column(told, |one| one.received_at),
        &column(told, |one| whole(&one.power)) as &[Option<i32>],
        &column(told, |one| whole(&one.state_of_charge)) as &[Option<i32>],
        FAR_BELOW,
        Kind::TransactionMeterValues.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The samples by column, as one statement takes them.
#[derive(Default)]
struct Columns<'a> {
    charge_point: Vec<Uuid>,
    connector_id: Vec<Option<i32>>,
    transaction_id: Vec<Option<i32>>,
    received_at: Vec<DateTime<Utc>>,
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
    fn of(told: &'a [Samples]) -> Self {
        let mut columns = Self::default();
        for samples in told {
            for sample in &samples.samples {
                columns.add(samples, sample);
            }
        }
        columns
    }

    fn add(&mut self, told: &Samples, sample: &'a Sample) {
        let (normalized_value, normalized_unit) = match sample.normalized() {
            Some(Normalized { value, unit }) => (Some(value.to_string()), unit),
            None => (None, None),
        };
        self.charge_point.push(told.charge_point);
        self.connector_id.push(told.connector_id);
        self.transaction_id.push(told.transaction_id);
        self.received_at.push(told.received_at);
        self.sampled_at.push(sample.sampled_at);
        self.value.push(&sample.value);
        self.measurand.push(&sample.measurand);
        self.unit.push(sample.unit.as_deref());
        self.context.push(&sample.context);
        self.format.push(&sample.format);
        self.location.push(&sample.location);
        self.phase.push(sample.phase.as_deref());
        self.normalized_value.push(normalized_value);
        self.normalized_unit.push(normalized_unit);
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
