//! CALLs of ours: taken from the ledger one at a time, and settled by the answer, the deadline or the end of the session.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ocpp::frame;
use ocpp::{Message, Version, validate};
use serde_json::value::RawValue;
use service_kit::trace::Span;
use sqlx::PgConnection;
use sqlx::types::Json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Conversation, End, RETRY, traced};
use crate::charge_point::rotation;
use crate::command::ended::{self, Finished};
use crate::command::ledger::{self, Claimed, Outcome};
use crate::command::status::Status;
use crate::local_list::fill;
use crate::message::record::{self, Answered, Exchange, NotRecorded, Origin, Pending, Request, excerpt};
use crate::redact;
use crate::v1_6;
use crate::v1_6::effect::{Asked, Failed};

/// How often a charge point's answer is offered to a database that fails. The charge point does not repeat it.
const ATTEMPTS: u32 = 3;

/// RFC 6455, section 7.4.1: something unexpected on our side.
const NOT_STORABLE: End = End::Close {
    code: 1011,
    reason: "the answer could not be stored",
};

/// A CALL that is restored on a new stream has at least this long to be answered.
const HELD_BACK: Duration = Duration::from_secs(5);

/// A CALL whose answer is due.
#[derive(Debug)]
pub(super) struct Outstanding {
    command: Uuid,
    /// The CALL's message id.
    message_id: String,
    action: String,
    /// Without secrets.
    payload: Box<RawValue>,
    /// Its row in the message log.
    message: Option<Pending>,
    /// From when it leaves until its outcome is stored.
    span: Span,
    pub(super) deadline: Instant,
}

impl Outstanding {
    /// As much of an answer as may be kept: an error may repeat what it was asked for, secrets included.
    fn shown<'a>(&self, text: &'a str) -> &'a str {
        if redact::is_redacted(&self.action, self.payload.get()) {
            redact::WITHHELD
        } else {
            redact::unplaced(text)
        }
    }
}

/// A CALL that an earlier stream has sent, and that the gateway does not have.
pub(super) enum Lost {
    /// It can be sent again.
    Frame(String),
    /// It was sent with a secret, which is not kept.
    WithItsSecret,
}

