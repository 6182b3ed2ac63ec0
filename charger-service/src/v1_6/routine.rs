//! What a charge point says all the time, and what only has to be kept: signs of life, states of connectors, meter values.

use ocpp::v1_6::{Action, MeterValues};
use ocpp::{Message, Version, validate};
use serde_json::value::RawValue;

use super::samples::samples;
use super::{Failure, checked, heartbeat, status_notification};
use crate::routine::{Effect, Values};
use crate::session::answer::{Answer, Incoming, Reply};

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
    let (answer, effect, flag) = read(call).ok()?;
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

type Read = Result<(Answer, Effect, Option<String>), Failure>;

fn sign_of_life(call: &Incoming<'_>) -> Read {
    Ok((heartbeat::answer(call)?, Effect::None, None))
}

fn status(call: &Incoming<'_>) -> Read {
    let status = status_notification::read(call.payload, call.charge_point, call.received_at)?;
    let flag = status_notification::flag(&status);
    Ok((Answer::empty()?, Effect::Status(status), flag))
}

fn meter_values(call: &Incoming<'_>) -> Read {
    let request = MeterValues::read(call.payload);
    let values = Values {
        connector_id: request.connector_id,
        transaction_id: request.transaction_id,
        samples: samples(request.readings, call.received_at),
    };
    Ok((Answer::empty()?, Effect::MeterValues(values), None))
}
