//! Sends once more what came to its end, as a message of its own.

use serde_json::{Value, json};
use service_kit::database;
use uuid::Uuid;
use voltgate_proto::email::v1::Message;

use super::written::{Key, WriteError, repeated, sign};
use super::{CHANNEL, get};
use crate::audit::{self, Action, Author, Entry};
use crate::template::Template;
use crate::{State, suppression};

struct Before {
    template: String,
    recipient: String,
    language: Option<String>,
    variables: Value,
    account_id: Option<Uuid>,
    status: String,
    has_code: bool,
}

impl Before {
    fn is_repeatable(&self) -> Result<(), WriteError> {
        let why = match self.status.as_str() {
            "queued" | "sending" => "The message is still under way",
            _ if self.has_code => "There was a code in the message, which is void by now",
            _ if self.is_erased() => "The account that the message was about is deleted",
            _ => return Ok(()),
        };
        Err(WriteError::NotRepeatable(why))
    }

    fn is_erased(&self) -> bool {
        match self.is_for_an_account() {
            // One that found nobody has no recipient either.
            true => self.variables == json!({}),
            false => self.recipient.is_empty(),
        }
    }

    fn is_for_an_account(&self) -> bool {
        Template::parse(&self.template).is_some_and(Template::is_for_an_account)
    }

    /// To whom the copy goes, and in which language: where the message is for an account, the sender asks anew who that is and where it
    /// is reached by now.
    fn addressed(&self) -> (&str, Option<&str>) {
        match self.is_for_an_account() {
            true => ("", None),
            false => (&self.recipient, self.language.as_deref()),
        }
    }
}

pub(crate) async fn resend(state: &State, id: Uuid, key: &Key, author: &Author) -> Result<Message, WriteError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let copy = match repeated(&mut transaction, key, author).await? {
        Some(before) => before,
        None => {
            // Locked, so that its account is not deleted meanwhile.
            let before = sqlx::query_as!(
                Before,
                r#"SELECT template, recipient, language, variables, account_id, status, expires_at IS NOT NULL AS "has_code!"
                   FROM email.message WHERE id = $1 FOR SHARE"#,
                id,
            )
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or(WriteError::NotFound)?;
            before.is_repeatable()?;
            let (recipient, language) = before.addressed();
            if suppression::is_suppressed(&mut transaction, recipient).await? {
                return Err(WriteError::Suppressed);
            }
            let copy = Uuid::now_v7();
            sqlx::query!(
                "WITH message AS (
                     INSERT INTO email.message (id, template, recipient, language, variables, account_id, next_attempt_at, created_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
                 )
                 SELECT pg_notify($8, '')",
                copy,
                before.template,
                recipient,
                language,
                before.variables,
                before.account_id,
                now,
                CHANNEL,
            )
            .execute(&mut *transaction)
            .await?;
            sign(&mut transaction, copy, Some(id), key, author).await?;
            let entry = Entry::new(Action::MessageResent, now, author).on(id);
            audit::record(&mut transaction, entry.with("copy", Some(copy.to_string()))).await?;
            copy
        }
    };
    let message = get::read(&mut transaction, copy)
        .await?
        .ok_or(sqlx::Error::RowNotFound)?;
    transaction.commit().await?;
    Ok(message)
}
