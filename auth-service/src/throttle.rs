//! Throttling: whoever fails too often has to wait, longer each time. What is counted, and how, is `throttle/policy.rs`.
//!
//! An attempt is reserved before it costs anything, in one statement for all its keys, at the database that all replicas
//! share: of ten thousand attempts made at once no more get through than of ten thousand made in turn. Whoever succeeds gives the
//! reservation back; whoever fails, or goes away meanwhile, leaves it. An attempt that is refused changes nothing, so that
//! trying on does not make the wait longer, and most of a flood is refused without the database, from a small memory of
//! what is blocked.
//!
//! Nobody is locked out by a stranger. What is counted for an account, wherever the attempts come from, and for an address,
//! whoever they are for, does not concern an account at an address that it has logged in from before
//! (`throttle/familiar.rs`): there it waits for failures made there in its own name only. Where no name is said, as with a passkey
//! or a code from a mail, nobody can be told from a stranger who shares the address. So the waits there are short: these cannot be
//! guessed. Nothing here knows whether an account exists, so neither does whoever reads a refusal.

pub mod familiar;
mod key;
mod lanes;
mod policy;
mod refusal;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;
use service_kit::clock::SharedClock;
use service_kit::database;
use sqlx::{PgConnection, PgPool};
use tokio::sync::Semaphore;

pub use self::key::Network;
pub use self::policy::{Limits, Purpose};
pub use self::refusal::{Refusal, ThrottleError, too_many};

use self::key::Key;
use self::lanes::{Lanes, Turn};
use self::policy::{Kind, Policy};

/// Keys that are remembered as blocked: a few megabytes.
const REMEMBERED: usize = 20_000;

/// How long a memory is trusted, where the block is not over before: another replica may have lifted it.
const TRUSTED: TimeDelta = TimeDelta::seconds(10);

/// Attempts of one address, or for one account, that are under way at once for each core: a fraction of the hashes that
/// may wait (`password_hash.rs`).
const AT_ONCE_PER_CORE: usize = 2;

/// How much is removed by one statement, and by how many of them in one go.
const PRUNED_AT_ONCE: i64 = 1000;
const BATCHES: usize = 50;

/// See the [module](self).
#[derive(Clone)]
pub struct Throttle {
    database: PgPool,
    clock: SharedClock,
    limits: Limits,
    blocked: Arc<Cache<Key, Remembered>>,
    lanes: Lanes,
    /// Leaves connections of the pool to those who are let in.
    connections: Arc<Semaphore>,
}

#[derive(Clone, Copy)]
struct Remembered {
    refusal: Refusal,
    trusted_until: DateTime<Utc>,
}

/// One key of an attempt, and how it is counted.
#[derive(Clone, Copy)]
struct Counted {
    key: Key,
    kind: Kind,
    policy: Policy,
}

/// An attempt that was let in. Dropped, it counts as a failure.
#[must_use = "an attempt that succeeds has to say so"]
pub struct Reservation {
    throttle: Throttle,
    rows: Vec<Reserved>,
    now: DateTime<Utc>,
    turns: Vec<Turn>,
}

struct Reserved {
    key: Key,
    kind: Kind,
    leak: i32,
    blocked_until: DateTime<Utc>,
}

