//! One frame without a socket. It is dealt with like any other, but there is no session behind it: it tells nobody that the
//! charge point is there, and nothing can be sent back but the answer.

use std::sync::Arc;

use ocpp::frame::Frame;
use service_kit::reason::Reason;
use tokio::sync::mpsc;
use tonic::Status;

use super::{Conversation, Present};
use crate::State;
use crate::registry::Handle;
use crate::session::fence::Via;
use crate::session::handshake::Admitted;

/// Frames are numbered within a session.
const NO_NUMBER: u64 = 0;

/// The frame that answers this one, where there is one.
///
/// # Errors
/// The charge point posts too fast, or the database is away.
pub async fn exchange(state: Arc<State>, station: Admitted, text: &str) -> Result<Option<String>, Status> {
    let turn = state.posting.turn(station.charge_point, state.messages_per_second);
    let _turn = turn
        .await
        .map_err(|wait| Reason::TooManyRequests.retry_after(wait, "The charge point sends too many frames"))?;
    let via = Via {
        charge_point: station.charge_point,
        // Before any session.
        epoch: 0,
        stream: 0,
    };
    let nowhere = mpsc::channel(1).0;
    let present = Present {
        handle: Handle::superseded(via),
        resumption: None,
        unanswered: None,
    };
    let (mut conversation, _) = Conversation::new(Arc::clone(&state), station, present, nowhere);
    let received_at = state.clock.now();
    let reply = match Frame::parse(text) {
        Ok(Frame::Call(call)) => {
            let reply = conversation.answer(&call, text, NO_NUMBER, received_at).await;
            reply.map(Some)
        }
        Ok(answer @ (Frame::CallResult(_) | Frame::CallError(_))) => {
            conversation.unexpected(answer.id(), text, NO_NUMBER, received_at).await;
            Ok(None)
        }
        Err(malformed) => conversation.malformed(malformed, text, received_at).await,
    };
    reply.map_err(|_| Reason::Unavailable.status("The frame cannot be dealt with just now"))
}
