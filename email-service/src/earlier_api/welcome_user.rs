//! Queues a welcome mail, as nobody's account: none is known of here.

use serde_json::json;
use service_kit::database;

use super::NewUser;
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::message::{self, Draft, Key, WriteError};
use crate::template::Template;

/// Nothing where the same request did so before.
pub(crate) async fn welcome_user(state: &State, user: NewUser, key: &Key, author: &Author) -> Result<(), WriteError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    if message::repeated(&mut transaction, key, author).await?.is_some() {
        return Ok(());
    }
    let draft = Draft {
        template: Template::Welcome,
        recipient: user.email,
        language: None,
        variables: json!({ "username": user.username }),
        account_id: None,
        expires_at: None,
    };
    let id = message::queue(&mut transaction, None, &draft, now).await?;
    message::sign(&mut transaction, id, None, key, author).await?;
    let entry = Entry::new(Action::WelcomeRequested, now, author).on(id);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
