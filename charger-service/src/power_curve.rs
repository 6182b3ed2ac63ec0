//! The power that flowed over a charge, as a drawing.

mod drawing;
mod series;

use chrono::{DateTime, Utc};
use jiff::tz::TimeZone;
use service_kit::database;
use sqlx::{PgConnection, PgPool};
use voltgate_proto::google::api::HttpBody;

use self::series::Series;
use crate::site::DEFAULT_TIME_ZONE;
use crate::transaction::list::GetError;

/// The power of a charge as a mail shows it, in watts.
#[derive(Debug, Default)]
pub struct Curve {
    pub points: Vec<(DateTime<Utc>, f64)>,
    /// The highest that was told. Where there were more points than are shown, these are means.
    pub highest: Option<f64>,
}

/// Of at most so many points.
pub async fn curve(connection: &mut PgConnection, transaction_id: i32, most: usize) -> Result<Curve, sqlx::Error> {
    let series = Series::read(connection, transaction_id).await?;
    Ok(Curve {
        highest: series.highest,
        points: series.thinned_to(most),
    })
}

/// Times are by the clock of the charge point's site.
///
/// # Errors
/// There is no such transaction.
pub async fn draw(database: &PgPool, transaction_id: i32) -> Result<HttpBody, GetError> {
    let mut connection = database::begin(database).await?;
    let zone = sqlx::query_scalar!(
        r#"SELECT coalesce(time_zone, $2) AS "time_zone!"
           FROM ocpp.transaction JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           LEFT JOIN ocpp.site ON site.id = site_id
           WHERE transaction.id = $1"#,
        transaction_id,
        DEFAULT_TIME_ZONE,
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(GetError::NotFound)?;
    let series = Series::read(&mut connection, transaction_id).await?;
    // Names are checked where they are set.
    let zone = TimeZone::get(&zone).unwrap_or(TimeZone::UTC);
    Ok(HttpBody {
        content_type: "image/svg+xml".to_owned(),
        data: drawing::svg(&series, &zone, transaction_id).into(),
        extensions: Vec::new(),
    })
}
