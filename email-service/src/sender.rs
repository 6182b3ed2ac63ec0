//! The sender: takes messages that are due, makes mails of them and hands them over.
//!
//! Replicas share the work through the table. A message is sent by whoever holds its lease; a crash at any point leaves
//! a message that is queued, or held until its lease runs out, and in either case is taken up again. The one thing that
//! cannot be known afterwards is whether an SMTP server had taken a mail when its sender died: then the mail goes out
//! again with the same Message-ID, and the message says `possibly_duplicate`. A sender that was merely slow, so that its lease ran out,
//! notices so before it hands the mail over, and leaves it to whoever has it by then. A mail whose code has expired does not go out.

mod addressee;
mod gate;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use rand::RngExt;
use service_kit::clock::SharedClock;
use service_kit::wake::Wake;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::addressee::Recipient;
use self::gate::LeaseGate;
use crate::State;
use crate::contacts::Contacts;
use crate::mail::{Composer, Content};
use crate::message::{self, Claimed, Ended, Failure, Lease};
use crate::retry;
use crate::transport::{MailTransport, SendError, Verdict};

/// Mails on their way at the same time.
const CONCURRENCY: usize = 8;
/// How long a message stays with a sender that no longer renews its lease.
const LEASE: Duration = Duration::from_secs(20);
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often to look for due messages without having been woken.
const POLL: Duration = Duration::from_secs(2);
/// Messages that one statement ends because they expired.
const EXPIRED_AT_ONCE: i64 = 100;
/// How often, and how long apart, to try to note in the database what became of a mail.
const NOTES: u32 = 10;
const BETWEEN_NOTES: Duration = Duration::from_secs(2);

pub(crate) struct Sender {
    work: Arc<Work>,
    drain: Duration,
}

/// What every attempt needs.
struct Work {
    database: PgPool,
    clock: SharedClock,
    composer: Arc<Composer>,
    contacts: Contacts,
    transport: Box<dyn MailTransport>,
}

impl Sender {
    pub fn new(state: &State, contacts: Contacts, transport: Box<dyn MailTransport>, drain: Duration) -> Self {
        let work = Arc::new(Work {
            database: state.database.clone(),
            clock: Arc::clone(&state.clock),
            composer: Arc::clone(&state.composer),
            contacts,
            transport,
        });
        Self { work, drain }
    }

    /// Runs until `shutdown`, then gives the mails on their way until the drain is over.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut wake = Wake::on(self.work.database.clone(), message::CHANNEL);
        let mut on_their_way = JoinSet::new();
        while !shutdown.is_cancelled() {
            self.work.expire().await;
            let room = CONCURRENCY.saturating_sub(on_their_way.len());
            for (message, lease) in self.work.take(room).await {
                on_their_way.spawn(Arc::clone(&self.work).attempt(message, lease));
            }
            tokio::select! {
                Some(done) = on_their_way.join_next() => report_panic(done),
                () = wake.wait(POLL), if on_their_way.len() < CONCURRENCY => {}
                () = shutdown.cancelled() => {}
            }
        }
        let rest = async {
            while let Some(done) = on_their_way.join_next().await {
                report_panic(done);
            }
        };
        if timeout(self.drain, rest).await.is_err() {
            tracing::warn!("Mails were still on their way when the time to drain was over; they will be sent again");
        }
    }
}

/// The message's lease runs out, and the attempt counts.
fn report_panic(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done {
        tracing::error!(%error, "An attempt to send a mail failed unexpectedly");
    }
}

impl Work {
    async fn take(&self, room: usize) -> Vec<(Claimed, Lease)> {
        let lease = Lease {
            claim: Uuid::new_v4(),
            length: LEASE,
        };
        let limit = i64::try_from(room).unwrap_or(0);
        if limit == 0 {
            return Vec::new();
        }
        let domain = self.composer.domain();
        let taken = message::take(&self.database, lease, self.clock.now(), domain, limit).await;
        match taken {
            Ok(messages) => messages.into_iter().map(|message| (message, lease)).collect(),
            Err(error) => {
                tracing::warn!(%error, "Messages wait, because the database does not answer");
                // Waking is off as well while there is no database, so the loop goes on at its poll.
                Vec::new()
            }
        }
    }

    /// More than one statement ends are ended the next time round.
    async fn expire(&self) {
        match message::expire(&self.database, self.clock.now(), EXPIRED_AT_ONCE).await {
            Ok(expired) => {
                for id in expired {
                    count("expired");
                    tracing::warn!(message = %id, "A mail is not sent any more, because its code has expired");
                }
            }
            Err(error) => tracing::warn!(%error, "Messages may have expired, but the database does not answer"),
        }
    }

