//! Whether a token may charge.
//!
//! The same for every version of OCPP: values are compared without case, and a token may have any number of transactions
//! at once. Refuses to guess: a token that nobody registered is invalid.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// The verdict, with what a station may cache of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    pub status: AuthorizationStatus,
    pub expires_at: Option<DateTime<Utc>>,
    /// Tokens of one group may stop each other's transactions.
    pub group_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationStatus {
    Accepted,
    Blocked,
    Expired,
    Invalid,
}

impl AuthorizationStatus {
    /// OCPP's spelling, the same in all versions; also how a transaction remembers it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Blocked => "Blocked",
            Self::Expired => "Expired",
            Self::Invalid => "Invalid",
        }
    }

    /// What [`Self::as_str`] wrote. Anything else, which only a later release can have written, permits nothing.
    pub fn remembered(text: &str) -> Self {
        match text {
            "Accepted" => Self::Accepted,
            "Blocked" => Self::Blocked,
            "Expired" => Self::Expired,
            _ => Self::Invalid,
        }
    }
}

struct Row {
    group_id: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    blocked: bool,
}

/// Decides on a token as a station presented it.
pub async fn decide(
    connection: &mut PgConnection,
    id_token: &str,
    now: DateTime<Utc>,
) -> Result<Authorization, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT group_id, expires_at, blocked FROM ocpp.id_token WHERE lower(value) = lower($1 COLLATE "C")"#,
        id_token,
    )
    .fetch_optional(connection)
    .await?;
    Ok(verdict(row, now))
}

fn verdict(row: Option<Row>, now: DateTime<Utc>) -> Authorization {
    let Some(row) = row else {
        return Authorization {
            status: AuthorizationStatus::Invalid,
            expires_at: None,
            group_id: None,
        };
    };
    let status = if row.blocked {
        AuthorizationStatus::Blocked
    } else if row.expires_at.is_some_and(|expiry| expiry <= now) {
        AuthorizationStatus::Expired
    } else {
        AuthorizationStatus::Accepted
    };
    Authorization {
        status,
        expires_at: row.expires_at,
        group_id: row.group_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn status(blocked: bool, expires_in: Option<TimeDelta>) -> AuthorizationStatus {
        let now = DateTime::UNIX_EPOCH;
        let row = Row {
            group_id: None,
            expires_at: expires_in.map(|delta| now + delta),
            blocked,
        };
        verdict(Some(row), now).status
    }

    #[test]
    fn a_registered_token_is_accepted() {
        assert_eq!(status(false, None), AuthorizationStatus::Accepted);
        assert_eq!(
            status(false, Some(TimeDelta::seconds(1))),
            AuthorizationStatus::Accepted
        );
    }

    #[test]
    fn an_unknown_token_is_invalid() {
        assert_eq!(verdict(None, DateTime::UNIX_EPOCH).status, AuthorizationStatus::Invalid);
    }

    #[test]
    fn a_token_expires_at_its_very_moment() {
        assert_eq!(status(false, Some(TimeDelta::zero())), AuthorizationStatus::Expired);
    }

    #[test]
    fn blocked_outweighs_expired() {
        assert_eq!(status(true, Some(TimeDelta::seconds(-1))), AuthorizationStatus::Blocked);
    }

    #[test]
    fn what_is_remembered_of_a_verdict_is_the_verdict() {
        use AuthorizationStatus::{Accepted, Blocked, Expired, Invalid};
        for status in [Accepted, Blocked, Expired, Invalid] {
            assert_eq!(AuthorizationStatus::remembered(status.as_str()), status);
        }
    }
}
