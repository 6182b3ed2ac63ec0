//! Charges that begin and end. Whoever calls is in the transaction of the fact.

use chrono::{DateTime, Utc};
use service_kit::event::{self, timestamp};
use service_kit::outbox::{self, EnqueueError};
use sqlx::PgConnection;
use voltgate_proto::events::v1::{ChargingCost, ChargingFinished, ChargingStarted, PowerPoint};

use super::place::place;
use crate::charge_record::Stop;
use crate::power_curve::{self, Curve};
use crate::station_clock::ordered_at;

/// As many points show a charge in a mail.
const POINTS: usize = 96;

/// # Errors
/// The database is away. An event that is put together here is fit to be published.
fn only_of_the_database(error: EnqueueError) -> sqlx::Error {
    match error {
        EnqueueError::Database(error) => error,
        error @ (EnqueueError::Unreadable(_) | EnqueueError::NeverExpires(_)) => sqlx::Error::Encode(error.into()),
    }
}

/// A charge whose token was accepted.
pub async fn started(
    connection: &mut PgConnection,
    transaction_id: i32,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT account_id, identity, connector_id, started_at, start_received_at, site.id AS "site_id?",
               site.name AS "site_name?", groups AS "groups?: Vec<String>", time_zone AS "time_zone?"
           FROM ocpp.transaction
           JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           LEFT JOIN ocpp.site ON site.id = site_id
           WHERE transaction.id = $1"#,
        transaction_id,
    )
    .fetch_one(&mut *connection)
    .await?;
    let started = ChargingStarted {
        transaction_id,
        account_id: row.account_id.map(|id| id.to_string()),
        identity: row.identity,
        connector_id: row.connector_id,
        place: Some(place(row.site_id, row.site_name, row.groups, row.time_zone)),
        started_at: Some(timestamp(ordered_at(row.started_at, row.start_received_at))),
    };
    outbox::enqueue(connection, &event::new(crate::NAME, now, &started))
        .await
        .map_err(only_of_the_database)
}

/// A charge that has come to its end, with what it has cost by its latest record. Nothing where it runs or never was one.
pub async fn finished(
    connection: &mut PgConnection,
    transaction_id: i32,
    stop: Stop,
    cost: Option<ChargingCost>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT account_id, identity, connector_id, started_at, start_received_at, stopped_at, stop_received_at,
               energy_wh::text, stop_reason, status = 'completed' AS "is_completed!", site.id AS "site_id?",
               site.name AS "site_name?", groups AS "groups?: Vec<String>", time_zone AS "time_zone?"
           FROM ocpp.transaction
           JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           LEFT JOIN ocpp.site ON site.id = site_id
           WHERE transaction.id = $1"#,
        transaction_id,
    )
    .fetch_one(&mut *connection)
    .await?;
    let Some(stop_received_at) = row.stop_received_at.filter(|_| row.is_completed) else {
        return Ok(());
    };
    // It is for the receipt, which nobody gets of a charge that is nobody's.
    let power = match row.account_id {
        Some(_) => power_curve::curve(connection, transaction_id, POINTS).await?,
        None => Curve::default(),
    };
    let finished = ChargingFinished {
        transaction_id,
        account_id: row.account_id.map(|id| id.to_string()),
        identity: row.identity,
        connector_id: row.connector_id,
        place: Some(place(row.site_id, row.site_name, row.groups, row.time_zone)),
        started_at: Some(timestamp(ordered_at(row.started_at, row.start_received_at))),
        stopped_at: Some(timestamp(ordered_at(row.stopped_at, stop_received_at))),
        energy_wh: row.energy_wh,
        stop_reason: row.stop_reason,
        cost,
        highest_watts: power.highest.map(whole),
        power: power.points.into_iter().map(point).collect(),
        corrected: stop == Stop::Corrected,
    };
    outbox::enqueue(connection, &event::new(crate::NAME, now, &finished))
        .await
        .map_err(only_of_the_database)
}

fn point((at, watts): (DateTime<Utc>, f64)) -> PowerPoint {
    PowerPoint {
        at: Some(timestamp(at)),
        watts: whole(watts),
    }
}

/// A float that is too large becomes the largest integer.
fn whole(watts: f64) -> i32 {
    watts.round() as i32
}
