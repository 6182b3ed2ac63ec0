//! Where mail goes: to an SMTP server, or into a folder.

mod file;
mod smtp;

use std::fmt;

use async_trait::async_trait;

pub(crate) use file::FileTransport;
pub(crate) use smtp::SmtpTransport;

use crate::mail::Mail;

/// Hands mail over.
#[async_trait]
pub(crate) trait MailTransport: Send + Sync {
    /// Returns once somebody else is answerable for the mail. Where the same mail, sent again, would be another one, `gate` is passed
    /// before it begins to be out.
    async fn send(&self, mail: &Mail, gate: &dyn Gate) -> Result<(), SendError>;
}

/// What lets a mail out.
#[async_trait]
pub(crate) trait Gate: Send + Sync {
    /// # Errors
    /// It is not this sender's any more.
    async fn pass(&self) -> Result<(), SendError>;
}

/// Why a mail was not handed over. Its `Display` is fit for logs: it names no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SendError {
    pub verdict: Verdict,
    /// There is no such mailbox, and there will be none: no other mail would get there either.
    pub is_no_mailbox: bool,
    /// What went wrong, in our words.
    problem: String,
    /// What the server said to it, which may quote the recipient's address.
    answer: Option<String>,
}

/// What is to be done about a mail that was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was handed over; try again later.
    Later,
    /// The connection broke after the mail had been sent and before the answer had come: it may be delivered, or not.
    Unclear,
    /// It will never be taken.
    Refused,
}

/// Longest text kept of an error. Servers may say more than anybody wants to read.
const LONGEST: usize = 500;

impl SendError {
    pub fn new(verdict: Verdict, problem: impl Into<String>) -> Self {
        Self {
            verdict,
            is_no_mailbox: false,
            problem: problem.into(),
            answer: None,
        }
    }

    pub fn about_the_mailbox(self, is_no_mailbox: bool) -> Self {
        Self { is_no_mailbox, ..self }
    }

    pub fn with_answer(self, answer: impl Into<String>) -> Self {
        Self {
            answer: Some(answer.into()),
            ..self
        }
    }

    /// The whole story, for those who may see the recipient too. One line that any database takes.
    pub fn in_full(&self) -> String {
        let full = match &self.answer {
            Some(answer) => format!("{}: {answer}", self.problem),
            None => self.problem.clone(),
        };
        full.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(LONGEST)
            .collect()
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for SendError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_kept_in_one_line_and_out_of_the_logs() {
        let error = SendError::new(Verdict::Refused, "RCPT was answered with 550")
            .with_answer(format!("no such user\r\n\0mara@example.org {}", "x".repeat(9999)));
        assert_eq!(error.to_string(), "RCPT was answered with 550");
        let full = error.in_full();
        assert!(full.starts_with("RCPT was answered with 550: no such user   mara@example.org x"));
        assert_eq!(full.len(), LONGEST);
    }
}
