//! Heartbeat (4.6): the charge point lives, and sets its clock by the answer.

use ocpp::v1_6::heartbeat_response;

use super::Failure;
use crate::session::answer::{Answer, Incoming};

pub(super) fn answer(call: &Incoming<'_>) -> Result<Answer, Failure> {
    Answer::result(&heartbeat_response(call.received_at))
}