/// Why no command was taken from the ledger.
#[derive(Debug, thiserror::Error)]
enum NotClaimed {
    #[error("none was")]
    Surely(#[from] NotRecorded),
    #[error("one may have been, since the answer to the commit got lost")]
    Perhaps(#[source] sqlx::Error),
}

impl From<sqlx::Error> for NotClaimed {
    fn from(error: sqlx::Error) -> Self {
        Self::Surely(error.into())
    }
}

/// What ended the wait for an answer.
pub(super) enum Settled<'a> {
    Result(&'a RawValue),
    Error {
        code: &'a str,
        description: &'a str,
    },
    /// It was an answer to this CALL, and no more can be said of it.
    Unreadable {
        description: &'a str,
    },
}

impl Outstanding {
    pub(super) fn message_id(&self) -> &str {
        &self.message_id
    }
}

impl Conversation {
    pub(super) fn is_outstanding(&self, message_id: &str) -> bool {
        self.outstanding
            .as_ref()
            .is_some_and(|outstanding| outstanding.message_id == message_id)
    }

    /// Sends the next command, where one may be sent. It is marked sent, and its message is in the log, before it leaves.
    pub(super) async fn send_next(&mut self) -> Result<(), End> {
        match self.claim().await {
            Ok(None) => Ok(()),
            Ok(Some((outstanding, frame))) => {
                self.outstanding = Some(outstanding);
                self.send(frame, 0).await
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "The commands of a charge point cannot be read; trying again"
                );
                match error {
                    NotClaimed::Surely(_) => {
                        self.look_again = Some(Instant::now() + RETRY);
                        Ok(())
                    }
                    // The next stream begins with what the ledger says.
                    NotClaimed::Perhaps(_) => Err(End::Failed),
                }
            }
        }
    }

    /// Goes on waiting for the answer to a CALL that an earlier stream has sent, and tells whether it got lost on the way.
    pub(super) fn restore(&mut self, unanswered: ledger::Unanswered) -> Option<Lost> {
        let now = self.state.clock.now();
        let waited = (now - unanswered.sent_at).to_std().unwrap_or_default();
        let left = self.state.call_timeout.saturating_sub(waited);
        let message_id = unanswered.id.to_string();
        let payload = unanswered.payload;
        let frame = frame::call(&message_id, &unanswered.action, &payload);
        let secret_is_gone = redact::is_redacted(&unanswered.action, payload.get());
        let payload = payload.0;
        self.outstanding = Some(Outstanding {
            command: unanswered.id,
            span: self.span_of_ours(unanswered.id, &unanswered.action),
            message_id,
            action: unanswered.action,
            payload,
            message: unanswered.message_row.map(|id| Pending {
                id,
                requested_at: unanswered.sent_at,
                is_present: true,
            }),
            // The answer may be among what the gateway has held back.
            deadline: Instant::now() + left.max(HELD_BACK),
        });
        let lost = if secret_is_gone {
            Lost::WithItsSecret
        } else {
            Lost::Frame(frame)
        };
        unanswered.lost.map(|_| lost)
    }

    /// Sends a CALL again that got lost on the way, or gives it up where that is not possible.
    pub(super) async fn send_lost(&mut self, lost: Lost) -> Result<(), End> {
        match lost {
            Lost::Frame(frame) => self.send(frame, 0).await,
            Lost::WithItsSecret => {
                self.give_up(
                    "the connection was interrupted before the CALL left, and its secret is not kept; send it again",
                )
                .await
            }
        }
    }

    async fn claim(&self) -> Result<Option<(Outstanding, String)>, NotClaimed> {
        let now = self.state.clock.now();
        let mut transaction = self.state.database.begin().await?;
        let Some(mut command) = ledger::claim(&mut transaction, self.via, self.last_sent + 1, now).await? else {
            return Ok(None);
        };
        let key = &self.state.passwords;
        let masked = self.fill(&mut transaction, &mut command, now).await?;
        let (action, payload) = (&command.action, &command.payload);
        rotation::leaves(
            &mut transaction,
            key,
            self.via.charge_point,
            command.id,
            action,
            payload,
        )
        .await?;
        let message_id = command.id.to_string();
        let frame = frame::call(&message_id, &command.action, &command.payload);
        let payload = without_secret(&command.action, command.payload.0);
        let shown = frame::call(&message_id, &command.action, masked.as_deref().unwrap_or(&payload));
        let exchange = Exchange {
            origin: Origin::Csms,
            frame_number: None,
            message_id: Some(&message_id),
            action: Some(&command.action),
            request: &Request::new(&shown, key),
            response: None,
            error_code: None,
            violations: &[],
            requested_at: now,
            responded_at: None,
            clock_offset: None,
        };
        let message = record::record(&mut transaction, self.via, &exchange).await?;
        let asked = Asked {
            charge_point: self.via.charge_point,
            command: command.id,
            action: &command.action,
            payload: &payload,
            at: now,
        };
        match self.station.version {
            Version::V1_6 => v1_6::effect::of_leaving(&mut transaction, &asked).await?,
        }
        transaction.commit().await.map_err(NotClaimed::Perhaps)?;
        let deadline = Instant::now() + self.state.call_timeout;
        let outstanding = Outstanding {
            command: command.id,
            span: self.span_of_ours(command.id, &command.action),
            message_id,
            action: command.action,
            payload,
            message: Some(message),
            deadline,
        };
        Ok(Some((outstanding, frame)))
    }

    /// What is only known now goes into a command. Returns what the log may keep of it, where it holds codes that people type
    /// in.
    async fn fill(
        &self,
        connection: &mut PgConnection,
        command: &mut Claimed,
        now: DateTime<Utc>,
    ) -> Result<Option<Box<RawValue>>, sqlx::Error> {
        if command.action != "SendLocalList" {
            return Ok(None);
        }
        let Some(filled) = fill::fill(connection, &self.state.passwords, command.id, now).await? else {
            return Ok(None);
        };
        command.payload = Json(filled.payload);
        Ok(filled.masked)
    }

    /// The charge point has answered.
    pub(super) async fn settle(&mut self, settled: Settled<'_>, text: &str, now: DateTime<Utc>) -> Result<(), End> {
        let Some(mut outstanding) = self.outstanding.take() else {
            return Ok(());
        };
        let reading = Reading::of(self.station.version, &outstanding, settled, text);
        let status = reading.status.as_str();
        let stored = outstanding.span.scope(self.store(&outstanding, &reading, now)).await;
        traced::answered(&mut outstanding.span, status);
        self.handle.work.notify_one();
        stored
    }

    /// The charge point has not answered in time.
    pub(super) async fn overdue(&mut self) -> Result<(), End> {
        self.give_up("the charge point did not answer in time").await
    }

    async fn give_up(&mut self, why: &'static str) -> Result<(), End> {
        let Some(mut outstanding) = self.outstanding.take() else {
            return Ok(());
        };
        tracing::info!(action = outstanding.action, why, "A command is given up");
        let reading = Reading {
            status: Status::Timeout,
            response: None,
            error_code: None,
            error_description: Some(why.into()),
            frame: None,
            violations: Vec::new(),
        };
        let now = self.state.clock.now();
        let stored = outstanding.span.scope(self.store(&outstanding, &reading, now)).await;
        traced::answered(&mut outstanding.span, reading.status.as_str());
        self.handle.work.notify_one();
        stored
    }

    /// Until it is stored, the command counts as sent, and nothing else may be.
    ///
    /// # Errors
    /// The database is away: on the next stream the command is outstanding again, and the gateway brings an answer again. Or
    /// the database will never take it: the session ends, and with it the command.
    async fn store(&self, outstanding: &Outstanding, reading: &Reading<'_>, now: DateTime<Utc>) -> Result<(), End> {
        for attempt in 1..=ATTEMPTS {
            let Err(error) = self.try_store(outstanding, reading, now).await else {
                return Ok(());
            };
            tracing::error!(
                error = &error as &dyn std::error::Error,
                attempt,
                "The outcome of a command could not be stored, because the database failed"
            );
            if is_final(&error) {
                return Err(NOT_STORABLE);
            }
            if attempt < ATTEMPTS {
                sleep(RETRY).await;
            }
        }
        Err(End::Failed)
    }

    async fn try_store(
        &self,
        outstanding: &Outstanding,
        reading: &Reading<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.state.database.begin().await?;
        let outcome = Outcome {
            status: reading.status,
            response: reading.response.as_deref(),
            error_code: reading.error_code.as_deref(),
            error_description: reading.error_description.as_deref(),
        };
        // The session's row before the command's, as everybody else locks them.
        if let Some((message, frame)) = outstanding.message.zip(reading.frame.as_deref()) {
            let answered = Answered {
                frame,
                error_code: reading.error_code.as_deref(),
                violations: &reading.violations,
                at: now,
            };
            record::complete(&mut transaction, self.via, message, &answered).await?;
        }
        let finished = ledger::finish(&mut transaction, self.via, outstanding.command, &outcome, now).await?;
        if finished && reading.status != Status::Timeout {
            self.take_effect(&mut transaction, outstanding, reading, now).await?;
        }
        if finished {
            let ended = Finished {
                id: outstanding.command,
                action: outstanding.action.clone(),
            };
            ended::ended(&mut transaction, &[ended], now).await?;
        }
        transaction.commit().await?;
        if !finished {
            tracing::warn!(command = %outstanding.command, "A command had its outcome before its charge point answered");
        }
        Ok(())
    }

    /// What the charge point said changes what is known of it, once. A CALL that is given up has no effect.
    async fn take_effect(
        &self,
        connection: &mut PgConnection,
        outstanding: &Outstanding,
        reading: &Reading<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let asked = Asked {
            charge_point: self.via.charge_point,
            command: outstanding.command,
            action: &outstanding.action,
            payload: &outstanding.payload,
            at: now,
        };
        let response = reading.response.as_deref().map(serde_json::from_str::<&RawValue>);
        match (self.station.version, response) {
            (Version::V1_6, Some(Ok(response))) => v1_6::effect::of_result(connection, &asked, response).await,
            (Version::V1_6, None) if reading.status == Status::Error => {
                let failed = match reading.error_code {
                    Some(_) => Failed::CallError,
                    None => Failed::Unreadable,
                };
                v1_6::effect::of_error(connection, &asked, failed).await
            }
            (Version::V1_6, None | Some(Err(_))) => Ok(()),
        }
    }
}

/// A payload that may be kept.
fn without_secret(action: &str, payload: Box<RawValue>) -> Box<RawValue> {
    let redacted = redact::request(action, payload.get());
    if redacted == payload.get() {
        return payload;
    }
    // What could not be read is withheld as a whole, and no JSON then.
    RawValue::from_string(redacted.into_owned()).unwrap_or_default()
}

/// Whether the database would not take it at another time either: it is the data that it refuses (SQLSTATE classes 22 and
/// 23), not the work.
fn is_final(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// An answer as the ledger and the message log keep it, secrets redacted.
struct Reading<'a> {
    status: Status,
    response: Option<Cow<'a, str>>,
    error_code: Option<Cow<'a, str>>,
    error_description: Option<Cow<'a, str>>,
    frame: Option<Cow<'a, str>>,
    violations: Vec<String>,
}

impl<'a> Reading<'a> {
    fn of(version: Version, outstanding: &Outstanding, settled: Settled<'a>, text: &'a str) -> Self {
        match settled {
            Settled::Result(payload) => Self::of_result(version, outstanding, payload, text),
            Settled::Error { code, description } => Self {
                status: Status::Error,
                response: None,
                error_code: Some(code.into()),
                error_description: Some(outstanding.shown(description).into()),
                frame: Some(outstanding.shown(text).into()),
                violations: Vec::new(),
            },
            Settled::Unreadable { description } => Self {
                status: Status::Error,
                response: None,
                error_code: None,
                error_description: Some(description.into()),
                frame: Some(excerpt(outstanding.shown(text)).into()),
                violations: vec![description.to_owned()],
            },
        }
    }

    fn of_result(version: Version, outstanding: &Outstanding, payload: &'a RawValue, text: &'a str) -> Self {
        let action = outstanding.action.as_str();
        let status = match version {
            Version::V1_6 => v1_6::outcome::outcome(action, payload),
        };
        let violations = validate(version, Message::Response(action), payload);
        let response = redact::response(action, payload.get());
        let frame = match &response {
            Cow::Borrowed(_) => text.into(),
            Cow::Owned(redacted) => format!("[3,\"{}\",{redacted}]", outstanding.message_id).into(),
        };
        Self {
            status,
            response: Some(response),
            error_code: None,
            error_description: (status == Status::Error)
                .then(|| "the charge point's answer has no status that can be read".into()),
            frame: Some(frame),
            violations: violations.iter().map(ToString::to_string).collect(),
        }
    }
}
