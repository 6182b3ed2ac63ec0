//! Frames that come in: CALLs are answered, answers find their CALL, and the rest is kept.

use chrono::{DateTime, Utc};
use ocpp::frame::{Call, Frame, MalformedFrame, call_error, call_result};
use ocpp::v1_6::Action;
use ocpp::{ErrorCode, Version};
use sqlx::PgConnection;

use super::last_words::TOO_LATE;
use super::outbound::Settled;
use super::repetition::{Fingerprint, Repetition};
use super::traced;
use super::{Conversation, End};
use crate::message::record::{Exchange, NotRecorded, Origin, Request, answer_to, is_answered, record};
use crate::redact;
use crate::session::advice::Advice;
use crate::session::answer::{Answer, Incoming, Reply};
use crate::session::inbox::Inbox;
use crate::v1_6;

/// What stands where a charge point is registered.
struct Installed {
    /// Another one after each exchange, renaming and retirement.
    number: i32,
    device: i32,
    is_retired: bool,
}

/// An answer that is in the database.
struct Committed {
    reply: String,
    /// Why the socket is to be closed.
    barred: Option<&'static str>,
}

/// What comes back for a CALL.
enum Due {
    Now(String),
    /// The answer to an earlier one serves it too.
    Nothing,
    /// Others are asked first.
    Later,
}

/// Why a CALL has no answer yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("the session goes on on another stream, which brings the CALL again")]
    Resumed,
    #[error("the session is not the present one any more, and the CALL tells of no transaction")]
    Superseded,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<NotRecorded> for Unanswered {
    fn from(error: NotRecorded) -> Self {
        match error {
            NotRecorded::Resumed => Self::Resumed,
            NotRecorded::Database(error) => Self::Database(error),
        }
    }
}

/// Whether an answer holds for good. A refusal does not: the same CALL may be let through once the charge point has been
/// accepted, or the database is back.
fn holds_for_good(reply: &str) -> bool {
    matches!(Frame::parse(reply), Ok(Frame::CallResult(_)))
}

pub(super) fn count_call(action: &str, answer: &'static str) {
    // Labels come from our own list, since a charge point can name an action anything.
    let action = Action::parse(action).map_or("unknown", Action::as_str);
    metrics::counter!("charger_calls_total", "action" => action, "answer" => answer).increment(1);
}

/// For whoever looks at the trace.
pub(super) fn kind_of(reply: &str) -> &'static str {
    if reply.starts_with("[3") { "result" } else { "error" }
}

/// Waits for an answer, and takes note of what comes in meanwhile.
pub(super) async fn while_gathering<T>(inbox: &mut Inbox, answer: impl Future<Output = T>) -> T {
    tokio::pin!(answer);
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = inbox.gather() => {}
        }
    }
}

/// As the message log has it; None for a frame that came without a session.
fn frame_number(number: u64) -> Option<i64> {
    i64::try_from(number).ok().filter(|&number| number > 0)
}

impl Conversation {
    /// Deals with a frame, then acknowledges it.
    pub(super) async fn frame(&mut self, text: &str, number: u64, inbox: &mut Inbox) -> Result<(), End> {
        let received_at = self.state.clock.now();
        let reply = match Frame::parse(text) {
            Ok(Frame::Call(call)) => {
                let mut span = self.span_of_theirs(&call.action);
                let due = span.scope(self.call(&call, text, number, received_at, inbox)).await?;
                match due {
                    Due::Now(reply) => {
                        traced::answered(&mut span, kind_of(&reply));
                        Some(reply)
                    }
                    Due::Nothing => None,
                    Due::Later => {
                        self.goes_on(span);
                        return Ok(());
                    }
                }
            }
            Ok(Frame::CallResult(result)) if self.is_outstanding(&result.id) => {
                self.settle(Settled::Result(result.payload), text, received_at).await?;
                None
            }
            Ok(Frame::CallError(error)) if self.is_outstanding(&error.id) => {
                let settled = Settled::Error {
                    code: &error.code,
                    description: &error.description,
                };
                self.settle(settled, text, received_at).await?;
                None
            }
            Ok(answer @ (Frame::CallResult(_) | Frame::CallError(_))) => {
                self.unexpected(answer.id(), text, number, received_at).await;
                None
            }
            Err(malformed) => self.malformed(malformed, text, received_at).await?,
        };
        match reply {
            Some(reply) => self.send(reply, number).await?,
            None => self.acknowledge(number).await?,
        }
        match self.barred.take() {
            Some(reason) => Err(End::Close { code: 1008, reason }),
            None => Ok(()),
        }
    }

