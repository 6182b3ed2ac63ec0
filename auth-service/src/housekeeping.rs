//! What a replica does of its own accord: it removes what has expired, and looks into
//! requests for a new password. Safe to do at several replicas at once; what fails
//! is tried again at its next turn.

use std::time::Duration;

use service_kit::housekeeping::every;
use sqlx::postgres::PgQueryResult;

use crate::State;
use crate::username::claim;
use crate::{api_key, audit, email_code, passkey, password, revocation, second_factor, session, sign_in};

const EXPIRY: Duration = Duration::from_secs(60);

/// Runs until it is dropped.
pub async fn keep_house(state: &State) {
    tokio::join!(
        every(EXPIRY, "removing expired sessions", || session::end::remove_expired(
            state
        )),
        every(EXPIRY, "removing expired revocations", || revocation::remove_expired(
            state
        )),
        every(EXPIRY, "replacing signing keys", || state.rotation.by_schedule()),
        every(EXPIRY, "removing attempts that are forgotten", || {
            state.throttle.remove_forgotten(state.clock.now())
        }),
        every(EXPIRY, "removing expired API keys", || api_key::revoke::remove_expired(
            state
        )),
        every(EXPIRY, "removing old entries of the audit log", || audit::prune(state)),
        every(EXPIRY, "removing expired codes", || email_code::remove_expired(state)),
        password::forgotten::look_into_requests(state),
        // A replica of the version before may still make some.
        every(EXPIRY, "completing usernames", || claim::complete(&state.database)),
        every(EXPIRY, "removing expired logins", || {
            second_factor::challenge::remove_expired(state)
        }),
        every(EXPIRY, "removing devices that are forgotten", || sign_in::prune(state)),
        every(EXPIRY, "removing expired challenges", || passkey::remove_expired(state)),
    );
}

/// How much is removed by one statement, so that none of them locks very much for long.
pub const BATCH: i64 = 1000;

/// Removes by batches of [`BATCH`] until one is not full. Left to the next turn, what grows faster than a batch in each would
/// grow without end.
pub async fn in_batches<Batch>(mut remove: impl FnMut() -> Batch) -> Result<(), sqlx::Error>
where
    Batch: Future<Output = Result<PgQueryResult, sqlx::Error>>,
{
    while remove().await?.rows_affected() >= BATCH.unsigned_abs() {}
    Ok(())
}
