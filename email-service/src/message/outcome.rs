//! The statements by which a sender notes what became of an attempt.
//!
//! Each writes the attempt into the message's history too, in the same statement. An attempt that was taken for lost, because its sender
//! was not heard of for long, tells its outcome all the same when it comes.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::erase;
use crate::contacts::Contact;
use crate::{notice, suppression};

/// The attempt that ended: the message's, by its number, under this claim.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub id: Uuid,
    pub number: i32,
    pub claim: Uuid,
    pub at: DateTime<Utc>,
}

/// Notes that the mail is out. True whoever holds the message by now, so the claim does not matter.
pub(crate) async fn mark_sent(database: &PgPool, ended: Ended) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    sqlx::query!(
        r#"
        WITH noted AS (
            INSERT INTO email.attempt (message_id, number, at, outcome) VALUES ($1, $3, $2, 'sent')
            ON CONFLICT (message_id, number) DO UPDATE SET at = $2, outcome = 'sent', error = NULL
        )
        UPDATE email.message
        SET status = 'sent', sent_at = $2, claim = NULL, lease_until = NULL, last_error = NULL,
            variables = CASE WHEN expires_at IS NULL THEN variables ELSE '{}' END
        WHERE id = $1 AND status <> 'sent'
        "#,
        ended.id,
        ended.at,
        ended.number,
    )
    .execute(&mut *transaction)
    .await?;
    erase::if_deleted(&mut transaction, &[ended.id]).await?;
    transaction.commit().await
}

/// Puts a message back for another attempt at `next`. `may_be_out` if nobody knows whether the mail server took it.
pub(crate) async fn postpone(
    database: &PgPool,
    ended: Ended,
    next: DateTime<Utc>,
    error: &str,
    may_be_out: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        WITH noted AS (
            INSERT INTO email.attempt (message_id, number, at, outcome, error)
            VALUES ($1, $7, $6, CASE WHEN $5 THEN 'unclear' ELSE 'postponed' END, $4)
            ON CONFLICT (message_id, number) DO UPDATE SET at = excluded.at, outcome = excluded.outcome, error = excluded.error
        )
        UPDATE email.message
        SET status = 'queued', next_attempt_at = $3, claim = NULL, lease_until = NULL, last_error = $4,
            possibly_duplicate = possibly_duplicate OR $5, unclear = unclear + CASE WHEN $5 THEN 1 ELSE 0 END
        WHERE id = $1 AND claim = $2
        "#,
        ended.id,
        ended.claim,
        next,
        error,
        may_be_out,
        ended.at,
        ended.number,
    )
    .execute(database)
    .await?;
    Ok(())
}

/// What is known of a message that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing of it went out.
    Refused,
    /// The same, because its recipient has no mailbox. Nothing goes there any more.
    NoMailbox,
    /// It may have gone out.
    Unclear,
}

/// Gives a message up.
pub(crate) async fn mark_failed(
    database: &PgPool,
    ended: Ended,
    error: &str,
    failure: Failure,
) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    if failure == Failure::NoMailbox {
        suppression::refused(&mut transaction, ended.id, error, ended.at).await?;
    }
    sqlx::query!(
        r#"
        WITH noted AS (
            INSERT INTO email.attempt (message_id, number, at, outcome, error)
            VALUES ($1, $5, $4, CASE WHEN $6 THEN 'unclear' ELSE 'failed' END, $3)
            ON CONFLICT (message_id, number) DO UPDATE SET at = excluded.at, outcome = excluded.outcome, error = excluded.error
        )
        UPDATE email.message
        SET status = 'failed', claim = NULL, lease_until = NULL, last_error = $3,
            unclear = unclear + CASE WHEN $6 THEN 1 ELSE 0 END,
            variables = CASE WHEN expires_at IS NULL THEN variables ELSE '{}' END
        WHERE id = $1 AND claim = $2
        "#,
        ended.id,
        ended.claim,
        error,
        ended.at,
        ended.number,
        failure == Failure::Unclear,
    )
    .execute(&mut *transaction)
    .await?;
    erase::if_deleted(&mut transaction, &[ended.id]).await?;
    transaction.commit().await
}

/// Ends a message without an attempt, because no mail goes to its recipient.
pub(crate) async fn mark_suppressed(database: &PgPool, ended: Ended) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    sqlx::query!(
        r#"
        UPDATE email.message
        SET status = 'suppressed', claim = NULL, lease_until = NULL, attempts = attempts - 1,
            last_error = 'its address is suppressed',
            variables = CASE WHEN expires_at IS NULL THEN variables ELSE '{}' END
        WHERE id = $1 AND claim = $2
        "#,
        ended.id,
        ended.claim,
    )
    .execute(&mut *transaction)
    .await?;
    erase::if_deleted(&mut transaction, &[ended.id]).await?;
    transaction.commit().await
}

/// Ends a message without an attempt, because there is nobody to write to.
pub(crate) async fn mark_unaddressed(database: &PgPool, ended: Ended) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    leave(&mut transaction, ended).await?;
    transaction.commit().await
}

/// The same, because `account` may not be told any more what its owner subscribed to. That ends with the role, and so does not begin again
/// by itself when they get it back.
pub(crate) async fn mark_for_an_outsider(database: &PgPool, ended: Ended, account: Uuid) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    leave(&mut transaction, ended).await?;
    notice::erase(&mut transaction, account).await?;
    transaction.commit().await
}

async fn leave(connection: &mut PgConnection, ended: Ended) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        UPDATE email.message
        SET status = 'unaddressed', claim = NULL, lease_until = NULL, attempts = attempts - 1, last_error = NULL
        WHERE id = $1 AND claim = $2
        "#,
        ended.id,
        ended.claim,
    )
    .execute(&mut *connection)
    .await?;
    erase::if_deleted(connection, &[ended.id]).await
}

/// Writes down for whom a message is, so that each attempt goes to the same address, and says whether that is suppressed.
pub(crate) async fn address(
    database: &PgPool,
    ended: Ended,
    email: &str,
    contact: &Contact,
) -> Result<Option<Addressed>, sqlx::Error> {
    sqlx::query_as!(
        Addressed,
        r#"
        UPDATE email.message
        SET recipient = $3, language = $4, variables = variables || jsonb_build_object('username', $5::text)
        WHERE id = $1 AND claim = $2 AND recipient = ''
        RETURNING variables, EXISTS (SELECT FROM email.suppression WHERE address = lower($3)) AS "is_suppressed!"
        "#,
        ended.id,
        ended.claim,
        email,
        contact.language,
        contact.username,
    )
    .fetch_optional(database)
    .await
}

/// What has become of a message now that it is known for whom it is.
pub(crate) struct Addressed {
    pub variables: Value,
    pub is_suppressed: bool,
}
