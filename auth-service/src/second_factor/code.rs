//! A code is accepted or not: what the authenticator app shows, or a recovery code. Each works once, however many requests
//! bring it at the same time to however many replicas: the row of the app is locked meanwhile.
//!
//! Six digits can be guessed, so wrong ones make the account wait, longer each time. Only somebody who has the password
//! gets to try one, so no stranger makes an owner wait; and where somebody has the password, the owner still has the
//! recovery codes, which nobody can guess and nothing delays.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;

use crate::recovery_code::{self, RecoveryCode};
use crate::totp::TotpSecret;
use service_kit::sealing::{DoesNotOpen, SealingKey};

/// Wrong codes that cost nothing.
const FREE: i32 = 4;

/// The first wait. Each wrong code after it doubles the wait.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(30);

/// At three codes of a million an hour, a guess takes decades.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);

/// What clients are told of this limit: the free ones, in the time after which a wait is never longer.
pub const QUOTA_AND_WINDOW: (u32, u32) = (4, 3600);

/// What the code turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// Accepted, and used up.
    Accepted(Method),
    Wrong,
    /// Not looked at, because there were too many wrong ones.
    TooMany(Duration),
    /// The account has no authenticator app.
    NotSetUp,
}

/// What a code came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Totp,
    RecoveryCode,
}

impl Method {
    /// As clients and the audit log know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery-code",
        }
    }
}

#[derive(Debug, Error)]
pub enum CodeError {
    #[error("the secret of an authenticator app could not be read")]
    Sealed(#[from] DoesNotOpen),
    #[error("the code could not be looked at")]
    Database(#[from] sqlx::Error),
}

/// What seals the secret of an account's app to that account and that use.
pub fn owner(account: Uuid) -> String {
    format!("totp {account}")
}

/// Tries a code, and uses it up where it is right. Whatever comes of it has to be committed: a wrong code counts.
pub async fn try_code(
    connection: &mut PgConnection,
    sealing: &SealingKey,
    account: Uuid,
    code: &str,
    now: DateTime<Utc>,
) -> Result<Tried, CodeError> {
    let Some(app) = lock(connection, account).await? else {
        return Ok(Tried::NotSetUp);
    };
    if let Some(recovery_code) = RecoveryCode::parse(code) {
        let spent = recovery_code::spend(connection, account, &recovery_code).await?;
        return Ok(if spent {
            Tried::Accepted(Method::RecoveryCode)
        } else {
            Tried::Wrong
        });
    }
    if let Some(wait) = app
        .wait_until
        .map(|until| until - now)
        .and_then(|wait| wait.to_std().ok())
        && !wait.is_zero()
    {
        return Ok(Tried::TooMany(wait));
    }
    let secret = sealing.open(&app.sealed_secret, &owner(account))?;
    let secret = TotpSecret::from_bytes(&secret).ok_or(DoesNotOpen)?;
    match secret.step(code, now, app.last_step) {
        Some(step) => {
            accept(connection, account, step).await?;
            Ok(Tried::Accepted(Method::Totp))
        }
        None => {
            let wrong_codes = app.wrong_codes.saturating_add(1);
            refuse(
                connection,
                account,
                wrong_codes,
                wait(wrong_codes).map(|wait| now + wait),
            )
            .await?;
            Ok(Tried::Wrong)
        }
    }
}

/// How long the next code has to wait after so many wrong ones.
fn wait(wrong_codes: i32) -> Option<TimeDelta> {
    let doublings = u32::try_from(wrong_codes - FREE - 1).ok()?;
    let factor = 1_i32
        .checked_shl(doublings)
        .filter(|factor| *factor > 0)
        .unwrap_or(i32::MAX);
    Some(
        FIRST_WAIT
            .checked_mul(factor)
            .map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT)),
    )
}

struct App {
    sealed_secret: Vec<u8>,
    last_step: Option<i64>,
    wrong_codes: i32,
    wait_until: Option<DateTime<Utc>>,
}

async fn lock(connection: &mut PgConnection, account: Uuid) -> Result<Option<App>, sqlx::Error> {
    sqlx::query_as!(
        App,
        "SELECT sealed_secret, last_step, wrong_codes, wait_until
         FROM authentication.totp
         WHERE account_id = $1 AND confirmed_at IS NOT NULL
         FOR UPDATE",
        account
    )
    .fetch_optional(connection)
    .await
}

async fn accept(connection: &mut PgConnection, account: Uuid, step: i64) -> Result<(), sqlx::Error> {
    let accepted = sqlx::query!(
        "UPDATE authentication.totp SET last_step = $2, wrong_codes = 0, wait_until = NULL
         WHERE account_id = $1 AND (last_step IS NULL OR last_step < $2)",
        account,
        step
    )
    .execute(connection)
    .await?;
    // The lock holds everybody else off; a step that goes back all the same must not let anybody in.
    if accepted.rows_affected() == 1 {
        Ok(())
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}

async fn refuse(
    connection: &mut PgConnection,
    account: Uuid,
    wrong_codes: i32,
    wait_until: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE authentication.totp SET wrong_codes = $2, wait_until = $3 WHERE account_id = $1",
        account,
        wrong_codes,
        wait_until
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_wrong_codes_cost_nothing_and_each_one_more_doubles_the_wait_up_to_an_hour() {
        let seconds = |wrong_codes| wait(wrong_codes).map(|wait| wait.num_seconds());
        assert_eq!([1, 2, 3, 4].map(seconds), [None; 4]);
        assert_eq!([5, 6, 7, 8].map(seconds), [30, 60, 120, 240].map(Some));
        assert_eq!([12, 40, 100, i32::MAX].map(seconds), [3600; 4].map(Some));
    }

    /// Three codes are right at any time. A year of guessing without a pause finds one in fewer than one case in thirty.
    #[test]
    fn a_code_cannot_be_guessed() {
        let year = TimeDelta::days(365);
        let (mut guesses, mut passed) = (0_i32, TimeDelta::zero());
        while passed < year {
            guesses += 1;
            passed += wait(guesses).unwrap_or_default();
        }
        assert!(f64::from(guesses) * 3e-6 < 1.0 / 30.0, "{guesses} guesses");
    }
}
