//! Whether a token may charge.
//!
//! The same for every version of OCPP. Values are compared without case, and what a 1.6 station calls an idTag may be a token
//! of any type. A token may have any number of transactions at once, anywhere, unless an operator said otherwise. Refuses to
//! guess: a token that nobody registered is invalid, unless the authority of others that was asked about it says more
//! (`authority.rs`). A session of OCPP 2.x that needs no authorization (NoAuthorization) has no token, so it does not come
//! past here.

mod concurrency;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A token, as a station presented it.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    pub id_token: &'a str,
    pub charge_point: Uuid,
    /// None where the station does not say.
    pub connector_id: Option<i32>,
    pub purpose: Purpose,
    pub at: DateTime<Utc>,
    /// What another authority said, where one was asked.
    pub heard: Option<&'a Authorization>,
}

/// What a token is presented for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To begin a transaction or to end one: in 1.6 the station does not tell which.
    Authorize,
    Start,
    /// To end a transaction, or to be told again what was decided before.
    Stop,
}

impl Purpose {
    /// Part of the question to another authority, and never changed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

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
    /// It takes part in as many transactions as it may.
    ConcurrentTx,
    Expired,
    /// Nobody knows it, or it is not for this place.
    Invalid,
}

impl AuthorizationStatus {
    /// OCPP's spelling, the same in all versions; also how a transaction remembers it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Blocked => "Blocked",
            Self::ConcurrentTx => "ConcurrentTx",
            Self::Expired => "Expired",
            Self::Invalid => "Invalid",
        }
    }

    /// What [`Self::as_str`] wrote. Anything else, which only a later release can have written, permits nothing.
    pub fn remembered(text: &str) -> Self {
        match text {
            "Accepted" => Self::Accepted,
            "Blocked" => Self::Blocked,
            "ConcurrentTx" => Self::ConcurrentTx,
            "Expired" => Self::Expired,
            _ => Self::Invalid,
        }
    }
}

struct Row {
    id: Uuid,
    group_id: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    blocked: bool,
    max_concurrent_transactions: Option<i32>,
    is_allowed_here: bool,
    /// The token whose value is the group's, where its limit is that of the group.
    limiting_parent: Option<Uuid>,
}

/// Decides on a token. Whoever starts with one of which there is a limit waits for those who start with it at the same moment,
/// until their transactions are over.
pub async fn decide(connection: &mut PgConnection, presented: &Presented<'_>) -> Result<Authorization, sqlx::Error> {
    let row = find(connection, presented).await?;
    let own = verdict(row.as_ref(), presented.at);
    let is_registered = row.is_some();
    let mut authorization = together(own, is_registered, presented.heard, presented.at);
    if let Some(row) = row
        && authorization.status == AuthorizationStatus::Accepted
        && is_exhausted(connection, &row, presented).await?
    {
        authorization.status = AuthorizationStatus::ConcurrentTx;
    }
    Ok(authorization)
}

/// Whether another authority has a say about a token, by what is registered here; it is asked before the transaction of the
/// answer begins.
pub async fn has_a_say(
    connection: &mut PgConnection,
    presented: &Presented<'_>,
    always: bool,
) -> Result<bool, sqlx::Error> {
    let row = find(connection, presented).await?;
    let is_accepted = verdict(row.as_ref(), presented.at).status == AuthorizationStatus::Accepted;
    Ok(row.is_none() || (always && is_accepted))
}

async fn find(connection: &mut PgConnection, presented: &Presented<'_>) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT token.id, token.group_id, token.expires_at, token.blocked, token.max_concurrent_transactions,
               (NOT EXISTS (SELECT FROM ocpp.id_token_location WHERE id_token_id = token.id)
                OR EXISTS (SELECT FROM ocpp.id_token_location
                           WHERE id_token_id = token.id AND charge_point_id = $2
                             AND (connector_id IS NULL OR $3::integer IS NULL OR connector_id = $3)))
                   AS "is_allowed_here!",
               parent.id AS "limiting_parent?"
           FROM ocpp.id_token AS token
           LEFT JOIN ocpp.id_token AS parent ON lower(parent.value) = lower(token.group_id)
               AND parent.max_concurrent_transactions IS NOT NULL
           WHERE lower(token.value) = lower($1 COLLATE "C")"#,
        presented.id_token,
        presented.charge_point,
        presented.connector_id,
    )
    .fetch_optional(connection)
    .await
}

