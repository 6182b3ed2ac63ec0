//! One signing key follows another: after so many days, or by command. A scheduled one is published an hour before it
//! signs, and the one before is kept until its last token has expired. One replica at a time replaces keys, and tells the
//! others, which tell whoever verifies tokens.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::access::Client;
use service_kit::clock::SharedClock;
use service_kit::wake::Wake;
use sqlx::{PgConnection, PgPool};

use super::{Seed, SigningKey, SigningKeyError, SigningKeys, stored};
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use service_kit::sealing::SealingKey;

const CHANNEL: &str = "authentication_signing_key";

/// How often the table is looked at though nothing was heard.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How long before it signs a scheduled key is published.
const AHEAD: TimeDelta = TimeDelta::hours(1);

/// A key is kept for longer than its last token: a replica that has not heard of the next one may sign with it for so long.
const GRACE: TimeDelta = TimeDelta::minutes(5);

/// How a command wants the next key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It signs from now on. What the ones before signed stays valid.
    Now,
    /// The ones before are void at once, and all that they signed.
    Compromised,
}

/// Replaces keys, and keeps those that this replica knows up to date.
pub struct Rotation {
    pub database: PgPool,
    pub sealing: SealingKey,
    pub clock: SharedClock,
    pub keys: SigningKeys,
    /// How long a key signs.
    pub period: TimeDelta,
    /// How long a token is valid.
    pub lifetime: TimeDelta,
}

/// Reads the keys, and makes the first one if there is none. Replicas that start at once agree on it: the transaction lock
/// lets one of them look and make at a time.
pub async fn load_or_create(
    database: &PgPool,
    sealing: &SealingKey,
    now: DateTime<Utc>,
) -> Result<SigningKeys, SigningKeyError> {
    let mut transaction = database.begin().await?;
    lock(&mut transaction).await?;
    let mut keys = stored(&mut transaction, sealing).await?;
    if keys.keys.is_empty() {
        keys.keys.push(create(&mut transaction, sealing, now, now).await?);
        keys.revision = announce(&mut transaction).await?;
    }
    transaction.commit().await?;
    Ok(SigningKeys::new(keys))
}

impl Rotation {
    /// Reads what there is now.
    ///
    /// # Errors
    /// The database failed, or holds what does not open.
    pub async fn look(&self) -> Result<(), SigningKeyError> {
        let mut connection = self.database.acquire().await?;
        self.keys.set(stored(&mut connection, &self.sealing).await?);
        Ok(())
    }

    /// Looks whenever a replica has replaced keys, this one included, for as long as it is polled.
    pub async fn follow(&self) {
        let mut wake = Wake::on(self.database.clone(), CHANNEL);
        loop {
            wake.wait(LOOK_AGAIN).await;
            if let Err(error) = self.look().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "The signing keys cannot be looked at; trying again"
                );
            }
        }
    }

    /// Makes the next key where it is time for it, and deletes those whose last token has expired.
    ///
    /// # Errors
    /// The database failed.
    pub async fn by_schedule(&self) -> Result<(), SigningKeyError> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        lock(&mut transaction).await?;
        let keys = stored(&mut transaction, &self.sealing).await?;
        let due = keys.keys.first().map(|newest| newest.signs_from + self.period);
        let is_due = due.is_some_and(|due| due - AHEAD <= now);
        if let Some(due) = due.filter(|_| is_due) {
            self.replace(&mut transaction, due.max(now + AHEAD), now).await?;
        }
        let deleted = sqlx::query!("DELETE FROM authentication.signing_key WHERE verifies_until <= $1", now)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        if is_due || deleted > 0 {
            announce(&mut transaction).await?;
            transaction.commit().await?;
            self.look().await?;
        }
        Ok(())
    }

    /// Replaces the keys because somebody wants it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn by_command(
        &self,
        urgency: Urgency,
        caller: &LoggedInAs,
        client: &Client,
    ) -> Result<(), SigningKeyError> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        lock(&mut transaction).await?;
        // One that was to sign later would do so in spite of the command.
        sqlx::query!("DELETE FROM authentication.signing_key WHERE signs_from > $1", now)
            .execute(&mut *transaction)
            .await?;
        let key = self.replace(&mut transaction, now, now).await?;
        if urgency == Urgency::Compromised {
            sqlx::query!("DELETE FROM authentication.signing_key WHERE kid <> $1", key.kid())
                .execute(&mut *transaction)
                .await?;
        }
        let entry = Entry::new(Action::SigningKeysRotated, now, client)
            .by(caller.account)
            .with("compromised", urgency == Urgency::Compromised);
        audit::record(&mut transaction, entry).await?;
        announce(&mut transaction).await?;
        transaction.commit().await?;
        tracing::info!(kid = key.kid(), ?urgency, "The signing keys were replaced by command");
        self.look().await
    }

    /// Makes the key that signs from then on, and has those before it end some time after.
    async fn replace(
        &self,
        connection: &mut PgConnection,
        signs_from: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<SigningKey, SigningKeyError> {
        let key = create(connection, &self.sealing, signs_from, now).await?;
        sqlx::query!(
            "UPDATE authentication.signing_key
             SET verifies_until = least(verifies_until, $2)
             WHERE kid <> $1",
            key.kid(),
            signs_from + self.lifetime + GRACE
        )
        .execute(connection)
        .await?;
        Ok(key)
    }
}

async fn create(
    connection: &mut PgConnection,
    sealing: &SealingKey,
    signs_from: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<SigningKey, SigningKeyError> {
    let seed: Seed = rand::random();
    let key = SigningKey::from_seed(&seed, signs_from)?;
    let sealed_seed = sealing.seal(&seed, key.kid())?;
    sqlx::query!(
        "INSERT INTO authentication.signing_key (kid, sealed_seed, created_at, signs_from) VALUES ($1, $2, $3, $4)",
        key.kid(),
        sealed_seed,
        now,
        signs_from
    )
    .execute(connection)
    .await?;
    tracing::info!(kid = key.kid(), %signs_from, "Made a signing key");
    Ok(key)
}

async fn lock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('authentication.signing_key', 0))")
        .execute(connection)
        .await?;
    Ok(())
}

/// Counts the change that this transaction makes, and has every replica look once it is committed. Returns its number.
async fn announce(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let revision = sqlx::query_scalar!(
        "UPDATE authentication.signing_key_revision SET revision = revision + 1 RETURNING revision"
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query!("SELECT pg_notify($1, '')", CHANNEL)
        .execute(connection)
        .await?;
    Ok(revision)
}
