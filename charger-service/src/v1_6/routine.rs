//! What a charge point says all the time, and what only has to be kept: signs of life, states of connectors, meter values.

use ocpp::v1_6::{Action, MeterValues};
use ocpp::{Message, Version, validate};
use serde_json::value::RawValue;

use super::samples::samples;
use super::{checked, heartbeat, status_notification};
use crate::routine::{Effect, Values};
use crate::session::answer::{Answer, Incoming, Reply};
use crate::transaction::placed;

/// A CALL whose answer is known before it is kept.
pub struct Routine {
    pub action: Action,
    pub answer: Box<RawValue>,
    pub effect: Effect,
    /// For the message log.
    pub flag: Option<String>,
}

/// None where it is another action, or there is anything out of the ordinary about it.
pub fn routine(call: &Incoming<'_>) -> Option<Routine> {
    let action = Action::parse(call.action)?;
    let read: fn(&Incoming<'_>) -> Read = match action {
        Action::Heartbeat => sign_of_life,
        Action::StatusNotification => status,
        Action::MeterValues => meter_values,
        _ => return None,
    };
    if !validate(Version::V1_6, Message::Request(action.as_str()), call.payload).is_empty() {
        return None;
    }
    let (answer, effect, flag) = read(call)?;
    match checked(action, answer).reply {
        Reply::Result(answer) => Some(Routine {
            action,
            answer,
            effect,
            flag,
        }),
        Reply::Error { .. } => None,
    }
}

/// None where it cannot be read, or there is more to it.
type Read = Option<(Answer, Effect, Option<String>)>;

fn sign_of_life(call: &Incoming<'_>) -> Read {
    Some((heartbeat::answer(call).ok()?, Effect::None, None))
}

fn status(call: &Incoming<'_>) -> Read {
    let status = status_notification::read(call.payload, call.charge_point, call.received_at).ok()?;
    let flag = status_notification::flag(&status);
    Some((Answer::empty().ok()?, Effect::Status(status), flag))
}

fn meter_values(call: &Incoming<'_>) -> Read {
    let request = MeterValues::read(call.payload);
    // Which one is meant has to be looked for.
    if request.transaction_id.is_some_and(placed::is_placeholder) {
        return None;
    }
    let values = Values {
        connector_id: request.connector_id,
        transaction_id: request.transaction_id,
        samples: samples(request.readings, call.received_at),
    };
    Some((Answer::empty().ok()?, Effect::MeterValues(values), None))
}
