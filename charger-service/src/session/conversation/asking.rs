//! CALLs about which others are asked before they are answered: another authority about a token, or a vendor about a transfer.
//!
//! They may take seconds. Meanwhile our own CALLs go out, and what the charge point answers to them comes in and overtakes the
//! CALL; everything else waits for its turn, as it does behind any CALL.

use std::future::pending;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ocpp::frame::{Call, Frame};
use service_kit::trace::{self, Span};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;
use voltgate_proto::ocpp::v1::{FromStation, from_station};

use super::inbound::{kind_of, while_gathering};
use super::{Conversation, End, traced};
use crate::session::advice::Advice;
use crate::session::consult::{Asker, Question, consult};
use crate::session::inbox::Inbox;
use crate::v1_6;

/// A CALL whose answer waits for what others say.
pub(super) struct Asking {
    text: String,
    number: u64,
    received_at: DateTime<Utc>,
    /// Ends with the answer.
    span: Option<Span>,
    /// Nobody waits for it any more when this is gone.
    advice: AbortOnDropHandle<Result<Advice, sqlx::Error>>,
}

/// Until there is advice, or the database fails. Nothing is lost when it is dropped.
pub(super) async fn advice(asking: &mut Option<Asking>) -> Result<Advice, sqlx::Error> {
    let Some(asking) = asking else {
        return pending().await;
    };
    (&mut asking.advice).await.unwrap_or_else(|error| {
        tracing::error!(%error, "The task that asked others about a CALL broke");
        Err(sqlx::Error::WorkerCrashed)
    })
}

/// The next message; while others are asked, only one that answers our CALL `outstanding`.
pub(super) async fn next_message(
    inbox: &mut Inbox,
    is_asking: bool,
    outstanding: Option<&str>,
) -> Result<Option<FromStation>, tonic::Status> {
    if is_asking {
        let answers = |message: &FromStation| outstanding.is_some_and(|id| is_answer_to(message, id));
        Ok(Some(inbox.overtaking(answers).await))
    } else {
        inbox.next().await
    }
}

fn is_answer_to(message: &FromStation, id: &str) -> bool {
    let Some(from_station::Event::Frame(text)) = &message.event else {
        return false;
    };
    match Frame::parse(text) {
        Ok(Frame::Call(_)) => false,
        Ok(answer @ (Frame::CallResult(_) | Frame::CallError(_))) => answer.id() == id,
        Err(malformed) => malformed.spoilt_answer_to() == Some(id),
    }
}

impl Conversation {
    /// What others have to be asked before a CALL is answered.
    pub(super) fn question(&self, call: &Call<'_>) -> Option<Question> {
        let has_authority = self.state.authority.is_some();
        match self.station.version {
            ocpp::Version::V1_6 => v1_6::question(&call.action, call.payload, has_authority),
        }
    }

    /// Asks. `number` is that of the CALL's frame, where it came in a session.
    pub(super) fn inquiry(
        &self,
        question: Question,
        number: Option<u64>,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Result<Advice, sqlx::Error>> + Send + 'static + use<> {
        let asker = Asker {
            charge_point: self.via.charge_point,
            identity: self.station.identity.to_string(),
            frame: number.map(|number| (self.via.epoch, number)),
            at,
        };
        let state = Arc::clone(&self.state);
        async move { consult(&state, &asker, &question).await }
    }

    /// Asks, and goes on meanwhile.
    pub(super) fn ask(&mut self, question: Question, text: &str, number: u64, received_at: DateTime<Utc>) {
        let inquiry = self.inquiry(question, Some(number), received_at).in_current_span();
        self.asking = Some(Asking {
            text: text.to_owned(),
            number,
            received_at,
            span: None,
            advice: AbortOnDropHandle::new(self.state.tasks.spawn(traced::going_on(inquiry))),
        });
    }

