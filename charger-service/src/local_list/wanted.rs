//! What the list of a charge point should hold by now, and what is to be done about it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::v1_6::local_list::LONGEST_ID_TAG;

/// Entries that a list may have, where the charge point has not reported that it has room for less.
pub const MOST_ENTRIES: i32 = 10_000;

/// Entries of one message, where the charge point has not reported how many it takes.
const DEFAULT_AT_ONCE: i32 = 100;

/// Entries of one message at most, whatever it has reported.
const MOST_AT_ONCE: i32 = 1000;

/// One more than a list may have: that many are too many.
pub const TOO_MANY: i32 = MOST_ENTRIES + 1;

/// An entry, or one that has to go, which has no status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub id_tag: String,
    pub status: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
    pub parent_id_tag: Option<String>,
    /// A code that people type in, or one that was.
    pub is_code: bool,
}

/// How much a charge point takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In its list.
    pub entries: i32,
    /// In one message.
    pub at_once: i32,
}

impl Limits {
    /// By what it has reported.
    fn of(local_auth_list_max_length: Option<i32>, send_local_list_max_length: Option<i32>) -> Self {
        Self {
            entries: local_auth_list_max_length.map_or(MOST_ENTRIES, |most| most.clamp(0, MOST_ENTRIES)),
            at_once: send_local_list_max_length.map_or(DEFAULT_AT_ONCE, |most| most.clamp(1, MOST_AT_ONCE)),
        }
    }

    /// Messages that lead from any list to any other, and as many again for what changes meanwhile.
    pub fn most_steps(self) -> i32 {
        4 * (MOST_ENTRIES / self.at_once) + 10
    }
}

pub async fn limits(connection: &mut PgConnection, charge_point: Uuid) -> Result<Limits, sqlx::Error> {
    let reported = sqlx::query!(
        "SELECT ocpp.reported_number($1, 'LocalAuthListMaxLength') AS entries,
             ocpp.reported_number($1, 'SendLocalListMaxLength') AS at_once",
        charge_point,
    )
    .fetch_one(connection)
    .await?;
    Ok(Limits::of(reported.entries, reported.at_once))
}

/// How many entries there should be, counted up to `most`.
pub async fn count(
    connection: &mut PgConnection,
    charge_point: Uuid,
    now: DateTime<Utc>,
    most: i32,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*)::integer AS "count!" FROM ocpp.wanted_local_list($1, $2, $3, '', $4)"#,
        charge_point,
        LONGEST_ID_TAG,
        now,
        most,
    )
    .fetch_one(connection)
    .await
}

/// The first `most` entries that there should be, by tag.
pub async fn entries(
    connection: &mut PgConnection,
    charge_point: Uuid,
    now: DateTime<Utc>,
    most: i32,
) -> Result<Vec<Wanted>, sqlx::Error> {
    sqlx::query_as!(
        Wanted,
        r#"SELECT id_tag AS "id_tag!", status, expires_at, parent_id_tag, is_code AS "is_code!"
           FROM ocpp.wanted_local_list($1, $2, $3, '', $4) ORDER BY lower(id_tag COLLATE "C")"#,
        charge_point,
        LONGEST_ID_TAG,
        now,
        most,
    )
    .fetch_all(connection)
    .await
}

/// What has to change in the list that the charge point has confirmed, the first `most` of it.
pub async fn differences(
    connection: &mut PgConnection,
    charge_point: Uuid,
    now: DateTime<Utc>,
    most: i32,
) -> Result<Vec<Wanted>, sqlx::Error> {
    sqlx::query_as!(
        Wanted,
        r#"SELECT id_tag AS "id_tag!", status, expires_at, parent_id_tag, is_code AS "is_code!"
           FROM ocpp.local_list_difference($1, $2, $3, $4) LIMIT $5"#,
        charge_point,
        LONGEST_ID_TAG,
        now,
        TOO_MANY,
        i64::from(most),
    )
    .fetch_all(connection)
    .await
}

/// How many of them there are, up to [`TOO_MANY`].
pub async fn count_differences(
    connection: &mut PgConnection,
    charge_point: Uuid,
    now: DateTime<Utc>,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*)::integer AS "count!"
           FROM (SELECT FROM ocpp.local_list_difference($1, $2, $3, $4) LIMIT $4) AS different"#,
        charge_point,
        LONGEST_ID_TAG,
        now,
        TOO_MANY,
    )
    .fetch_one(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_charge_point_has_reported_counts_as_far_as_it_makes_sense() {
        let limits = |entries, at_once| {
            let limits = Limits::of(entries, at_once);
            (limits.entries, limits.at_once)
        };
        assert_eq!(limits(None, None), (10_000, 100));
        assert_eq!(limits(Some(50), Some(20)), (50, 20));
        assert_eq!(limits(Some(0), Some(0)), (0, 1));
        assert_eq!(limits(Some(1_000_000), Some(1_000_000)), (10_000, 1000));
    }
}