impl Throttle {
    pub fn new(database: PgPool, clock: SharedClock, limits: Limits) -> Self {
        let connections = for_attempts(database.options().get_max_connections());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            database,
            clock,
            limits,
            blocked: Arc::new(Cache::new(REMEMBERED)),
            lanes: Lanes::new(cores * AT_ONCE_PER_CORE),
            connections: Arc::new(Semaphore::new(connections)),
        }
    }

    /// Reserves an attempt made from `address`, and for the account that goes by `username_key`
    /// ([`Username::key`](crate::username::Username::key)) where it is for one.
    ///
    /// # Errors
    /// There were too many, or the database failed.
    pub async fn reserve(
        &self,
        purpose: Purpose,
        address: IpAddr,
        username_key: Option<&str>,
    ) -> Result<Reservation, ThrottleError> {
        let network = Network::of(address);
        let counted = self.counted(purpose, &network, username_key);
        self.reserve_all(purpose, &counted, &network, username_key).await
    }

    /// The same, counted for the account alone, or for whatever goes by the name: where the address has been counted already.
    ///
    /// # Errors
    /// As above.
    pub async fn reserve_for_account(
        &self,
        purpose: Purpose,
        address: IpAddr,
        username_key: &str,
    ) -> Result<Reservation, ThrottleError> {
        let network = Network::of(address);
        let mut counted = self.counted(purpose, &network, Some(username_key));
        counted.retain(|one| one.kind == Kind::Account);
        self.reserve_all(purpose, &counted, &network, Some(username_key)).await
    }

    async fn reserve_all(
        &self,
        purpose: Purpose,
        counted: &[Counted],
        network: &Network,
        username_key: Option<&str>,
    ) -> Result<Reservation, ThrottleError> {
        self.remembered(counted, self.clock.now())?;
        let mut turns = Vec::new();
        // Always in this order, so that no two wait for each other.
        for one in counted.iter().filter(|one| one.kind != Kind::Pair) {
            turns.push(self.lanes.turn(one.key).await);
        }
        loop {
            let _connection = self.connections.acquire().await;
            let now = self.clock.now();
            // Who waited may find the block that somebody before met.
            self.remembered(counted, now)?;
            let found = self.attempt(purpose, counted, network, username_key, now).await?;
            let until = |row: &Row| row.blocked_until.map(|until| (until, row.position));
            if let Some((until, position)) = found.iter().filter_map(until).max() {
                let policy = counted[usize::try_from(position - 1).unwrap_or(0)].policy;
                let refusal = Refusal {
                    purpose,
                    policy,
                    until,
                    now,
                };
                self.remember(counted, &found, refusal);
                return Err(ThrottleError::Refused(refusal));
            }
            let complete = found.iter().all(|row| row.reserved_until.is_some());
            let reservation = Reservation {
                throttle: self.clone(),
                rows: found.iter().filter_map(|row| row.reserved(counted)).collect(),
                now,
                turns: Vec::new(),
            };
            if complete {
                return Ok(Reservation { turns, ..reservation });
            }
            // Others came in between the look and the reservation, and blocked one of the keys. Now it can be seen.
            reservation.give_back().await;
        }
    }

    /// Forgets the logins that failed for this account at this address: somebody there has shown since, in another way, to be its
    /// owner. A failure leaves them to wait for as long as they would have anyway, so nobody is told of it.
    pub async fn forgive(&self, address: IpAddr, username_key: &str) {
        let network = Network::of(address);
        let keys = |kind| key::of(Purpose::LogIn, kind, &network, Some(username_key));
        let Some(pair) = keys(Kind::Pair) else { return };
        let forgiven = sqlx::query!("DELETE FROM authentication.throttle WHERE key = $1", &pair[..])
            .execute(&self.database)
            .await;
        // Of the others it may be remembered that they concern everybody, and this account is at home here by now.
        for key in Kind::ALL.into_iter().filter_map(keys) {
            self.blocked.remove(&key);
        }
        if let Err(error) = forgiven {
            tracing::warn!(%error, "Attempts that failed could not be forgiven; they are forgotten in time");
        }
    }

    fn counted(&self, purpose: Purpose, network: &Network, username_key: Option<&str>) -> Vec<Counted> {
        Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                Some(Counted {
                    key: key::of(purpose, kind, network, username_key)?,
                    kind,
                    policy: self.limits.policy(purpose, kind)?,
                })
            })
            .collect()
    }

    fn remembered(&self, counted: &[Counted], now: DateTime<Utc>) -> Result<(), ThrottleError> {
        let holds = |remembered: &Remembered| remembered.trusted_until > now;
        let remembered = counted
            .iter()
            .filter_map(|one| self.blocked.get(&one.key).filter(holds));
        match remembered.max_by_key(|remembered| remembered.refusal.until) {
            Some(remembered) => Err(ThrottleError::Refused(Refusal {
                now,
                ..remembered.refusal
            })),
            None => Ok(()),
        }
    }

    /// What is blocked for everybody is remembered as such; what is not, because somebody is familiar there, for this one
    /// account at this one address.
    fn remember(&self, counted: &[Counted], found: &[Row], refusal: Refusal) {
        let remembered = Remembered {
            refusal,
            trusted_until: refusal.until.min(refusal.now + TRUSTED),
        };
        let pair = counted.iter().find(|one| one.kind == Kind::Pair).map(|one| one.key);
        for row in found.iter().filter(|row| row.blocked_until == Some(refusal.until)) {
            let Some(blocked) = row.of(counted) else { continue };
            let key = if row.spares_somebody { pair } else { Some(blocked.key) };
            if let Some(key) = key {
                self.blocked.insert(key, remembered);
            }
        }
    }

    /// Looks at all keys and, where none is blocked, counts the attempt for each: in the order of the keys, so that two
    /// attempts never wait for each other crosswise.
    async fn attempt(
        &self,
        purpose: Purpose,
        counted: &[Counted],
        network: &Network,
        username_key: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let keys: Vec<Vec<u8>> = counted.iter().map(|one| one.key.to_vec()).collect();
        let spared: Vec<bool> = counted.iter().map(|one| purpose.spares(one.kind)).collect();
        let are_accounts: Vec<bool> = counted.iter().map(|one| one.kind == Kind::Account).collect();
        let of = |number: fn(&Policy) -> u32| -> Vec<i32> {
            counted
                .iter()
                .map(|one| number(&one.policy).try_into().unwrap_or(i32::MAX))
                .collect()
        };
        let mut transaction = database::begin(&self.database).await?;
        let rows = sqlx::query_as!(
            Row,
            r#"
            WITH wanted AS (
                SELECT *
                FROM unnest($1::bytea[], $2::boolean[], $3::boolean[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[])
                    WITH ORDINALITY AS w (key, spared, is_account, free, first, longest, leak, fullest, position)
            ),
            places AS (
                SELECT f.network
                FROM authentication.familiar_address AS f
                JOIN authentication.account AS a ON a.id = f.account_id
                WHERE a.username_key = $9
            ),
            applied AS MATERIALIZED (
                SELECT *
                FROM wanted
                WHERE NOT (spared AND EXISTS (SELECT FROM places WHERE network = $10))
            ),
            blocked AS MATERIALIZED (
                SELECT t.key, t.blocked_until
                FROM authentication.throttle AS t
                JOIN applied USING (key)
                WHERE t.blocked_until > $11
            ),
            reserved AS (
                INSERT INTO authentication.throttle AS t (key, empty_at, blocked_until)
                SELECT key, $11 + make_interval(secs => leak), to_timestamp(0)
                FROM applied
                WHERE NOT EXISTS (SELECT FROM blocked)
                ORDER BY key
                ON CONFLICT (key) DO UPDATE SET (empty_at, blocked_until) = (
                    SELECT
                        next.empty_at,
                        CASE
                            WHEN surplus.failures <= 0 THEN t.blocked_until
                            ELSE $11 + make_interval(secs => least(a.longest, a.first * 2.0 ^ least(surplus.failures - 1, 30)))
                        END
                    FROM applied AS a
                    CROSS JOIN LATERAL (
                        SELECT least(
                            greatest(t.empty_at, $11) + make_interval(secs => a.leak),
                            $11 + make_interval(secs => a.leak::float8 * a.fullest)
                        ) AS empty_at
                    ) AS next
                    CROSS JOIN LATERAL (
                        SELECT round(extract(epoch FROM next.empty_at - $11) / a.leak) - a.free AS failures
                    ) AS surplus
                    WHERE a.key = t.key
                )
                WHERE t.blocked_until <= $11
                RETURNING t.key, t.blocked_until
            )
            SELECT
                a.position AS "position!",
                r.blocked_until AS "reserved_until?",
                b.blocked_until AS "blocked_until?",
                a.spared AND CASE
                    WHEN a.is_account THEN EXISTS (SELECT FROM places)
                    ELSE EXISTS (SELECT FROM authentication.familiar_address AS f WHERE f.network = $10)
                END AS "spares_somebody!"
            FROM applied AS a
            LEFT JOIN reserved AS r USING (key)
            LEFT JOIN blocked AS b USING (key)
            "#,
            &keys,
            &spared,
            &are_accounts,
            &of(|policy| policy.free),
            &of(|policy| policy.first),
            &of(|policy| policy.longest),
            &of(|policy| policy.leak),
            &of(Policy::fullest),
            // No name in the database holds this character, and no question may.
            username_key.filter(|key| !key.contains('\0')),
            network.as_str(),
            now
        )
        .fetch_all(&mut *transaction)
        .await?;
        if rows.iter().any(|row| row.reserved_until.is_some()) {
            transaction.commit().await?;
        }
        Ok(rows)
    }

    /// Removes what has been forgotten.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_forgotten(&self, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        for _ in 0..BATCHES {
            let mut connection = self.database.acquire().await?;
            let attempts = prune_attempts(&mut connection, now).await?;
            let places = familiar::prune(&mut connection, now, PRUNED_AT_ONCE).await?;
            if attempts.max(places) < PRUNED_AT_ONCE.unsigned_abs() {
                break;
            }
        }
        Ok(())
    }
}

