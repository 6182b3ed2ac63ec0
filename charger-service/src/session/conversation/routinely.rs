//! What charge points say all the time, brought to where it is kept many at once.

use ocpp::Version;
use ocpp::frame::{Call, call_result};

use super::Conversation;
use super::inbound::count_call;
use crate::message::record::{Exchange, answer_to};
use crate::message::routine::Message;
use crate::routine::{Outcome, Said};
use crate::session::advice::Advice;
use crate::session::fence;
use crate::v1_6;

impl Conversation {
    /// The answer to what charge points say all the time, which is kept together with what others say. None, and nothing is done,
    /// where there is anything out of the ordinary about it.
    pub(super) async fn routinely(&self, call: &Call<'_>, asked: &Exchange<'_>) -> Result<Option<String>, sqlx::Error> {
        let incoming = self.incoming(call, asked.requested_at, &Advice::None);
        let routine = match self.station.version {
            Version::V1_6 => v1_6::routine::routine(&incoming),
        };
        let (Some(routine), Some(request), true) = (routine, asked.request.plain(), self.has_session()) else {
            return Ok(None);
        };
        let reply = call_result(&call.id, &routine.answer);
        let message = Message {
            via: self.via,
            frame_number: asked.frame_number,
            message_id: call.id.clone().into_owned(),
            action: routine.action.as_str(),
            request: request.to_owned(),
            response: reply.clone(),
            flags: routine.flag.into_iter().collect(),
            requested_at: asked.requested_at,
            clock_offset: asked.clock_offset,
        };
        let effect = routine.effect;
        let is_kept = match self.state.routine.keep(Said { message, effect }).await {
            Outcome::Kept => true,
            Outcome::NotKept => false,
            Outcome::Unknown => self.was_kept(call, asked).await?,
            Outcome::Away => return Err(sqlx::Error::PoolTimedOut),
        };
        Ok(is_kept.then(|| {
            count_call(&call.action, "result");
            reply
        }))
    }

    /// Whether a CALL is in the log already, once whoever may be about to write it there is done.
    async fn was_kept(&self, call: &Call<'_>, asked: &Exchange<'_>) -> Result<bool, sqlx::Error> {
        let Some(number) = asked.frame_number else {
            return Ok(false);
        };
        let mut transaction = self.state.database.begin().await?;
        fence::lock(&mut transaction, self.via.charge_point).await?;
        let given = answer_to(&mut *transaction, self.via, &call.id, number, asked.requested_at).await?;
        Ok(given.is_some())
    }
}