    /// The CALL about which others are asked is not done yet.
    pub(super) fn goes_on(&mut self, span: Span) {
        if let Some(asking) = &mut self.asking {
            asking.span = Some(span);
        }
    }

    /// Others have said what there is to say, and the CALL is answered.
    pub(super) async fn advised(&mut self, advice: Result<Advice, sqlx::Error>, inbox: &mut Inbox) -> Result<(), End> {
        let Some(mut asking) = self.asking.take() else {
            return Ok(());
        };
        let mut span = asking.span.take();
        // It was one when it came in.
        let Ok(Frame::Call(call)) = Frame::parse(&asking.text) else {
            return Ok(());
        };
        let answer = self.answer_heard(&call, &asking.text, asking.number, asking.received_at, advice);
        let place = span.as_ref().and_then(|span| span.place().cloned());
        let reply = while_gathering(inbox, trace::within(place, answer)).await?;
        if let Some(span) = &mut span {
            traced::answered(span, kind_of(&reply));
        }
        self.remember(&call, &reply, inbox.last_number().max(asking.number));
        self.send(reply, asking.number).await
    }

    /// A newer connection has taken over while others were asked. A fact about a transaction is dealt with all the same, and
    /// others are waited for no longer than `until`.
    pub(super) async fn last_asked(&mut self, until: Instant) -> Result<(), End> {
        let Some(Frame::Call(call)) = self.asking.as_ref().and_then(|asking| Frame::parse(&asking.text).ok()) else {
            self.asking = None;
            return Ok(());
        };
        let (is_a_fact, waits) = (self.is_a_fact(&call), self.waits_for_others(&call));
        let heard = match waits {
            true => timeout_at(until, advice(&mut self.asking))
                .await
                .unwrap_or(Ok(Advice::None)),
            false => Ok(Advice::None),
        };
        let Some(asking) = self.asking.take() else {
            return Ok(());
        };
        match Frame::parse(&asking.text) {
            Ok(Frame::Call(call)) if is_a_fact => {
                let answer = self.answer_heard(&call, &asking.text, asking.number, asking.received_at, heard);
                let reply = answer.await?;
                self.send(reply, asking.number).await
            }
            _ => {
                self.not_dealt_with(&asking.text, asking.number, asking.received_at)
                    .await
            }
        }
    }

    /// The answer to a CALL that came in on a connection which has a successor.
    pub(super) async fn last_answer(
        &mut self,
        call: &Call<'_>,
        text: &str,
        number: u64,
        received_at: DateTime<Utc>,
        until: Instant,
    ) -> Result<String, End> {
        match self.answer_given(call, number, received_at).await {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) => {}
            Err(error) => return self.unanswered(call, text, received_at, error.into()).await,
        }
        let question = self.question(call).filter(|_| self.waits_for_others(call));
        let heard = match question {
            Some(question) => {
                let inquiry = self.inquiry(question, Some(number), received_at);
                timeout_at(until, inquiry).await.unwrap_or(Ok(Advice::None))
            }
            None => Ok(Advice::None),
        };
        self.answer_heard(call, text, number, received_at, heard).await
    }

    /// Whether what others say decides more than the wording of the answer.
    pub(super) fn waits_for_others(&self, call: &Call<'_>) -> bool {
        match self.station.version {
            ocpp::Version::V1_6 => v1_6::is_decided_by_others(&call.action),
        }
    }

    /// The gateway lets go of every frame up to the one that is acknowledged, so one that overtook a CALL is acknowledged no
    /// earlier than that CALL. 0: none is acknowledged yet.
    pub(super) fn acknowledgeable(&mut self, number: u64) -> u64 {
        if number == 0 {
            return 0;
        }
        let is_ahead = self.asking.as_ref().is_some_and(|asking| asking.number < number);
        if is_ahead {
            self.overtaken.insert(number);
            return 0;
        }
        let mut number = number;
        while self.overtaken.remove(&(number + 1)) {
            number += 1;
        }
        number
    }
}
