//! An operator has changed a key, and the charge point agreed.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::report;

#[derive(Debug)]
pub struct Change<'a> {
    pub charge_point: Uuid,
    pub key: &'a str,
    pub value: &'a str,
    /// What the charge point answered.
    pub answer: Answer,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The value counts.
    Accepted,
    /// It will, from the next boot on.
    RebootRequired,
    NotSupported,
}

impl Answer {
    /// None for a refusal, which changes nothing.
    pub fn parse(status: &str) -> Option<Self> {
        match status {
            "Accepted" => Some(Self::Accepted),
            "RebootRequired" => Some(Self::RebootRequired),
            "NotSupported" => Some(Self::NotSupported),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::RebootRequired => "RebootRequired",
            Self::NotSupported => "NotSupported",
        }
    }
}

pub async fn change(connection: &mut PgConnection, change: &Change<'_>) -> Result<(), sqlx::Error> {
    if change.answer == Answer::NotSupported {
        return report::unknown(connection, change.charge_point, &[change.key.to_owned()], change.at).await;
    }
    sqlx::query!(
        r#"INSERT INTO ocpp.configuration_key AS stored
             (charge_point_id, key, known, reported_value, reported_at, desired_value, desired_status, desired_at)
         VALUES ($1, $2, true, CASE WHEN $5 THEN $3 END, CASE WHEN $5 THEN $6::timestamptz END, $3, $4, $6)
         ON CONFLICT (charge_point_id, lower(key)) DO UPDATE
         SET known = true, desired_value = excluded.desired_value, desired_status = excluded.desired_status,
             desired_at = excluded.desired_at,
             reported_value = CASE WHEN $5 THEN excluded.desired_value ELSE stored.reported_value END,
             reported_at = CASE WHEN $5 THEN excluded.desired_at ELSE stored.reported_at END"#,
        change.charge_point,
        change.key,
        change.value,
        change.answer.as_str(),
        change.answer == Answer::Accepted,
        change.at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
