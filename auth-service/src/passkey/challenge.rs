//! What a device was asked to sign, kept between the two steps of a ceremony: at this side, for the client is not to be
//! trusted with it, and in the database, for the second step may reach another replica.

use chrono::{DateTime, Utc};
use service_kit::database;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;
use voltgate_proto::auth::v1::PasskeyChallenge;

use super::relying_party::Options;
use crate::State;
use crate::housekeeping::{BATCH, in_batches};
use crate::random_token::{self, CHALLENGE_LIFETIME, CHALLENGE_SECONDS, RandomToken};

/// Keeps `state` for the second step. Without an account it is a login.
pub async fn keep<T: serde::Serialize + Sync>(
    connection: &mut PgConnection,
    account: Option<Uuid>,
    options: Options,
    state: &T,
    now: DateTime<Utc>,
) -> Result<PasskeyChallenge, sqlx::Error> {
    let token = RandomToken::generate();
    sqlx::query!(
        "INSERT INTO authentication.passkey_challenge (token, account_id, state, expires_at) VALUES ($1, $2, $3, $4)",
        token.hash(),
        account,
        Json(state) as _,
        now + CHALLENGE_LIFETIME
    )
    .execute(connection)
    .await?;
    Ok(PasskeyChallenge {
        token: token.into_text(),
        options,
        expires_in: CHALLENGE_SECONDS,
    })
}

/// Takes what was kept, for good: whatever comes of the second step, there is no other try, and an answer that somebody
/// recorded finds nothing to answer.
pub async fn take<T: serde::de::DeserializeOwned + Send + Unpin + 'static>(
    state: &State,
    token: &str,
    account: Option<Uuid>,
) -> Result<Option<T>, sqlx::Error> {
    let mut transaction = database::begin(&state.database).await?;
    let taken = sqlx::query_scalar!(
        r#"DELETE FROM authentication.passkey_challenge
           WHERE token = $1 AND account_id IS NOT DISTINCT FROM $2 AND expires_at > $3
           RETURNING state AS "state: Json<T>""#,
        random_token::hash(token),
        account,
        state.clock.now()
    )
    .fetch_optional(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(taken.map(|Json(state)| state))
}

/// Removes what nobody has answered in time.
pub async fn remove_expired(state: &State) -> Result<(), sqlx::Error> {
    in_batches(|| {
        sqlx::query!(
            "DELETE FROM authentication.passkey_challenge WHERE token IN (
                 SELECT token FROM authentication.passkey_challenge WHERE expires_at <= $1
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
             )",
            state.clock.now(),
            BATCH
        )
        .execute(&state.database)
    })
    .await
}
