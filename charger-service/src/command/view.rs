//! A command as it is shown. What is secret in its payload is hidden, sent or not.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use service_kit::database;
use service_kit::event::timestamp;
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::Command;

use crate::redact;

/// A row of `ocpp.command` with its charge point's identity.
pub(super) struct Row {
    pub id: Uuid,
    pub identity: String,
    pub action: String,
    pub status: String,
    pub payload: Json<Box<RawValue>>,
    pub response: Option<String>,
    pub error_code: Option<String>,
    pub error_description: Option<String>,
    pub created_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub expires_at: DateTime<Utc>,
    pub campaign_id: Option<Uuid>,
}

/// One text for every look-up.
macro_rules! select {
    ($condition:tt $(, $argument:expr)+) => {
        sqlx::query_as!(
            $crate::command::view::Row,
            r#"SELECT command.id, identity, action, status, payload AS "payload: Json<Box<RawValue>>", response,
                   error_code, error_description, command.created_at, sent_at, completed_at, expires_at, campaign_id
               FROM ocpp.command JOIN ocpp.charge_point ON charge_point.id = charge_point_id "# + $condition
            $(, $argument)+
        )
    };
}
pub(super) use select;

pub(super) async fn find(database: &PgPool, id: Uuid) -> Result<Option<Row>, sqlx::Error> {
    let mut connection = database::begin(database).await?;
    select!("WHERE command.id = $1", id)
        .fetch_optional(&mut *connection)
        .await
}

impl From<Row> for Command {
    fn from(row: Row) -> Self {
        Self {
            payload: redact::request(&row.action, row.payload.get()).into_owned(),
            id: row.id.to_string(),
            identity: row.identity,
            action: row.action,
            status: row.status,
            response: row.response,
            error_code: row.error_code,
            error_description: row.error_description,
            created_at: Some(timestamp(row.created_at)),
            sent_at: row.sent_at.map(timestamp),
            completed_at: row.completed_at.map(timestamp),
            expires_at: Some(timestamp(row.expires_at)),
            campaign_id: row.campaign_id.map(|id| id.to_string()),
        }
    }
}
