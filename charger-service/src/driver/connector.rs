//! Connectors, by what is printed on them: what anybody who stands before one may know.

use service_kit::database;
use service_kit::reason::Reason;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::PublicConnector;

/// In which a charge can be started, where the charge point is connected: with a cable or without one.
const FREE: [&str; 2] = ["Available", "Preparing"];

/// In which none can.
const TAKEN: [&str; 6] = [
    "Charging",
    "SuspendedEV",
    "SuspendedEVSE",
    "Finishing",
    "Unavailable",
    "Faulted",
];

#[derive(Debug, Error)]
pub(super) enum ConnectorError {
    #[error("no connector has this code")]
    NotFound,
    #[error("the connector could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<ConnectorError> for Status {
    fn from(error: ConnectorError) -> Self {
        match error {
            ConnectorError::NotFound => Reason::NotFound.status("There is no connector of this code"),
            ConnectorError::Database(error) => database::failed(&error),
        }
    }
}

/// Where a connector is.
#[derive(Debug)]
pub(super) struct Place {
    pub charge_point: Uuid,
    pub identity: String,
    pub connector_id: i32,
    /// No charge can be started there, as its charge point has told on the connection that it has. One that is reserved may be so for
    /// whoever asks.
    pub is_taken: bool,
}

pub(super) async fn find(connection: &mut PgConnection, code: &str) -> Result<Place, ConnectorError> {
    sqlx::query_as!(
        Place,
        r#"SELECT charge_point_id AS charge_point, identity, connector_id,
               (disconnected_at IS NULL AND lease_until > now()
                AND (coalesce(boot_answer, 'Accepted') <> 'Accepted' OR status = ANY($2))) IS TRUE AS "is_taken!"
           FROM ocpp.connector_declaration
           JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           LEFT JOIN ocpp.connector USING (charge_point_id, connector_id)
           LEFT JOIN ocpp.session USING (charge_point_id)
           LEFT JOIN ocpp.instance ON instance.id = session.instance_id
           WHERE lower(code) = lower($1 COLLATE "C") AND retired_at IS NULL"#,
        code,
        &TAKEN.map(str::to_owned) as &[String],
    )
    .fetch_optional(connection)
    .await?
    .ok_or(ConnectorError::NotFound)
}

pub(super) async fn get(database: &PgPool, code: &str) -> Result<PublicConnector, ConnectorError> {
    let row = sqlx::query!(
        r#"SELECT code AS "code!", standard, max_power_watts, power_type, status AS "status?",
               (disconnected_at IS NULL AND lease_until > now() AND coalesce(boot_answer, 'Accepted') = 'Accepted') IS TRUE
                   AS "in_service!",
               site.name AS "site_name?", site.address AS "site_address?"
           FROM ocpp.connector_declaration
           JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           LEFT JOIN ocpp.connector USING (charge_point_id, connector_id)
           LEFT JOIN ocpp.session USING (charge_point_id)
           LEFT JOIN ocpp.instance ON instance.id = session.instance_id
           LEFT JOIN ocpp.site ON site.id = charge_point.site_id
           WHERE lower(code) = lower($1 COLLATE "C") AND retired_at IS NULL"#,
        code,
    )
    .fetch_optional(&mut *database::begin(database).await?)
    .await?
    .ok_or(ConnectorError::NotFound)?;
    let is_free = row.status.as_deref().is_some_and(|status| FREE.contains(&status));
    Ok(PublicConnector {
        code: row.code,
        free: row.in_service && is_free,
        status: row.status,
        standard: row.standard,
        max_power_watts: row.max_power_watts,
        power_type: row.power_type,
        site_name: row.site_name,
        site_address: row.site_address,
    })
}
