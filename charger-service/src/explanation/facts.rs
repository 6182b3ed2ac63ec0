//! What the database knows of one transaction.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

#[derive(Debug)]
pub(super) struct Facts {
    pub id: i32,
    pub charge_point: Uuid,
    pub connector_id: i32,
    pub id_token: String,
    pub status: String,
    /// What the start was answered with.
    pub authorization_status: String,
    pub account: Option<Uuid>,
    pub meter_start_wh: Option<i64>,
    pub meter_stop_wh: Option<i64>,
    pub register_wh: Option<Decimal>,
    pub register_is_of_session: bool,
    pub energy_wh: Option<Decimal>,
    pub started_at: Option<DateTime<Utc>>,
    pub stopped_at: Option<DateTime<Utc>>,
    pub start_received_at: DateTime<Utc>,
    pub stop_received_at: Option<DateTime<Utc>>,
    pub stop_reason: Option<String>,
    pub stop_id_token: Option<String>,
    pub closed_by: Option<Uuid>,
    pub close_reason: Option<String>,
    /// The tariff by which it goes: its name and version.
    pub tariff: Option<(String, i32)>,
}

impl Facts {
    pub async fn read(connection: &mut PgConnection, id: i32) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query!(
            r#"SELECT charge_point_id, connector_id, id_token, status, authorization_status, account_id, meter_start_wh,
                   meter_stop_wh, register_wh::text, register_is_of_session, energy_wh::text, started_at, stopped_at,
                   start_received_at, stop_received_at, stop_reason, stop_id_token, closed_by, close_reason,
                   tariff_version.name AS "tariff_name?", version AS "tariff_version?"
               FROM ocpp.transaction LEFT JOIN ocpp.tariff_version ON tariff_version.id = tariff_version_id
               WHERE transaction.id = $1"#,
            id,
        )
        .fetch_optional(connection)
        .await?;
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Ok(row.map(|row| Self {
            id,
            charge_point: row.charge_point_id,
            connector_id: row.connector_id,
            id_token: row.id_token,
            status: row.status,
            authorization_status: row.authorization_status,
            account: row.account_id,
            meter_start_wh: row.meter_start_wh,
            meter_stop_wh: row.meter_stop_wh,
            register_wh: number(row.register_wh),
            register_is_of_session: row.register_is_of_session.unwrap_or_default(),
            energy_wh: number(row.energy_wh),
            started_at: row.started_at,
            stopped_at: row.stopped_at,
            start_received_at: row.start_received_at,
            stop_received_at: row.stop_received_at,
            stop_reason: row.stop_reason,
            stop_id_token: row.stop_id_token,
            closed_by: row.closed_by,
            close_reason: row.close_reason,
            tariff: row.tariff_name.zip(row.tariff_version),
        }))
    }
}