fn verdict(row: Option<&Row>, now: DateTime<Utc>) -> Authorization {
    let Some(row) = row else {
        return Authorization {
            status: AuthorizationStatus::Invalid,
            expires_at: None,
            group_id: None,
        };
    };
    let status = if row.blocked {
        AuthorizationStatus::Blocked
    } else if has_passed(row.expires_at, now) {
        AuthorizationStatus::Expired
    } else if !row.is_allowed_here {
        AuthorizationStatus::Invalid
    } else {
        AuthorizationStatus::Accepted
    };
    Authorization {
        status,
        expires_at: row.expires_at,
        group_id: row.group_id.clone(),
    }
}

fn has_passed(expiry: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    expiry.is_some_and(|expiry| expiry <= now)
}

/// What is refused here stays refused. Of a token that is not registered the other authority decides alone, and where it is
/// asked about one that is, both have to accept it.
fn together(
    own: Authorization,
    is_registered: bool,
    heard: Option<&Authorization>,
    now: DateTime<Utc>,
) -> Authorization {
    let Some(heard) = heard else {
        return own;
    };
    let mut heard = heard.clone();
    if heard.status == AuthorizationStatus::Accepted && has_passed(heard.expires_at, now) {
        heard.status = AuthorizationStatus::Expired;
    }
    if !is_registered {
        return heard;
    }
    if own.status != AuthorizationStatus::Accepted {
        return own;
    }
    Authorization {
        status: heard.status,
        expires_at: own.expires_at.into_iter().chain(heard.expires_at).min(),
        group_id: heard.group_id.or(own.group_id),
    }
}

async fn is_exhausted(
    connection: &mut PgConnection,
    row: &Row,
    presented: &Presented<'_>,
) -> Result<bool, sqlx::Error> {
    let own = row.max_concurrent_transactions.map(|_| row.id);
    let limiting: Vec<_> = own.into_iter().chain(row.limiting_parent).collect();
    if limiting.is_empty() || presented.purpose == Purpose::Stop {
        return Ok(false);
    }
    concurrency::is_exhausted(connection, &limiting, presented).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn status(blocked: bool, expires_in: Option<TimeDelta>) -> AuthorizationStatus {
        let now = DateTime::UNIX_EPOCH;
        let row = Row {
            expires_at: expires_in.map(|delta| now + delta),
            blocked,
            ..registered()
        };
        verdict(Some(&row), now).status
    }

    fn registered() -> Row {
        Row {
            id: Uuid::nil(),
            group_id: None,
            expires_at: None,
            blocked: false,
            max_concurrent_transactions: None,
            is_allowed_here: true,
            limiting_parent: None,
        }
    }

    fn said(status: AuthorizationStatus, expires_in: Option<i64>, group_id: Option<&str>) -> Authorization {
        Authorization {
            status,
            expires_at: expires_in.map(|seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)),
            group_id: group_id.map(str::to_owned),
        }
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
        use AuthorizationStatus::{Accepted, Blocked, ConcurrentTx, Expired, Invalid};
        for status in [Accepted, Blocked, ConcurrentTx, Expired, Invalid] {
            assert_eq!(AuthorizationStatus::remembered(status.as_str()), status);
        }
    }

    #[test]
    fn a_token_that_is_not_for_this_place_is_invalid_here() {
        let row = Row {
            is_allowed_here: false,
            ..registered()
        };
        let verdict = verdict(Some(&row), DateTime::UNIX_EPOCH);
        assert_eq!(verdict.status, AuthorizationStatus::Invalid);
    }

    #[test]
    fn of_an_unknown_token_the_other_authority_decides_alone() {
        use AuthorizationStatus::{Accepted, Expired, Invalid};
        let now = DateTime::UNIX_EPOCH;
        let unknown = said(Invalid, None, None);
        let accepted = said(Accepted, Some(60), Some("FLEET"));
        assert_eq!(together(unknown.clone(), false, Some(&accepted), now), accepted);
        let stale = said(Accepted, Some(0), None);
        assert_eq!(together(unknown.clone(), false, Some(&stale), now).status, Expired);
        assert_eq!(together(unknown.clone(), false, None, now), unknown);
    }

    #[test]
    fn of_a_registered_token_both_have_to_accept_it() {
        use AuthorizationStatus::{Accepted, Blocked, Expired};
        let now = DateTime::UNIX_EPOCH;
        let own = said(Accepted, Some(60), Some("OURS"));
        let heard = said(Accepted, Some(30), None);
        assert_eq!(
            together(own.clone(), true, Some(&heard), now),
            said(Accepted, Some(30), Some("OURS"))
        );
        let refused = said(Blocked, None, None);
        assert_eq!(together(own, true, Some(&refused), now).status, Blocked);
        let refused_here = said(Expired, None, None);
        assert_eq!(together(refused_here.clone(), true, Some(&heard), now), refused_here);
    }
}