/// Half of the connections that are left to calls.
fn for_attempts(connections: u32) -> usize {
    let left = connections.saturating_sub(crate::LISTENERS);
    (left / 2).max(1).try_into().unwrap_or(Semaphore::MAX_PERMITS)
}

impl Reservation {
    /// The attempt succeeded: it does not count, and neither do those that failed before for this account from here.
    pub async fn succeeded(self) {
        self.settle(|kind| kind == Kind::Pair).await;
    }

    /// The attempt came to nothing for a reason that is not the client's: it does not count.
    pub async fn give_back(self) {
        self.settle(|_| false).await;
    }

    /// A failure costs whoever attempted one attempt, no more, so nobody is told of it.
    async fn settle(mut self, is_cleared: impl Fn(Kind) -> bool) {
        self.turns.clear();
        let keys: Vec<Vec<u8>> = self.rows.iter().map(|row| row.key.to_vec()).collect();
        let leaks: Vec<i32> = self.rows.iter().map(|row| row.leak).collect();
        let blocks: Vec<DateTime<Utc>> = self.rows.iter().map(|row| row.blocked_until).collect();
        let cleared: Vec<bool> = self.rows.iter().map(|row| is_cleared(row.kind)).collect();
        let settled = sqlx::query!(
            "WITH settled AS (
                 SELECT t.key, s.leak, s.blocked_until, s.cleared
                 FROM unnest($1::bytea[], $2::int[], $3::timestamptz[], $4::boolean[])
                     AS s (key, leak, blocked_until, cleared)
                 JOIN authentication.throttle AS t USING (key)
                 ORDER BY t.key
                 FOR UPDATE OF t
             )
             UPDATE authentication.throttle AS t
             SET empty_at = CASE WHEN s.cleared THEN $5 ELSE t.empty_at - make_interval(secs => s.leak) END,
                 blocked_until = CASE
                     WHEN s.cleared OR t.blocked_until = s.blocked_until THEN to_timestamp(0)
                     ELSE t.blocked_until
                 END
             FROM settled AS s
             WHERE t.key = s.key",
            &keys,
            &leaks,
            &blocks,
            &cleared,
            self.now
        )
        .execute(&self.throttle.database)
        .await;
        // What this very attempt had blocked may have been met by others meanwhile.
        for row in &self.rows {
            self.throttle.blocked.remove(&row.key);
        }
        if let Err(error) = settled {
            tracing::warn!(%error, "An attempt could not be given back and counts as a failure");
        }
    }
}

struct Row {
    /// Of the key among those asked for, from 1.
    position: i64,
    /// Until when the attempt itself blocks the key; none where it was not counted.
    reserved_until: Option<DateTime<Utc>>,
    /// Until when the key had been blocked already.
    blocked_until: Option<DateTime<Utc>>,
    /// Whether there is somebody whom a block of this key does not concern.
    spares_somebody: bool,
}

impl Row {
    fn of<'a>(&self, counted: &'a [Counted]) -> Option<&'a Counted> {
        counted.get(usize::try_from(self.position - 1).ok()?)
    }

    fn reserved(&self, counted: &[Counted]) -> Option<Reserved> {
        let one = self.of(counted)?;
        Some(Reserved {
            key: one.key,
            kind: one.kind,
            leak: one.policy.leak.try_into().unwrap_or(i32::MAX),
            blocked_until: self.reserved_until?,
        })
    }
}

async fn prune_attempts(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let pruned = sqlx::query!(
        "DELETE FROM authentication.throttle
         WHERE key IN (
             SELECT key FROM authentication.throttle
             WHERE empty_at < $1 AND blocked_until < $1
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
        now,
        PRUNED_AT_ONCE
    )
    .execute(connection)
    .await?;
    Ok(pruned.rows_affected())
}
