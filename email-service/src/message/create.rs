//! A message that an administrator writes.

use lettre::Address;
use serde_json::json;
use service_kit::database;
use service_kit::reason::FieldViolation;
use voltgate_proto::email::v1::{CreateMessageRequest, Message};

use super::written::{Key, WriteError, repeated, sign};
use super::{Draft, get, queue};
use crate::audit::{self, Action, Author, Entry};
use crate::template::Template;
use crate::{State, address, suppression, words};

const LONGEST_SUBJECT: usize = 200;
const LONGEST_PARAGRAPH: usize = 2000;
const MOST_PARAGRAPHS: usize = 50;

/// A letter that breaks no rule.
#[derive(Debug)]
pub(crate) struct NewLetter {
    recipient: Address,
    subject: String,
    paragraphs: Vec<String>,
    language: Option<String>,
}

impl TryFrom<CreateMessageRequest> for NewLetter {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: CreateMessageRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let recipient = address::parse("recipient", &request.recipient).map_err(|problem| violations.push(problem));
        let subject =
            words::line("subject", request.subject, LONGEST_SUBJECT).map_err(|problem| violations.push(problem));
        if !(1..=MOST_PARAGRAPHS).contains(&request.paragraphs.len()) {
            violations.push(FieldViolation::new("paragraphs", "must be 1 to 50"));
        }
        let mut paragraphs = Vec::new();
        for (index, text) in request.paragraphs.into_iter().enumerate().take(MOST_PARAGRAPHS) {
            match words::line(&format!("paragraphs[{index}]"), text, LONGEST_PARAGRAPH) {
                Ok(text) => paragraphs.push(text),
                Err(problem) => violations.push(problem),
            }
        }
        let language = request.language.map(|tag| words::language("language", tag)).transpose();
        let language = language.map_err(|problem| violations.push(problem));
        match (recipient, subject, language) {
            (Ok(recipient), Ok(subject), Ok(language)) if violations.is_empty() => Ok(Self {
                recipient,
                subject,
                paragraphs,
                language,
            }),
            _ => Err(violations),
        }
    }
}

/// Queues it, or finds the one that the same request made before.
pub(crate) async fn create(
    state: &State,
    letter: NewLetter,
    key: &Key,
    author: &Author,
) -> Result<Message, WriteError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let id = match repeated(&mut transaction, key, author).await? {
        Some(before) => before,
        None => {
            if suppression::is_suppressed(&mut transaction, letter.recipient.as_ref()).await? {
                return Err(WriteError::Suppressed);
            }
            let draft = Draft {
                template: Template::Letter,
                recipient: letter.recipient.to_string(),
                language: letter.language,
                variables: json!({ "subject": letter.subject, "paragraphs": letter.paragraphs }),
                account_id: None,
                expires_at: None,
            };
            let id = queue(&mut transaction, None, &draft, now).await?;
            sign(&mut transaction, id, None, key, author).await?;
            let entry = Entry::new(Action::MessageWritten, now, author).on(id);
            audit::record(&mut transaction, entry).await?;
            id
        }
    };
    let message = get::read(&mut transaction, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    transaction.commit().await?;
    Ok(message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let request = CreateMessageRequest {
            recipient: "mara".to_owned(),
            subject: "a\r\nBcc: b@example.org".to_owned(),
            paragraphs: vec!["good".to_owned(), " bad".to_owned()],
            language: Some("german".repeat(2)),
        };
        let violations = NewLetter::try_from(request).unwrap_err();
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["recipient", "subject", "paragraphs[1]", "language"]);
        let empty = NewLetter::try_from(CreateMessageRequest::default()).unwrap_err();
        assert_eq!(empty.len(), 3, "{empty:?}");
    }
}
