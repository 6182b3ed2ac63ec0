//! For whom a message is.

use uuid::Uuid;

use super::Work;
use crate::message::{self, Claimed, Ended};
use crate::template::Template;
use crate::transport::{SendError, Verdict};

pub(super) enum Recipient {
    Known,
    Nobody,
    /// Somebody with subscriptions who may not be told any more what they ask for.
    Outsider(Uuid),
}

impl Work {
    /// Finds out for whom a message is that names an account alone. A notice is asked about before every attempt: whoever has lost
    /// their role, or the address that it was for, is told nothing any more.
    pub(super) async fn address(&self, message: &mut Claimed, now: Ended) -> Result<Recipient, SendError> {
        let is_notice = message.template == Template::Notices.name();
        if !message.recipient.is_empty() && !is_notice {
            return Ok(Recipient::Known);
        }
        let Some(account) = message.account_id else {
            return Ok(Recipient::Nobody);
        };
        let later = |error: String| SendError::new(Verdict::Later, error);
        let found = self.contacts.find(account).await;
        let Some(contact) = found.map_err(|error| later(error.to_string()))? else {
            return Ok(Recipient::Nobody);
        };
        if is_notice && !contact.may_be_told() {
            return Ok(Recipient::Outsider(account));
        }
        let Some(email) = contact.email.clone() else {
            return Ok(Recipient::Nobody);
        };
        if !message.recipient.is_empty() {
            return Ok(match email == message.recipient {
                true => Recipient::Known,
                false => Recipient::Nobody,
            });
        }
        let addressed = message::address(&self.database, now, &email, &contact).await;
        let addressed = addressed
            .map_err(|_| later("the database does not answer".to_owned()))?
            .ok_or_else(|| later("another sender has it".to_owned()))?;
        message.recipient = email;
        message.language = contact.language;
        message.variables = addressed.variables;
        message.is_suppressed = addressed.is_suppressed;
        Ok(Recipient::Known)
    }
}
