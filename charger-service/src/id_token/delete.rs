//! Takes an id token off the register.

use service_kit::database;

use super::update::UpdateError;
use super::{key_code, list, owner};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::local_list::due;
use service_kit::version::IfMatch;

/// Deletes it in the version that the caller has seen. Transactions keep the token as the station presented it.
pub async fn delete(state: &State, value: &str, if_match: &IfMatch, author: &Author) -> Result<(), UpdateError> {
    let mut transaction = database::begin(&state.database).await?;
    let deleted = sqlx::query_scalar!(
        r#"DELETE FROM ocpp.id_token
           WHERE lower(value) = lower($1 COLLATE "C") AND ($2::bigint[] IS NULL OR revision = ANY($2))
           RETURNING type"#,
        value,
        if_match.revisions(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(r#type) = deleted else {
        list::read(&mut transaction, value).await?;
        return Err(UpdateError::Changed);
    };
    let now = state.clock.now();
    owner::hand_over(&mut transaction, value, None, now).await?;
    let shown = key_code::shown(&state.passwords, value, [r#type.as_str()]);
    let entry = Entry::new(Action::IdTokenDeleted, now, author).on_id_token(&shown);
    audit::record(&mut transaction, entry).await?;
    due::token_changed(&mut transaction, &[value]).await?;
    transaction.commit().await?;
    Ok(())
}
