//! What a connection still says when a newer one has taken over. A hard reset sends the stop of a charge milliseconds before
//! the socket dies, and the charge point is back before it has arrived: the stop is true all the same.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ocpp::Version;
use ocpp::frame::{Call, Frame};
use tokio::time::{Instant, timeout};
use voltgate_proto::ocpp::v1::from_station;

use super::{Conversation, End};
use crate::session::inbox::Inbox;
use crate::v1_6;

/// How long they are waited for; longer than the gateway waits for the socket to close.
const DYING: Duration = Duration::from_secs(10);

/// How long others are asked meanwhile, all questions together. What a charge point told is not lost for want of an answer.
const ASKING: Duration = Duration::from_secs(5);

/// What is wrong with anything else that it says.
pub(super) const TOO_LATE: &str = "came on a connection after a newer one had taken over, and was not dealt with";

impl Conversation {
    /// Hears the connection out. Facts about transactions are dealt with, everything else is kept only.
    pub(super) async fn last_words(&mut self, inbox: &mut Inbox) {
        let until = Instant::now() + ASKING;
        let heard_out = async {
            if self.last_asked(until).await.is_err() {
                return;
            }
            while let Ok(Some(message)) = inbox.next().await {
                let dealt_with = match message.event {
                    Some(from_station::Event::Frame(text)) => self.last_word(&text, message.number, until).await,
                    Some(from_station::Event::Closed(_)) => return,
                    Some(from_station::Event::Open(_)) | None => Ok(()),
                };
                if dealt_with.is_err() {
                    return;
                }
            }
        };
        if timeout(DYING, heard_out).await.is_err() {
            tracing::info!("A connection that was superseded did not end in time");
        }
    }

    async fn last_word(&mut self, text: &str, number: u64, until: Instant) -> Result<(), End> {
        let received_at = self.state.clock.now();
        match Frame::parse(text) {
            Ok(Frame::Call(call)) if self.is_a_fact(&call) => {
                let reply = self.last_answer(&call, text, number, received_at, until).await?;
                self.send(reply, number).await
            }
            parsed => {
                let id = parsed.as_ref().ok().map(Frame::id);
                self.keep_only(text, id, number, received_at).await
            }
        }
    }

    /// A CALL that is no fact about a transaction, and was not answered before a newer connection took over.
    pub(super) async fn not_dealt_with(&mut self, text: &str, number: u64, at: DateTime<Utc>) -> Result<(), End> {
        let parsed = Frame::parse(text);
        let id = parsed.as_ref().ok().map(Frame::id);
        self.keep_only(text, id, number, at).await
    }

    async fn keep_only(&mut self, text: &str, id: Option<&str>, number: u64, at: DateTime<Utc>) -> Result<(), End> {
        self.keep(text, id, TOO_LATE.to_owned(), None, at).await;
        self.acknowledge(number).await
    }

    pub(super) fn is_a_fact(&self, call: &Call<'_>) -> bool {
        match self.station.version {
            Version::V1_6 => v1_6::is_transaction_fact(&call.action),
        }
    }
}
