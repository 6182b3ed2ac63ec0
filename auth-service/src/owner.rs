//! The account of somebody who has shown to be its owner, or about whom an administrator decides, locked for what follows.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::caller::LoggedInAs;
use crate::password_hash::PasswordHash;

pub struct Owner {
    pub id: Uuid,
    pub username: String,
    pub email: Option<String>,
    /// Somebody has shown to read what is sent there.
    pub email_verified: bool,
}

impl Owner {
    /// The address that notices go to. Anybody may claim an address, and would have its owner flooded with what they do to an
    /// account of their own.
    pub fn verified_email(&self) -> Option<String> {
        self.email.clone().filter(|_| self.email_verified)
    }
}

/// An account that nobody else changes before the transaction is over.
pub struct Locked {
    pub owner: Owner,
    pub password: PasswordHash,
    /// It is not disabled, and no administrator demands another password. What its owner had begun before is not to be finished
    /// where it is: they may not be the owner.
    pub is_open: bool,
}

/// Locks an account, if there is one. It is read as it is once it is locked, not as it was when that had to be waited for.
pub async fn lock(connection: &mut PgConnection, account: Uuid) -> Result<Option<Locked>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id, username, email, email_verified_at IS NOT NULL AS "email_verified!", password_hash,
                  disabled_at IS NULL AND NOT password_reset_required AS "is_open!"
           FROM authentication.account WHERE id = $1 FOR NO KEY UPDATE"#,
        account
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Locked {
        owner: Owner {
            id: row.id,
            username: row.username,
            email: row.email,
            email_verified: row.email_verified,
        },
        password: row.password_hash.into(),
        is_open: row.is_open,
    }))
}

/// Locks the account of somebody who proved to be its owner in an earlier step. Nothing where that counts no more: whoever has
/// taken the account back since has ended the session, or closed the account.
pub async fn lock_for(connection: &mut PgConnection, caller: &LoggedInAs) -> Result<Option<Owner>, sqlx::Error> {
    let Some(locked) = lock(connection, caller.account).await?.filter(|locked| locked.is_open) else {
        return Ok(None);
    };
    // A statement of its own sees what was committed while the lock was waited for.
    let goes_on = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM authentication.session WHERE id = $1 AND account_id = $2
           ) AS "exists!""#,
        caller.session,
        caller.account
    )
    .fetch_one(connection)
    .await?;
    Ok(goes_on.then_some(locked.owner))
}
