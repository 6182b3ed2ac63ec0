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

use super::super::{Gate, SendError, Verdict};
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

const MAIL: &str = "MAIL";
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

    /// Returns once the server has taken the mail. `gate` is passed when all there is to be refused before the mail itself has not been.
    pub async fn hand_over(&mut self, mail: &Mail, gate: &dyn Gate) -> Result<(), SendError> {
        let sender = mail.envelope.from().cloned();
        self.command(MAIL, MailFrom::new(sender, vec![])).await?;
        for recipient in mail.envelope.to() {
            self.command(RCPT, Rcpt::new(recipient.clone(), vec![])).await?;
        }
        gate.pass().await?;
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
    let is_no_mailbox = verdict == Verdict::Refused && says_no_mailbox(name, &code.to_string(), &said);
    let error = SendError::new(verdict, format!("{name} was answered with {code}"));
    Err(error.about_the_mailbox(is_no_mailbox).with_answer(said))
}

/// Whether a refusal for good is about the recipient's mailbox, and not about the mail, its sender or the server's rules. Enhanced
/// status codes (RFC 3463) tell: 5.1.x is about the address, but for the sender's (5.1.7, 5.1.8), and 5.2.1 about a mailbox that takes
/// nothing any more; a full one (5.2.2) will be emptied. Without one, those replies to RCPT tell that are about mailboxes (RFC 5321, section
/// 4.2.3). What is said to MAIL is about the sender.
fn says_no_mailbox(step: &str, code: &str, said: &str) -> bool {
    match enhanced(said) {
        _ if step == MAIL => false,
        Some((1, detail)) => !matches!(detail, 7 | 8),
        Some((2, 1)) => true,
        Some(_) => false,
        None => step == RCPT && matches!(code, "550" | "551" | "553"),
    }
}

/// Subject and detail of the first enhanced status code of class 5 in a text. Most servers begin with it; some say `(#5.7.1)` at the end.
fn enhanced(said: &str) -> Option<(u16, u16)> {
    let mut words = said.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.find_map(|word| {
        let mut parts = word.trim_end_matches('.').split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        let is_one = class == "5" && parts.next().is_none();
        Some((subject.parse().ok()?, detail.parse().ok()?)).filter(|_| is_one)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_about_the_mailbox_where_its_code_says_so_or_the_recipient_was_refused() {
        for (step, code, said, expected) in [
            (RCPT, "550", "5.1.1 <nobody@example.org> is unknown here", true),
            (RCPT, "556", "5.1.10 null MX", true),
            (RCPT, "550", "5.2.1 the mailbox is disabled", true),
            (RCPT, "550", "no such user", true),
            (RCPT, "551", "not here", true),
            (RCPT, "553", "no mailbox of that name", true),
            (RCPT, "552", "the mailbox is full", false),
            (RCPT, "554", "no", false),
            (RCPT, "503", "MAIL first", false),
            (RCPT, "530", "log in first", false),
            (RCPT, "552", "5.2.2 the mailbox is full", false),
            (RCPT, "550", "5.7.1 blocked by policy", false),
            (RCPT, "550", "relaying denied (#5.7.1)", false),
            (
                RCPT,
                "550",
                "Requested action not taken: 5.7.606 banned, see 5.1.1.",
                false,
            ),
            (RCPT, "550", "#5.1.0 address rejected", true),
            (RCPT, "550", "203.0.113.7 5.9.1.2 is on a list [5.7.1]", false),
            (RCPT, "550", "5.1.8 your own domain is unknown", false),
            (RCPT, "550", "5.4.4 no route", false),
            (RCPT, "550", "4.1.1 odd", true),
            ("the mail", "550", "5.1.1 unknown after all", true),
            ("the mail", "550", "we do not like it", false),
            (MAIL, "550", "5.7.1 you may not send", false),
            (MAIL, "550", "5.1.1 unknown sender", false),
            (MAIL, "550", "", false),
        ] {
            assert_eq!(says_no_mailbox(step, code, said), expected, "{step}: {code} {said}");
        }
    }
}