    /// The answer to a CALL, unless one that was given before serves this one too.
    async fn call(
        &mut self,
        call: &Call<'_>,
        text: &str,
        number: u64,
        received_at: DateTime<Utc>,
        inbox: &mut Inbox,
    ) -> Result<Due, End> {
        let fingerprint = Fingerprint::of(call);
        if let Some(repetition) = self.answers.repetition(fingerprint, number) {
            let (reply, problem) = match repetition {
                Repetition::Served { by } => (by, "repeats a CALL whose answer was due, which serves both"),
                Repetition::Again { reply } => (reply, "repeats a CALL that was answered; the answer is given again"),
            };
            self.keep_repetition(call, text, number, reply, problem, received_at)
                .await;
            return Ok(match repetition {
                Repetition::Served { .. } => Due::Nothing,
                Repetition::Again { reply } => Due::Now(reply.to_owned()),
            });
        }
        if let Some(question) = self.question(call)
            && let Ok(None) = self.answer_given(call, number, received_at).await
        {
            self.ask(question, text, number, received_at);
            return Ok(Due::Later);
        }
        let reply = while_gathering(inbox, self.answer(call, text, number, received_at)).await?;
        self.remember(call, &reply, inbox.last_number().max(number));
        Ok(Due::Now(reply))
    }

    /// An answer leaves, when the frames up to `in_time` have come in.
    pub(super) fn remember(&mut self, call: &Call<'_>, reply: &str, in_time: u64) {
        let is_for_good = v1_6::is_transaction_fact(&call.action) && holds_for_good(reply);
        self.answers
            .remember(Fingerprint::of(call), reply, in_time, is_for_good);
    }

    /// Shows that it came. It had no effect, so a failure to keep it is no reason to end the session.
    async fn keep_repetition(
        &self,
        call: &Call<'_>,
        text: &str,
        number: u64,
        reply: &str,
        problem: &str,
        at: DateTime<Utc>,
    ) {
        let exchange = Exchange {
            frame_number: frame_number(number),
            origin: Origin::Station,
            message_id: Some(&call.id),
            action: Some(&call.action),
            request: &self.kept(text),
            response: Some(reply),
            error_code: None,
            violations: &[problem.to_owned()],
            requested_at: at,
            responded_at: Some(at),
            clock_offset: None,
        };
        self.keep_exchange(&exchange).await;
    }

    /// An answer to no CALL that is outstanding.
    pub(super) async fn unexpected(&self, id: &str, text: &str, number: u64, received_at: DateTime<Utc>) {
        let settled_before = self.may_have_come_before(number)
            && is_answered(&self.state.database, self.via, id, received_at)
                .await
                .unwrap_or(false);
        if settled_before {
            return;
        }
        tracing::info!("A charge point answered no CALL that is outstanding, perhaps too late");
        let problem = "answers no CALL that is outstanding".to_owned();
        self.keep(text, Some(id), problem, None, received_at).await;
    }

