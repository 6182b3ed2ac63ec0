//! How many transactions a token may have at once.
//!
//! Only what is known to run counts: no refused start, nothing that was stopped, and no transaction on whose connector another
//! one has begun since, whose stop got lost. It is for a start to be refused (OCPP 1.6, 7.2): an Authorize may be there to end
//! a charge, of the same token or of another one of its group.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Presented, Purpose};

/// A limit, and what counts towards it.
#[derive(Debug, Clone, Copy)]
struct Limit {
    most: i32,
    running: i64,
}

/// Whether one of the tokens `limiting` has as many transactions as it may have, its own and those of its group, and another
/// one is to start.
pub(super) async fn is_exhausted(
    connection: &mut PgConnection,
    limiting: &[Uuid],
    presented: &Presented<'_>,
) -> Result<bool, sqlx::Error> {
    if presented.purpose != Purpose::Start {
        return Ok(false);
    }
    lock(connection, limiting).await?;
    let limits = limits(connection, limiting, presented).await?;
    Ok(limits.iter().any(|limit| limit.running >= i64::from(limit.most)))
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
         SELECT max_concurrent_transactions AS "most!", count(running.id) AS "running!"
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
