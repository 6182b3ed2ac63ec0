//! How many transactions a token may have at once.
//!
//! Only what is known to run counts: no refused start, nothing that was stopped, and no transaction on whose connector another
//! one has begun since, whose stop got lost. One that runs at the charge point where the token is shown is no reason to refuse
//! an Authorize, for it may be shown to end it.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Presented, Purpose};

/// A limit, and what counts towards it.
#[derive(Debug, Clone, Copy)]
struct Limit {
    most: i32,
    running: i64,
    /// Of these, at the charge point that asks.
    running_here: i64,
}

/// Whether one of the tokens `limiting` has as many transactions as it may have, its own and those of its group.
pub(super) async fn is_exhausted(
    connection: &mut PgConnection,
    limiting: &[Uuid],
    presented: &Presented<'_>,
) -> Result<bool, sqlx::Error> {
    if presented.purpose == Purpose::Start {
        lock(connection, limiting).await?;
    }
    let limits = limits(connection, limiting, presented).await?;
    Ok(limits.into_iter().any(|limit| limit.is_exhausted(presented.purpose)))
}

impl Limit {
    fn is_exhausted(self, purpose: Purpose) -> bool {
        let is_full = self.running >= i64::from(self.most);
        match purpose {
            Purpose::Start => is_full,
            Purpose::Authorize => is_full && self.running_here == 0,
            Purpose::Stop => false,
        }
    }
}

/// Two that start at once come one after the other, and the second counts the first. Always in the same order, so that nobody
/// waits for somebody who waits for them.
async fn lock(connection: &mut PgConnection, limiting: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT FROM ocpp.id_token WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        limiting
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn limits(
    connection: &mut PgConnection,
    limiting: &[Uuid],
    presented: &Presented<'_>,
) -> Result<Vec<Limit>, sqlx::Error> {
    sqlx::query_as!(
        Limit,
        r#"WITH limiting AS (
             SELECT id, lower(value) AS value, max_concurrent_transactions FROM ocpp.id_token
             WHERE id = ANY($1) AND max_concurrent_transactions IS NOT NULL),
         counted AS (
             SELECT id AS limiting_id, value FROM limiting
             UNION
             SELECT limiting.id, lower(member.value) FROM limiting
             JOIN ocpp.id_token AS member ON lower(member.group_id) = limiting.value)
         SELECT max_concurrent_transactions AS "most!", count(running.id) AS "running!",
             count(running.id) FILTER (WHERE running.charge_point_id = $2) AS "running_here!"
         FROM limiting
         JOIN counted ON counted.limiting_id = limiting.id
         JOIN ocpp.transaction AS running ON left(lower(running.id_token), 255) = counted.value
             AND running.status = 'active'
         WHERE NOT EXISTS (
                 SELECT FROM ocpp.transaction AS later
                 WHERE later.charge_point_id = running.charge_point_id AND later.connector_id = running.connector_id
                   AND later.id > running.id)
           AND (running.charge_point_id, running.connector_id) IS DISTINCT FROM ($2::uuid, $3::integer)
         GROUP BY limiting.id, max_concurrent_transactions"#,
        limiting,
        presented.charge_point,
        presented.connector_id,
    )
    .fetch_all(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_against_a_start_anywhere_and_against_an_authorize_elsewhere_and_never_against_a_stop() {
        let limit = |running, running_here| Limit {
            most: 2,
            running,
            running_here,
        };
        for (limit, start, authorize) in [
            (limit(1, 0), false, false),
            (limit(2, 0), true, true),
            (limit(2, 1), true, false),
            (limit(3, 0), true, true),
        ] {
            assert_eq!(limit.is_exhausted(Purpose::Start), start, "{limit:?}");
            assert_eq!(limit.is_exhausted(Purpose::Authorize), authorize, "{limit:?}");
            assert!(!limit.is_exhausted(Purpose::Stop), "{limit:?}");
        }
    }
}
