//! Ends a subscription at one click of a mail program, which has nothing to show but the token that stands in the mail.

use service_kit::access::Client;
use service_kit::database;
use uuid::Uuid;

use super::subscription::SubscriptionError;
use crate::State;
use crate::audit::{self, Action, Author, Entry};

/// Nothing where no subscription has the token, be it ended before. Whoever asks learns neither.
pub(crate) async fn unsubscribe(state: &State, token: &str, client: Client) -> Result<(), SubscriptionError> {
    let Ok(token) = Uuid::parse_str(token) else {
        return Ok(());
    };
    let mut transaction = database::begin(&state.database).await?;
    let ended = sqlx::query!(
        "DELETE FROM email.notice_subscription WHERE token = $1 RETURNING account_id, name",
        token
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(ended) = ended else { return Ok(()) };
    // The mail is its owner's, and so is the click.
    let author = Author::as_owner(ended.account_id, client);
    let entry = Entry::new(Action::SubscriptionDeleted, state.clock.now(), &author)
        .on(&ended.name)
        .with("atOneClick", Some(true));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
