//! One session with an SMTP server (RFC 5321). Every step has its time, and what a failure means depends on the step.
//!
//! Before the mail itself is sent a failure means that nothing was handed over. After that, only the server's answer
//! tells; without one the mail may be delivered or not.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use lettre::transport::smtp::authentication::DEFAULT_MECHANISMS;
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Severity;
use tokio::time::timeout;

use super::super::{SendError, Verdict};
use super::server::{Encryption, Server};
use crate::mail::Mail;

/// For each address that the server's name leads to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For connecting, encrypting and logging in together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// For the answer to one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// For the answer to the mail itself. Giving up early makes duplicates, hence the ten minutes of RFC 5321,
/// section 4.5.3.2.6.
const MAIL_TIMEOUT: Duration = Duration::from_secs(600);
/// For a sign of life from a session that was idle.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

const RCPT: &str = "RCPT";

pub(super) struct Session(AsyncSmtpConnection);

impl Session {
    /// Connects, encrypts and logs in. A server that refuses any of that refuses us, not the mail, so the mail waits.
    pub async fn open(server: &Server) -> Result<Self, SendError> {
        let opened = timeout(OPEN_TIMEOUT, connect(server)).await;
        match opened {
            Ok(Ok(connection)) => Ok(Self(connection)),
            Ok(Err(error)) => Err(SendError::new(
                Verdict::Later,
                format!("no session with the mail server: {error}"),
            )),
            Err(_) => Err(SendError::new(
                Verdict::Later,
                format!("no session with the mail server within {OPEN_TIMEOUT:?}"),
            )),
        }
    }

    /// Returns once the server has taken the mail.
    pub async fn hand_over(&mut self, mail: &Mail) -> Result<(), SendError> {
        let sender = mail.envelope.from().cloned();
        self.command("MAIL", MailFrom::new(sender, vec![])).await?;
        for recipient in mail.envelope.to() {
            self.command(RCPT, Rcpt::new(recipient.clone(), vec![])).await?;
        }
        self.command("DATA", Data).await?;
        let answer = self.0.message(&mail.bytes);
        step("the mail", MAIL_TIMEOUT, Verdict::Unclear, answer).await
    }

    /// Whether the server still listens to a session that was idle.
    pub async fn is_alive(&mut self) -> bool {
        timeout(ALIVE_TIMEOUT, self.0.test_connected()).await.unwrap_or(false)
    }

    async fn command(&mut self, name: &'static str, command: impl std::fmt::Display) -> Result<(), SendError> {
        let answer = self.0.command(command);
        step(name, COMMAND_TIMEOUT, Verdict::Later, answer).await
    }
}

async fn connect(server: &Server) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
    let hello = ClientId::default();
    let tls = |parameters: &TlsParameters| Some(parameters.clone());
    let (from_the_start, later) = match &server.encryption {
        Encryption::None => (None, None),
        Encryption::FromTheStart(parameters) => (tls(parameters), None),
        Encryption::StartTls(parameters) => (None, tls(parameters)),
    };
    let mut connection =
        AsyncSmtpConnection::connect_tokio1(server.address(), Some(CONNECT_TIMEOUT), &hello, from_the_start, None)
            .await?;
    if let Some(parameters) = later {
        connection.starttls(parameters, &hello).await?;
    }
    if let Some(credentials) = &server.credentials {
        connection.auth(DEFAULT_MECHANISMS, credentials).await?;
    }
    Ok(connection)
}

/// Waits for the answer to one step. `without_answer` is the verdict when there is none.
async fn step(
    name: &'static str,
    patience: Duration,
    without_answer: Verdict,
    answer: impl Future<Output = Result<lettre::transport::smtp::response::Response, lettre::transport::smtp::Error>>,
) -> Result<(), SendError> {
    let error = match timeout(patience, answer).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => {
            let problem = format!("no answer to {name} within {patience:?}");
            return Err(SendError::new(without_answer, problem));
        }
    };
    let Some(code) = error.status() else {
        let problem = format!("no answer to {name}: {error}");
        return Err(SendError::new(without_answer, problem));
    };
    let verdict = match code.severity {
        Severity::PermanentNegativeCompletion => Verdict::Refused,
        Severity::TransientNegativeCompletion | Severity::PositiveCompletion | Severity::PositiveIntermediate => {
            Verdict::Later
        }
    };
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    let is_no_mailbox = verdict == Verdict::Refused && says_no_mailbox(name, &said);
    let error = SendError::new(verdict, format!("{name} was answered with {code}"));
    Err(error.about_the_mailbox(is_no_mailbox).with_answer(said))
}

/// Whether a refusal for good is about the recipient's mailbox, and not about the mail, its sender or the server's rules. Enhanced
/// status codes (RFC 3463) tell: 5.1.x is about the address, 5.2.1 about a mailbox that takes nothing any more; a full one (5.2.2) will
/// be emptied. Without one, what refuses a recipient is about the recipient.
fn says_no_mailbox(step: &str, said: &str) -> bool {
    match enhanced(said) {
        Some((1, detail)) => !matches!(detail, 7 | 8),
        Some((2, 1)) => true,
        Some(_) => false,
        None => step == RCPT,
    }
}

/// Subject and detail of an enhanced status code of class 5 at the beginning of a text.
fn enhanced(said: &str) -> Option<(u16, u16)> {
    let mut parts = said.split_ascii_whitespace().next()?.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let is_one = class == "5" && parts.next().is_none();
    Some((subject.parse().ok()?, detail.parse().ok()?)).filter(|_| is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_about_the_mailbox_where_its_code_says_so_or_the_recipient_was_refused() {
        for (step, said, expected) in [
            (RCPT, "5.1.1 <nobody@example.org> is unknown here", true),
            (RCPT, "5.1.10 null MX", true),
            (RCPT, "5.2.1 the mailbox is disabled", true),
            (RCPT, "no such user", true),
            (RCPT, "5.2.2 the mailbox is full", false),
            (RCPT, "5.7.1 blocked by policy", false),
            (RCPT, "5.1.8 your own domain is unknown", false),
            (RCPT, "5.4.4 no route", false),
            (RCPT, "4.1.1 odd", true),
            ("the mail", "5.1.1 unknown after all", true),
            ("the mail", "we do not like it", false),
            ("MAIL", "5.7.1 you may not send", false),
            ("MAIL", "", false),
        ] {
            assert_eq!(says_no_mailbox(step, said), expected, "{step}: {said}");
        }
    }
}
