//! CALLs about which others are asked before they are answered: another authority about a token, or a vendor about a transfer.
//!
//! They may take seconds. Meanwhile our own CALLs go out, and what the charge point answers to them comes in and overtakes the
//! CALL; everything else waits for its turn, as it does behind any CALL.

use std::future::pending;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ocpp::frame::{Call, Frame};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;
use voltgate_proto::ocpp::v1::{FromStation, from_station};

use super::inbound::while_gathering;
use super::{Conversation, End};
use crate::session::advice::Advice;
use crate::session::consult::{Asker, Question, consult};
use crate::session::inbox::Inbox;
use crate::v1_6;

/// A CALL whose answer waits for what others say.
pub(super) struct Asking {
    text: String,
    number: u64,
    received_at: DateTime<Utc>,
    /// Nobody waits for it any more when this is gone.
    advice: AbortOnDropHandle<Advice>,
}

/// Until there is advice. Nothing is lost when it is dropped.
pub(super) async fn advice(asking: &mut Option<Asking>) -> Advice {
    let Some(asking) = asking else {
        return pending().await;
    };
    (&mut asking.advice).await.unwrap_or_else(|error| {
        tracing::error!(%error, "The task that asked others broke; a CALL is answered without them");
        Advice::None
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
        let question = match self.station.version {
            ocpp::Version::V1_6 => v1_6::question(&call.action, call.payload)?,
        };
        let concerns_somebody = match question {
            Question::Token { .. } => self.state.authority.is_some(),
            Question::Vendor { .. } => true,
        };
        concerns_somebody.then_some(question)
    }

    /// Asks. `number` is that of the CALL's frame, where it came in a session.
    pub(super) fn inquiry(
        &self,
        question: Question,
        number: Option<u64>,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Advice> + Send + 'static + use<> {
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
            advice: AbortOnDropHandle::new(self.state.tasks.spawn(inquiry)),
        });
    }

    /// Others have said what there is to say, and the CALL is answered.
    pub(super) async fn advised(&mut self, advice: Advice, inbox: &mut Inbox) -> Result<(), End> {
        let Some(asking) = self.asking.take() else {
            return Ok(());
        };
        // It was one when it came in.
        let Ok(Frame::Call(call)) = Frame::parse(&asking.text) else {
            return Ok(());
        };
        let answer = self.answer_advised(&call, &asking.text, asking.number, asking.received_at, &advice);
        let reply = while_gathering(inbox, answer).await?;
        self.remember(&call, &reply, inbox.last_number().max(asking.number));
        self.send(reply, asking.number).await
    }

    /// A newer connection has taken over while others were asked. A fact about a transaction is dealt with all the same.
    pub(super) async fn last_asked(&mut self) -> Result<(), End> {
        let Some(Frame::Call(call)) = self.asking.as_ref().and_then(|asking| Frame::parse(&asking.text).ok()) else {
            self.asking = None;
            return Ok(());
        };
        let is_a_fact = self.is_a_fact(&call);
        if is_a_fact {
            let advice = advice(&mut self.asking).await;
            if let Some(asking) = self.asking.take()
                && let Ok(Frame::Call(call)) = Frame::parse(&asking.text)
            {
                let reply = self
                    .answer_advised(&call, &asking.text, asking.number, asking.received_at, &advice)
                    .await?;
                self.send(reply, asking.number).await?;
            }
        } else if let Some(asking) = self.asking.take() {
            self.not_dealt_with(&asking.text, asking.number, asking.received_at)
                .await?;
        }
        Ok(())
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
