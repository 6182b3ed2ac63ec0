//! Connectors: what charge points tell of theirs, beside what operators declare. Neither is a reason to refuse the other.

pub mod declare;
mod properties;
pub mod undeclare;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use service_kit::version::Versioned;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::Connector;

use super::find::{FindError, find};

#[derive(Debug, Error)]
pub enum GetError {
    #[error("nobody has told of the connector")]
    Unknown,
    #[error("the connector could not be read")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    ChargePoint(#[from] FindError),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Unknown => {
                Reason::NotFound.status("Neither the charge point nor an operator has told of this connector")
            }
            GetError::Database(error) => database::failed(&error),
            GetError::ChargePoint(error) => error.into(),
        }
    }
}

struct Row {
    charge_point_id: Uuid,
    connector_id: i32,
    status: Option<String>,
    error_code: Option<String>,
    info: Option<String>,
    vendor_error_code: Option<String>,
    status_at: Option<DateTime<Utc>>,
    received_at: Option<DateTime<Utc>>,
    availability: Option<String>,
    availability_answer: Option<String>,
    code: Option<String>,
    standard: Option<String>,
    max_power_watts: Option<i32>,
    power_type: Option<String>,
    evse_id: Option<i32>,
    /// 0 where nobody has declared it, so that a version is told from all that come later.
    revision: i64,
}

/// All connectors of these charge points, or those of one number, in their order.
async fn rows(
    connection: &mut PgConnection,
    charge_points: &[Uuid],
    connector_id: Option<i32>,
) -> Result<Vec<Row>, sqlx::Error> {
    // Operators ask for the availability of one connector or of all of them at once; the former says more.
    sqlx::query_as!(
        Row,
        r#"SELECT charge_point_id AS "charge_point_id!", connector_id AS "connector_id!", told.status AS "status?",
               told.error_code AS "error_code?", told.info, told.vendor_error_code, told.status_at AS "status_at?",
               told.received_at AS "received_at?", coalesce(own.desired, shared.desired) AS availability,
               CASE WHEN own.desired IS NULL THEN shared.answer ELSE own.answer END AS availability_answer,
               declared.code, declared.standard, declared.max_power_watts, declared.power_type,
               coalesce(declared.evse_id, nullif(connector_id, 0)) AS evse_id, coalesce(declared.revision, 0) AS "revision!"
           FROM (SELECT * FROM ocpp.connector WHERE charge_point_id = ANY($1)) AS told
           FULL JOIN (SELECT * FROM ocpp.connector_declaration WHERE charge_point_id = ANY($1)) AS declared
               USING (charge_point_id, connector_id)
           LEFT JOIN ocpp.availability AS own USING (charge_point_id, connector_id)
           LEFT JOIN (SELECT charge_point_id, desired, answer FROM ocpp.availability WHERE connector_id = 0) AS shared
               USING (charge_point_id)
           WHERE $2::integer IS NULL OR connector_id = $2
           ORDER BY charge_point_id, connector_id"#,
        charge_points,
        connector_id,
    )
    .fetch_all(connection)
    .await
}

/// By charge point.
pub async fn of_all(
    connection: &mut PgConnection,
    charge_points: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Connector>>, sqlx::Error> {
    let mut connectors: HashMap<Uuid, Vec<Connector>> = HashMap::new();
    for row in rows(connection, charge_points, None).await? {
        connectors.entry(row.charge_point_id).or_default().push(row.into());
    }
    Ok(connectors)
}

pub async fn get(database: &PgPool, identity: &str, connector_id: i32) -> Result<Versioned<Connector>, GetError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, identity).await?;
    read(&mut connection, charge_point, connector_id).await
}

/// As the transaction sees it that the connection is in.
async fn read(
    connection: &mut PgConnection,
    charge_point: Uuid,
    connector_id: i32,
) -> Result<Versioned<Connector>, GetError> {
    let row = rows(connection, &[charge_point], Some(connector_id)).await?.pop();
    let row = row.ok_or(GetError::Unknown)?;
    let revision = row.revision;
    Ok(Versioned::with_reports(row.into(), revision))
}

impl From<Row> for Connector {
    fn from(row: Row) -> Self {
        Self {
            connector_id: row.connector_id,
            status: row.status,
            error_code: row.error_code,
            info: row.info,
            vendor_error_code: row.vendor_error_code,
            status_at: row.status_at.map(timestamp),
            received_at: row.received_at.map(timestamp),
            availability: row.availability,
            availability_answer: row.availability_answer,
            code: row.code,
            standard: row.standard,
            max_power_watts: row.max_power_watts,
            power_type: row.power_type,
            evse_id: row.evse_id,
        }
    }
}
