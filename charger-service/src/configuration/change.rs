//! A command has changed a key, or the charge point refused.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{desire, report};

#[derive(Debug)]
pub struct Change<'a> {
    pub charge_point: Uuid,
    pub command: Uuid,
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
    Rejected,
    NotSupported,
}

impl Answer {
    /// None for a word that is none of OCPP's, which changes nothing.
    pub fn parse(status: &str) -> Option<Self> {
        [Self::Accepted, Self::RebootRequired, Self::Rejected, Self::NotSupported]
            .into_iter()
            .find(|answer| answer.as_str() == status)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::RebootRequired => "RebootRequired",
            Self::Rejected => "Rejected",
            Self::NotSupported => "NotSupported",
        }
    }
}

/// What the charge point agreed to is what is desired, unless an operator has stated a wish: that one stands.
pub async fn change(connection: &mut PgConnection, change: &Change<'_>) -> Result<(), sqlx::Error> {
    desire::answered(connection, change.command, change.answer).await?;
    match change.answer {
        Answer::Rejected => return Ok(()),
        Answer::NotSupported => {
            return report::unknown(connection, change.charge_point, &[change.key.to_owned()], change.at).await;
        }
        Answer::Accepted | Answer::RebootRequired => {}
    }
    sqlx::query!(
        r#"INSERT INTO ocpp.configuration_key AS stored
             (charge_point_id, key, known, reported_value, reported_at, desired_value, desired_status, desired_at)
         VALUES ($1, $2, true, CASE WHEN $5 THEN $3 END, CASE WHEN $5 THEN $6::timestamptz END, $3, $4, $6)
         ON CONFLICT (charge_point_id, lower(key)) DO UPDATE
         SET known = true,
             desired_value = CASE WHEN stored.desired_state IS NULL THEN excluded.desired_value ELSE stored.desired_value END,
             desired_status = CASE WHEN stored.desired_state IS NULL THEN excluded.desired_status ELSE stored.desired_status END,
             desired_at = CASE WHEN stored.desired_state IS NULL THEN excluded.desired_at ELSE stored.desired_at END,
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
