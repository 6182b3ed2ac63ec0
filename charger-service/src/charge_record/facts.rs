//! What is known of a charge that has a tariff.

use chrono::{DateTime, TimeDelta, Utc};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::cost::{self, Charge, Cost, Energy};
use crate::meter_values::ENERGY_REGISTER;
use crate::site::DEFAULT_TIME_ZONE;
use crate::station_clock::ordered_at;
use crate::tariff::terms::{Part, Terms};

/// Readings and statuses of one charge that are looked at: one a second for a day.
const MOST: i64 = 86_400;

/// A status is not told later than it came in, but for a clock that is a little ahead.
const AHEAD: TimeDelta = TimeDelta::minutes(1);

/// When the connector is in one of these, the vehicle takes nothing though it could. `SuspendedEVSE` is not its doing.
const IDLE: [&str; 2] = ["SuspendedEV", "Finishing"];

pub struct Facts {
    transaction_id: i32,
    pub charge_point: Uuid,
    pub identity: String,
    pub connector_id: i32,
    pub started: DateTime<Utc>,
    /// None while it runs.
    pub stopped: Option<DateTime<Utc>>,
    meter_start_wh: Option<i64>,
    pub energy_wh: Option<Decimal>,
    register_is_of_session: bool,
    pub time_zone: String,
    pub tariff_version_id: i64,
    pub tariff_id: Uuid,
    pub tariff_version: i32,
    pub tariff_name: String,
    pub terms: Terms,
}

impl Facts {
    /// None where the transaction has no tariff, or is none.
    pub async fn read(connection: &mut PgConnection, transaction_id: i32) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query!(
            r#"SELECT charge_point_id, identity, connector_id, started_at, start_received_at, stopped_at, stop_received_at,
                   meter_start_wh, energy_wh::text, register_is_of_session, site.time_zone AS "time_zone?",
                   tariff_version.id AS version_id, tariff_id, version, tariff_version.name,
                   terms AS "terms: Json<Terms>"
               FROM ocpp.transaction
               JOIN ocpp.charge_point ON charge_point.id = charge_point_id
               JOIN ocpp.tariff_version ON tariff_version.id = tariff_version_id
               LEFT JOIN ocpp.site ON site.id = site_id
               WHERE transaction.id = $1"#,
            transaction_id,
        )
        .fetch_optional(connection)
        .await?;
        Ok(row.map(|row| Self {
            transaction_id,
            charge_point: row.charge_point_id,
            identity: row.identity,
            connector_id: row.connector_id,
            started: ordered_at(row.started_at, row.start_received_at),
            stopped: row
                .stop_received_at
                .map(|received_at| ordered_at(row.stopped_at, received_at)),
            meter_start_wh: row.meter_start_wh,
            energy_wh: row.energy_wh.and_then(|wh| wh.parse().ok()),
            register_is_of_session: row.register_is_of_session.unwrap_or_default(),
            time_zone: row.time_zone.unwrap_or_else(|| DEFAULT_TIME_ZONE.to_owned()),
            tariff_version_id: row.version_id,
            tariff_id: row.tariff_id,
            tariff_version: row.version,
            tariff_name: row.name,
            terms: row.terms.0,
        }))
    }

    /// What it cost, or costs up to `until` while it runs.
    pub async fn cost(&self, connection: &mut PgConnection, until: DateTime<Utc>) -> Result<Cost, sqlx::Error> {
        let ended = self.stopped.unwrap_or(until);
        // Otherwise it makes no difference when.
        let readings = if self.terms.has_price(Part::Energy) && self.terms.has_windows() {
            self.readings(connection).await?
        } else {
            Vec::new()
        };
        let idle = if self.terms.has_price(Part::Time) || self.terms.has_price(Part::Idle) {
            self.idle(connection, ended).await?
        } else {
            Vec::new()
        };
        let charge = Charge {
            started: self.started,
            ended,
            energy: self.energy_wh.map(|total| Energy { total, readings }),
            idle,
        };
        // Names are checked where they are set.
        let zone = TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC);
        Ok(cost::cost(&self.terms, &charge, &zone))
    }

    /// In Wh since the start.
    async fn readings(&self, connection: &mut PgConnection) -> Result<Vec<(DateTime<Utc>, Decimal)>, sqlx::Error> {
        let rows = sqlx::query!(
            r#"SELECT sampled_at, normalized_value::text AS "wh!" FROM ocpp.meter_value
               WHERE transaction_id = $1 AND measurand = $2 AND phase IS NULL AND location = 'Outlet'
                 AND normalized_unit = 'Wh' AND normalized_value IS NOT NULL
               ORDER BY sampled_at LIMIT $3"#,
            self.transaction_id,
            ENERGY_REGISTER,
            MOST,
        )
        .fetch_all(connection)
        .await?;
        let at_the_start = match (self.register_is_of_session, self.meter_start_wh) {
            (false, Some(wh)) => Decimal::from(wh),
            (true, _) | (false, None) => Decimal::ZERO,
        };
        let since_the_start = |wh: String| wh.parse::<Decimal>().ok()?.checked_sub(at_the_start);
        Ok(rows
            .into_iter()
            .filter_map(|row| Some((row.sampled_at, since_the_start(row.wh)?)))
            .collect())
    }

    /// From and until when the vehicle took nothing.
    async fn idle(
        &self,
        connection: &mut PgConnection,
        ended: DateTime<Utc>,
    ) -> Result<Vec<(DateTime<Utc>, DateTime<Utc>)>, sqlx::Error> {
        let statuses = sqlx::query!(
            "SELECT status, status_at FROM ocpp.connector_status
             WHERE charge_point_id = $1 AND connector_id = $2 AND received_at >= $3 AND status_at < $4
             ORDER BY status_at, id LIMIT $5",
            self.charge_point,
            self.connector_id,
            self.started - AHEAD,
            ended,
            MOST,
        )
        .fetch_all(connection)
        .await?;
        let ends = statuses.iter().skip(1).map(|next| next.status_at).chain([ended]);
        Ok(statuses
            .iter()
            .zip(ends)
            .filter(|(told, _)| IDLE.contains(&told.status.as_str()))
            .map(|(told, until)| (told.status_at, until))
            .collect())
    }
}
