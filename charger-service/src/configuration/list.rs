//! The configuration of one charge point, a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ConfigurationKey, ListConfigurationRequest, ListConfigurationResponse};

use crate::charge_point::find::{FindError, find};

#[derive(Debug)]
pub struct Page {
    identity: String,
    drift: Option<bool>,
    size: PageSize,
    /// The last key seen, in lower case.
    after: Option<String>,
}

impl TryFrom<ListConfigurationRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListConfigurationRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            identity: request.identity,
            drift: request.drift,
            size,
            after,
        })
    }
}

struct Row {
    key: String,
    known: bool,
    readonly: Option<bool>,
    reported_value: Option<String>,
    reported_at: Option<DateTime<Utc>>,
    desired_value: Option<String>,
    desired_status: Option<String>,
    desired_at: Option<DateTime<Utc>>,
    desired_state: Option<String>,
    desired_command_id: Option<Uuid>,
    drift: bool,
}

/// One text for all look-ups.
macro_rules! select {
    ($condition:tt $(, $argument:expr)+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT key, known, readonly, reported_value, reported_at, desired_value, desired_status, desired_at, desired_state,
                   desired_command_id, (desired_value IS NOT NULL AND desired_value IS DISTINCT FROM reported_value) AS "drift!"
               FROM ocpp.configuration_key "# + $condition
            $(, $argument)+
        )
    };
}

/// By key.
pub async fn list(database: &PgPool, page: Page) -> Result<ListConfigurationResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &page.identity).await?;
    let mut rows = select!(
        r#"WHERE charge_point_id = $1 AND lower(key) > $2 COLLATE "C"
             AND ($4::boolean IS NULL
                  OR (desired_value IS NOT NULL AND desired_value IS DISTINCT FROM reported_value) = $4)
           ORDER BY lower(key) LIMIT $3"#,
        charge_point,
        page.after.unwrap_or_default(),
        page.size.limit(),
        page.drift
    )
    .fetch_all(&mut *connection)
    .await?;
    // In collation "C" lower() changes ASCII letters only.
    let next_page_token = page.size.cut(&mut rows, |row| row.key.to_ascii_lowercase());
    Ok(ListConfigurationResponse {
        keys: rows.into_iter().map(ConfigurationKey::from).collect(),
        next_page_token,
    })
}

pub async fn find_key(
    connection: &mut PgConnection,
    charge_point: Uuid,
    key: &str,
) -> Result<Option<ConfigurationKey>, sqlx::Error> {
    let row = select!(
        r#"WHERE charge_point_id = $1 AND lower(key) = lower($2 COLLATE "C")"#,
        charge_point,
        key
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(ConfigurationKey::from))
}

impl From<Row> for ConfigurationKey {
    fn from(row: Row) -> Self {
        Self {
            key: row.key,
            known: row.known,
            readonly: row.readonly,
            reported_value: row.reported_value,
            reported_at: row.reported_at.map(timestamp),
            desired_value: row.desired_value,
            desired_status: row.desired_status,
            desired_at: row.desired_at.map(timestamp),
            drift: row.drift,
            desired_state: row.desired_state,
            desired_command_id: row.desired_command_id.map(|id| id.to_string()),
        }
    }
}
