//! Addresses that an account has logged in from before, or reset its password from. Only whoever has the password, or the
//! mailbox, can make one familiar, so it is no stranger who is spared there.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::key::Network;

/// Of more than these, those used last stay.
const MOST: i64 = 20;

/// Forgotten when not used for so long.
const KEPT: TimeDelta = TimeDelta::days(90);

/// The time of the last use is written no more often than this.
const PRECISION: TimeDelta = TimeDelta::hours(1);

/// Makes `address` familiar to `account`. Belongs into the transaction of what proves it: a login with all its factors, or
/// a password that was reset.
pub async fn remember(
    connection: &mut PgConnection,
    account: Uuid,
    address: IpAddr,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let network = Network::of(address);
    sqlx::query!(
        "WITH surplus AS (
             DELETE FROM authentication.familiar_address
             WHERE account_id = $1 AND network IN (
                 SELECT network FROM authentication.familiar_address
                 WHERE account_id = $1 AND network <> $2
                 ORDER BY last_used_at DESC, network
                 OFFSET $5
                 FOR UPDATE SKIP LOCKED
             )
         )
         INSERT INTO authentication.familiar_address AS f (account_id, network, last_used_at) VALUES ($1, $2, $3)
         ON CONFLICT (account_id, network) DO UPDATE SET last_used_at = $3
         WHERE f.last_used_at < $4",
        account,
        network.as_str(),
        now,
        now - PRECISION,
        MOST - 1
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes up to `most` that have not been used for long.
pub(super) async fn prune(connection: &mut PgConnection, now: DateTime<Utc>, most: i64) -> Result<u64, sqlx::Error> {
    let pruned = sqlx::query!(
        "DELETE FROM authentication.familiar_address
         WHERE (account_id, network) IN (
             SELECT account_id, network FROM authentication.familiar_address
             WHERE last_used_at < $1
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
        now - KEPT,
        most
    )
    .execute(connection)
    .await?;
    Ok(pruned.rows_affected())
}
