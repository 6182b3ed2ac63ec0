//! Attempts to connect that were refused, as far as they deserve attention: who keeps trying a password, who comes with less
//! than the security profile asks for, who shows another's certificate.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Origin, SecurityEvent, store};

/// Attempts of one kind are counted for this long, and told of once.
const WINDOW: TimeDelta = TimeDelta::minutes(10);

/// Wrong passwords that may be a mistake.
const MISTAKES: i32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No password, or a wrong one.
    Password,
    /// Less than the security profile asks for.
    Downgrade,
    /// A certificate of an authority that is known, and not the charge point's.
    Certificate,
    /// Another serial number than its certificate names.
    SerialNumber,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Password => "FailedToAuthenticationAtCentralSystem",
            Self::Downgrade => "SecurityProfileDowngradeAttempt",
            Self::Certificate => "WrongChargePointCertificate",
            Self::SerialNumber => "WrongChargePointSerialNumber",
        }
    }

    /// The attempt that is told of.
    fn told_at(self) -> i32 {
        match self {
            Self::Password => MISTAKES + 1,
            Self::Downgrade | Self::Certificate | Self::SerialNumber => 1,
        }
    }
}

/// Counts an attempt to connect, and makes an event of it where there have been enough.
pub async fn note(
    database: &PgPool,
    charge_point: Uuid,
    kind: Kind,
    what: &str,
    peer: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    let what = format!("{what}; from {}", peer.unwrap_or("an unknown address"));
    count(&mut transaction, charge_point, kind, &what, now).await?;
    transaction.commit().await
}

/// Counts an attempt of whatever kind.
pub async fn count(
    connection: &mut PgConnection,
    charge_point: Uuid,
    kind: Kind,
    what: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let attempts = sqlx::query_scalar!(
        "INSERT INTO ocpp.refused_attempt AS known (charge_point_id, type, since, attempts)
         VALUES ($1, $2, $3, 1)
         ON CONFLICT (charge_point_id, type) DO UPDATE
         SET since = CASE WHEN known.since > $4 THEN known.since ELSE excluded.since END,
             attempts = CASE WHEN known.since > $4 THEN least(known.attempts, 1000000) + 1 ELSE 1 END
         RETURNING attempts",
        charge_point,
        kind.as_str(),
        now,
        now - WINDOW,
    )
    .fetch_one(&mut *connection)
    .await?;
    if attempts == kind.told_at() {
        let event = SecurityEvent {
            charge_point,
            origin: Origin::Csms,
            kind: kind.as_str(),
            tech_info: Some(what),
            occurred_at: now,
            received_at: now,
        };
        store(connection, &event).await?;
    }
    Ok(())
}