    async fn attempt(self: Arc<Self>, mut message: Claimed, lease: Lease) {
        let (id, number) = (message.id, message.attempts);
        let ended = || Ended {
            id,
            number,
            claim: lease.claim,
            at: self.clock.now(),
        };
        match self.address(&mut message, ended()).await {
            Ok(Recipient::Known) => {}
            Ok(Recipient::Nobody) => {
                count("unaddressed");
                tracing::info!(message = %id, "A mail is not sent, because its account has no verified address");
                let ended = ended();
                self.note(id, || message::mark_unaddressed(&self.database, ended)).await;
                return;
            }
            Ok(Recipient::Outsider(account)) => {
                count("unaddressed");
                tracing::info!(message = %id, %account, "Notices end, because their account has not the role for them any more");
                let ended = ended();
                self.note(id, || message::mark_for_an_outsider(&self.database, ended, account))
                    .await;
                return;
            }
            Err(error) => return self.settle(&message, ended(), &error).await,
        }
        if message.is_suppressed {
            count("suppressed");
            tracing::warn!(message = %id, "A mail is not sent, because its address is suppressed");
            let ended = ended();
            self.note(id, || message::mark_suppressed(&self.database, ended)).await;
            return;
        }
        match self.send(&message, lease).await {
            Ok(()) => {
                count("sent");
                let ended = ended();
                self.note(id, || message::mark_sent(&self.database, ended)).await;
            }
            Err(error) => self.settle(&message, ended(), &error).await,
        }
    }

    /// What becomes of a message that was not handed over.
    async fn settle(&self, message: &Claimed, ended: Ended, error: &SendError) {
        let (id, attempts) = (message.id, message.attempts);
        let may_be_out = error.verdict == Verdict::Unclear;
        let next = match error.verdict {
            Verdict::Refused => None,
            Verdict::Unclear if message.unclear + 1 >= retry::MOST_UNCLEAR => None,
            Verdict::Later | Verdict::Unclear => {
                retry::next_attempt(message.created_at, ended.at, attempts, rand::rng().random())
            }
        };
        let full = error.in_full();
        match next {
            Some(at) => {
                count("postponed");
                tracing::warn!(message = %id, attempts, next = %at, "A mail waits: {error}");
                self.note(id, || message::postpone(&self.database, ended, at, &full, may_be_out))
                    .await;
            }
            None => {
                count("failed");
                let failure = match error.verdict {
                    Verdict::Unclear => Failure::Unclear,
                    Verdict::Refused if error.is_no_mailbox => Failure::NoMailbox,
                    Verdict::Refused | Verdict::Later => Failure::Refused,
                };
                tracing::error!(message = %id, attempts, ?failure, "A mail is given up: {error}");
                self.note(id, || message::mark_failed(&self.database, ended, &full, failure))
                    .await;
            }
        }
    }

    async fn send(&self, message: &Claimed, lease: Lease) -> Result<(), SendError> {
        if message.attempts > retry::MOST_ATTEMPTS {
            return Err(SendError::new(Verdict::Refused, "every attempt ended without a result"));
        }
        if message.unclear >= retry::MOST_UNCLEAR {
            return Err(SendError::new(
                Verdict::Refused,
                "it may have been delivered, more than once",
            ));
        }
        let mail = self
            .composer
            .compose(&Content {
                id: message.id,
                mail_id: &message.mail_id,
                template: &message.template,
                recipient: &message.recipient,
                language: message.language.as_deref(),
                variables: &message.variables,
                created_at: message.created_at,
            })
            .map_err(|error| SendError::new(Verdict::Refused, error.to_string()))?;
        let gate = LeaseGate {
            database: &self.database,
            message: message.id,
            lease,
        };
        tokio::select! {
            sent = self.transport.send(&mail, &gate) => sent,
            never = self.keep(message.id, lease) => match never {},
        }
    }

    /// Renews the lease for as long as it is polled.
    async fn keep(&self, id: Uuid, lease: Lease) -> std::convert::Infallible {
        let mut ticks = interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            match message::renew(&self.database, id, lease).await {
                Ok(true) => {}
                // Whether the mail still goes out is for the gate to say. Once it is on its way, what becomes of it is worth knowing.
                Ok(false) => tracing::warn!(message = %id, "A lease is another sender's by now"),
                Err(error) => tracing::warn!(message = %id, %error, "A lease could not be renewed"),
            }
        }
    }

    /// Writes down what became of a mail, with some patience: forgetting it would mean sending the mail again.
    async fn note<F: Future<Output = Result<(), sqlx::Error>>>(&self, id: Uuid, write: impl Fn() -> F) {
        for _ in 0..NOTES {
            match write().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(message = %id, %error, "What became of a mail could not be noted yet");
                    sleep(BETWEEN_NOTES).await;
                }
            }
        }
        tracing::error!(message = %id, "What became of a mail could not be noted; it will be sent again");
    }
}

fn count(outcome: &'static str) {
    counter!("voltgate_mail_total", "outcome" => outcome).increment(1);
}
