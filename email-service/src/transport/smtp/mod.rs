//! Mail by SMTP: sessions with one server, a few of which are kept open for the next mail.
//!
//! The pool is our own because a session must never be used again after it was given up in the middle: the answers would
//! belong to the wrong commands, and a mail could count as sent on the strength of another's. Here a session is out of
//! the pool while it is used, and comes back only after a conversation that ended well.

mod server;
mod session;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use service_kit::start::StartError;
use tokio::time::Instant;

use server::Server;
use session::Session;

use super::{Gate, MailTransport, SendError};
use crate::mail::Mail;

/// Sessions kept open while nothing is sent.
const MOST_IDLE: usize = 8;
/// How long. Servers hang up on silent clients after some minutes; asking first whether they did costs a round trip.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

pub(crate) struct SmtpTransport {
    server: Server,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    session: Session,
    since: Instant,
}

impl SmtpTransport {
    /// # Errors
    /// The URL, which is `SMTP_URL`, cannot be read. The server is not asked: mail waits until it answers.
    pub fn to_server(url: &str) -> Result<Self, StartError> {
        Ok(Self {
            server: Server::parse(url)?,
            idle: Mutex::default(),
        })
    }

    async fn session(&self) -> Result<Session, SendError> {
        while let Some(mut session) = self.take_idle() {
            if session.is_alive().await {
                return Ok(session);
            }
        }
        Session::open(&self.server).await
    }

    fn take_idle(&self) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < LONGEST_IDLE);
        idle.pop().map(|idle| idle.session)
    }

    fn keep(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            let since = Instant::now();
            idle.push(Idle { session, since });
        }
    }
}

#[async_trait]
impl MailTransport for SmtpTransport {
    async fn send(&self, mail: &Mail, gate: &dyn Gate) -> Result<(), SendError> {
        let mut session = self.session().await?;
        session.hand_over(mail, gate).await?;
        self.keep(session);
        tracing::info!(message = %mail.id, server = self.server.host(), "A mail was handed over");
        Ok(())
    }
}
