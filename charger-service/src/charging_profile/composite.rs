//! What a charge point expects to draw, as it reckoned when it was last asked.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{CompositeSchedule, ListCompositeSchedulesRequest, ListCompositeSchedulesResponse};

use crate::charge_point::find::{FindError, find};

#[derive(Debug)]
pub struct Reported<'a> {
    pub charge_point: Uuid,
    pub connector_id: i32,
    pub duration_seconds: i32,
    pub starts_at: Option<DateTime<Utc>>,
    /// JSON, as it came.
    pub schedule: Option<&'a str>,
    pub at: DateTime<Utc>,
}

/// Takes the place of what it reckoned before.
pub async fn reported(connection: &mut PgConnection, reported: &Reported<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO ocpp.composite_schedule (charge_point_id, connector_id, duration_seconds, starts_at, schedule,
             reported_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (charge_point_id, connector_id) DO UPDATE
         SET duration_seconds = excluded.duration_seconds, starts_at = excluded.starts_at, schedule = excluded.schedule,
             reported_at = excluded.reported_at",
        reported.charge_point,
        reported.connector_id,
        reported.duration_seconds,
        reported.starts_at,
        reported.schedule,
        reported.at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[derive(Debug)]
pub struct Page {
    identity: String,
    size: PageSize,
    /// The last connector seen.
    after: Option<i32>,
}

impl TryFrom<ListCompositeSchedulesRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListCompositeSchedulesRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            identity: request.identity,
            size,
            after,
        })
    }
}

struct Row {
    connector_id: i32,
    duration_seconds: i32,
    starts_at: Option<DateTime<Utc>>,
    schedule: Option<String>,
    reported_at: DateTime<Utc>,
}

/// By connector.
pub async fn list(database: &PgPool, page: Page) -> Result<ListCompositeSchedulesResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &page.identity).await?;
    let mut rows = sqlx::query_as!(
        Row,
        "SELECT connector_id, duration_seconds, starts_at, schedule, reported_at FROM ocpp.composite_schedule
         WHERE charge_point_id = $1 AND ($2::integer IS NULL OR connector_id > $2) ORDER BY connector_id LIMIT $3",
        charge_point,
        page.after,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.connector_id);
    Ok(ListCompositeSchedulesResponse {
        composite_schedules: rows.into_iter().map(CompositeSchedule::from).collect(),
        next_page_token,
    })
}

impl From<Row> for CompositeSchedule {
    fn from(row: Row) -> Self {
        Self {
            connector_id: row.connector_id,
            duration_seconds: row.duration_seconds,
            starts_at: row.starts_at.map(timestamp),
            schedule: row.schedule,
            reported_at: Some(timestamp(row.reported_at)),
        }
    }
}
