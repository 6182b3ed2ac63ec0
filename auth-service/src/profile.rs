//! The profile: what an account may read about itself.

use chrono::{DateTime, Utc};
use service_kit::database;
use thiserror::Error;
use uuid::Uuid;

use crate::State;

pub struct Profile {
    pub id: Uuid,
    pub username: String,
    pub email: Option<String>,
    pub roles: Vec<String>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Error)]
pub enum ProfileError {
    /// The token is valid, its account is gone.
    #[error("the account does not exist any more")]
    Gone,
    #[error("the account could not be looked up")]
    Database(#[from] sqlx::Error),
}

pub async fn profile(state: &State, account: Uuid) -> Result<Profile, ProfileError> {
    let mut connection = database::begin(&state.database).await?;
    sqlx::query_as!(
        Profile,
        "SELECT id, username, email, roles, created_at FROM authentication.account WHERE id = $1",
        account
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(ProfileError::Gone)
}