    /// The answer to a CALL, whoever has to be asked about it first. `number`: of the frame; 0 where it came without a session.
    pub(super) async fn answer(
        &mut self,
        call: &Call<'_>,
        text: &str,
        number: u64,
        received_at: DateTime<Utc>,
    ) -> Result<String, End> {
        match self.answer_given(call, number, received_at).await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => {
                let heard = match self.question(call) {
                    Some(question) => self.inquiry(question, None, received_at).await,
                    None => Ok(Advice::None),
                };
                self.answer_heard(call, text, number, received_at, heard).await
            }
            Err(error) => self.unanswered(call, text, received_at, error.into()).await,
        }
    }

    /// The answer when others have been asked. Where they could not be, for want of the database, a refusal would be remembered
    /// that nobody has spoken; the charge point tries again. What they cannot change is answered without them.
    pub(super) async fn answer_heard(
        &mut self,
        call: &Call<'_>,
        text: &str,
        number: u64,
        received_at: DateTime<Utc>,
        heard: Result<Advice, sqlx::Error>,
    ) -> Result<String, End> {
        match heard {
            Ok(advice) => self.answer_advised(call, text, number, received_at, &advice).await,
            Err(error) if self.waits_for_others(call) => self.unanswered(call, text, received_at, error.into()).await,
            Err(_) => {
                self.answer_advised(call, text, number, received_at, &Advice::None)
                    .await
            }
        }
    }

    /// The answer leaves after the commit of what it says.
    async fn answer_advised(
        &mut self,
        call: &Call<'_>,
        text: &str,
        number: u64,
        received_at: DateTime<Utc>,
        advice: &Advice,
    ) -> Result<String, End> {
        match self
            .answer_in_one_transaction(call, text, number, received_at, advice)
            .await
        {
            Ok(reply) => Ok(reply),
            Err(error) => self.unanswered(call, text, received_at, error).await,
        }
    }

    /// A CALL has no answer of its own, and its charge point should try again.
    pub(super) async fn unanswered(
        &self,
        call: &Call<'_>,
        text: &str,
        received_at: DateTime<Utc>,
        error: Unanswered,
    ) -> Result<String, End> {
        let error = match error {
            Unanswered::Resumed => return Err(End::Resumed),
            Unanswered::Superseded => {
                self.keep(text, Some(&call.id), TOO_LATE.to_owned(), None, received_at)
                    .await;
                // Nobody has told it yet.
                self.handle.superseded.cancel();
                return Err(self.outdone());
            }
            Unanswered::Database(error) => error,
        };
        tracing::error!(
            error = &error as &dyn std::error::Error,
            action = %call.action.escape_debug(),
            "A CALL could not be answered, because the database failed"
        );
        let reply = self.written(call, &Answer::failed());
        // Where the database is there and only refused this, the log should show what came in.
        if matches!(error, sqlx::Error::Database(_)) {
            let failed = Some((ErrorCode::InternalError, reply.as_str()));
            self.keep(
                text,
                Some(&call.id),
                "could not be stored".to_owned(),
                failed,
                received_at,
            )
            .await;
        }
        Ok(reply)
    }

    /// The answer that was given before, where the stream broke before it was acknowledged. What it says is done already.
    pub(super) async fn answer_given(
        &self,
        call: &Call<'_>,
        number: u64,
        received_at: DateTime<Utc>,
    ) -> Result<Option<String>, sqlx::Error> {
        match frame_number(number) {
            Some(frame) if self.may_have_come_before(number) => {
                answer_to(&self.state.database, self.via, &call.id, frame, received_at).await
            }
            _ => Ok(None),
        }
    }

    /// On an earlier stream of the session.
    fn may_have_come_before(&self, number: u64) -> bool {
        number > 0 && number <= self.repeated
    }

    async fn answer_in_one_transaction(
        &mut self,
        call: &Call<'_>,
        text: &str,
        number: u64,
        received_at: DateTime<Utc>,
        advice: &Advice,
    ) -> Result<String, Unanswered> {
        let told_time = match self.station.version {
            Version::V1_6 => v1_6::told_time(&call.action, call.payload),
        };
        let clock_offset = told_time.and_then(|told| self.clock_offset.heard(told, received_at));
        let is_late = self.is_late();
        let is_fact = v1_6::is_transaction_fact(&call.action);
        if is_late && !is_fact {
            return Err(Unanswered::Superseded);
        }
        let request = self.kept(text);
        let exchange = Exchange {
            origin: Origin::Station,
            frame_number: frame_number(number),
            message_id: Some(&call.id),
            action: Some(&call.action),
            request: &request,
            response: None,
            error_code: None,
            violations: &[],
            requested_at: received_at,
            responded_at: None,
            clock_offset,
        };
        if !is_late && let Some(reply) = self.routinely(call, &exchange).await? {
            return Ok(reply);
        }
        let attempt = self.attempt(call, &exchange, is_late, advice).await?;
        let committed = match attempt {
            Some(committed) => committed,
            None if !is_fact => return Err(Unanswered::Superseded),
            // From here on the newer connection is there, whatever it has said by now.
            None => self
                .attempt(call, &exchange, true, advice)
                .await?
                .ok_or(Unanswered::Resumed)?,
        };
        self.barred = committed.barred;
        Ok(committed.reply)
    }

    /// A CALL as a version's rules take it.
    pub(super) fn incoming<'a>(
        &'a self,
        call: &'a Call<'_>,
        received_at: DateTime<Utc>,
        advice: &'a Advice,
    ) -> Incoming<'a> {
        Incoming {
            charge_point: self.via.charge_point,
            certified_serial_number: self.station.certified_serial_number.as_deref(),
            message_id: &call.id,
            action: &call.action,
            payload: call.payload,
            received_at,
            is_late: false,
            is_gone: false,
            intervals: self.state.intervals,
            issuance: &self.state.issuance,
            advice,
        }
    }

    /// None, and nothing is done, where a newer connection has taken over and this one did not know.
    async fn attempt(
        &self,
        call: &Call<'_>,
        asked: &Exchange<'_>,
        is_late: bool,
        advice: &Advice,
    ) -> Result<Option<Committed>, Unanswered> {
        let mut transaction = self.state.database.begin().await?;
        let mut is_gone = false;
        if is_late || !self.has_session() {
            let installed = self.installed(&mut transaction).await?;
            // A frame that was posted meanwhile is another device's, or one's that is out of use or has another name.
            if !self.has_session() && installed.number != self.station.installation {
                return Err(Unanswered::Superseded);
            }
            is_gone = installed.is_retired || installed.device != self.station.device;
        }
        let incoming = Incoming {
            is_late,
            is_gone,
            ..self.incoming(call, asked.requested_at, advice)
        };
        let answer = match self.station.version {
            Version::V1_6 => v1_6::answer(&mut transaction, &incoming).await?,
        };
        let reply = self.written(call, &answer);
        let exchange = Exchange {
            response: Some(&reply),
            error_code: match &answer.reply {
                Reply::Result(_) => None,
                Reply::Error { code, .. } => Some(code.as_str(self.station.version)),
            },
            violations: &answer.flags,
            responded_at: Some(self.state.clock.now()),
            ..*asked
        };
        let recorded = record(&mut transaction, self.via, &exchange).await?;
        if !recorded.is_present && !is_late && self.has_session() {
            return Ok(None);
        }
        transaction.commit().await?;
        Ok(Some(Committed {
            reply,
            barred: answer.bars,
        }))
    }

    /// What stands there now. It stays so until the transaction is over.
    async fn installed(&self, connection: &mut PgConnection) -> Result<Installed, sqlx::Error> {
        sqlx::query_as!(
            Installed,
            r#"SELECT installation AS number, device, retired_at IS NOT NULL AS "is_retired!"
               FROM ocpp.charge_point WHERE id = $1 FOR KEY SHARE"#,
            self.via.charge_point,
        )
        .fetch_one(connection)
        .await
    }

    /// Whether a newer connection has taken over.
    fn is_late(&self) -> bool {
        self.has_session() && self.handle.superseded.is_cancelled()
    }

    /// What is posted without one has no successor either.
    pub(super) fn has_session(&self) -> bool {
        self.via.epoch > 0
    }

    fn written(&self, call: &Call<'_>, answer: &Answer) -> String {
        match &answer.reply {
            Reply::Result(payload) => {
                count_call(&call.action, "result");
                call_result(&call.id, payload)
            }
            Reply::Error { code, description } => {
                count_call(&call.action, "error");
                call_error(self.station.version, &call.id, *code, description, None)
            }
        }
    }

    /// 1.6 has no answer to most malformed frames. They are kept, and the socket stays open.
    pub(super) async fn malformed(
        &mut self,
        malformed: MalformedFrame,
        text: &str,
        received_at: DateTime<Utc>,
    ) -> Result<Option<String>, End> {
        tracing::info!(%malformed, "A charge point sent a malformed frame");
        if malformed.spoilt_answer_to().is_some_and(|id| self.is_outstanding(id)) {
            let description = malformed.to_string();
            let settled = Settled::Unreadable {
                description: &description,
            };
            self.settle(settled, text, received_at).await?;
            return Ok(None);
        }
        let refusal = malformed.call_to_refuse().map(|(id, code)| {
            let version = self.station.version;
            (code, call_error(version, id, code, &malformed.to_string(), None))
        });
        let problem = malformed.to_string();
        let answer = refusal.as_ref().map(|(code, reply)| (*code, reply.as_str()));
        self.keep(text, malformed.message_id(), problem, answer, received_at)
            .await;
        Ok(refusal.map(|(_, reply)| reply))
    }

    /// Keeps a frame that had no effect: it is no CALL and answers none, or its effect failed. It changes nothing, so that a failure to keep it is no reason to
    /// end the session.
    pub(super) async fn keep(
        &self,
        text: &str,
        message_id: Option<&str>,
        problem: String,
        answer: Option<(ErrorCode, &str)>,
        received_at: DateTime<Utc>,
    ) {
        let shown = redact::unplaced(text);
        let request = match Frame::parse(text) {
            Ok(_) => self.kept(shown),
            Err(_) => Request::unreadable(shown, &self.state.passwords),
        };
        // What is no valid id is part of the frame only.
        let message_id = message_id.filter(|id| !id.contains('\0'));
        let exchange = Exchange {
            origin: Origin::Station,
            frame_number: None,
            message_id,
            action: None,
            request: &request,
            response: answer.map(|(_, reply)| reply),
            error_code: answer.map(|(code, _)| code.as_str(self.station.version)),
            violations: &[problem],
            requested_at: received_at,
            responded_at: answer.map(|_| received_at),
            clock_offset: None,
        };
        self.keep_exchange(&exchange).await;
    }

    /// A frame as the log keeps it.
    fn kept<'a>(&self, frame: &'a str) -> Request<'a> {
        Request::new(frame, &self.state.passwords)
    }

    async fn keep_exchange(&self, exchange: &Exchange<'_>) {
        let kept = async {
            let mut connection = self.state.database.acquire().await?;
            record(&mut connection, self.via, exchange).await
        };
        if let Err(error) = kept.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "A frame could not be kept, because the database failed"
            );
        }
    }
}
