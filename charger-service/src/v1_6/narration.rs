//! What a frame of 1.6 says about one transaction, in plain words.

use ocpp::v1_6::{MeterValues, StatusOnly};
use ocpp::{Fields, Frame};
use serde_json::value::RawValue;

use super::samples::samples;
use crate::meter_values::Sample;

pub const START: &str = "StartTransaction";

/// The actions that may say something about a transaction without naming values of it.
pub const ACTIONS: [&str; 8] = [
    "Authorize",
    START,
    "StatusNotification",
    "StopTransaction",
    "RemoteStartTransaction",
    "RemoteStopTransaction",
    "UnlockConnector",
    "Reset",
];

/// While a connector is in one of these, the vehicle takes nothing.
const TAKES_NOTHING: [&str; 2] = ["SuspendedEV", "Finishing"];

/// A CALL and its answer.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub action: &'a str,
    pub request: &'a str,
    pub response: Option<&'a str>,
    /// It is the very frame that started the transaction, or stopped it.
    pub is_what_was_applied: bool,
}

/// The transaction that is told of.
#[derive(Debug)]
pub struct Subject<'a> {
    pub transaction_id: i32,
    pub connector_id: i32,
    pub id_token: &'a str,
    pub stop_id_token: Option<&'a str>,
    /// It had begun when the frame came in, and was over.
    pub has_begun: bool,
    pub is_over: bool,
}

impl Subject<'_> {
    fn is_token(&self, told: &str) -> bool {
        let is = |token: &str| token.eq_ignore_ascii_case(told);
        is(self.id_token) || self.stop_id_token.is_some_and(is)
    }
}

/// None where it says nothing about that transaction.
pub fn narrate(exchange: &Exchange<'_>, subject: &Subject<'_>) -> Option<String> {
    let Ok(Frame::Call(call)) = Frame::parse(exchange.request) else {
        return None;
    };
    let told = Fields::of(call.payload);
    let connector = told.small_integer("connectorId");
    let transaction = told.small_integer("transactionId");
    let answer = Answer::of(exchange.response);
    match exchange.action {
        "Authorize" => {
            let token = told.text("idTag").filter(|token| subject.is_token(token))?;
            Some(format!(
                "The charge point asks whether {token} may charge{}",
                answer.of_token()
            ))
        }
        START if exchange.is_what_was_applied || answer.transaction_id() == Some(subject.transaction_id) => {
            Some(start(&told, &answer, subject))
        }
        "MeterValues" => Some(meter_values(call.payload, transaction)),
        "StatusNotification" if connector == Some(subject.connector_id) && subject.has_begun && !subject.is_over => {
            status(&told)
        }
        "StopTransaction" if exchange.is_what_was_applied || transaction == Some(subject.transaction_id) => {
            Some(stop(&told))
        }
        "RemoteStartTransaction" if !subject.is_over => {
            let token = told.text("idTag").filter(|token| subject.is_token(token))?;
            let place = connector.map_or_else(String::new, |connector| format!(" at connector {connector}"));
            Some(format!(
                "The charge point is asked to start a charge with {token}{place}{}",
                answer.of_charge_point()
            ))
        }
        "RemoteStopTransaction" if transaction == Some(subject.transaction_id) => Some(format!(
            "The charge point is asked to stop the charge{}",
            answer.of_charge_point()
        )),
        "UnlockConnector" if connector == Some(subject.connector_id) && !subject.is_over => Some(format!(
            "The charge point is asked to unlock the connector{}",
            answer.of_charge_point()
        )),
        "Reset" if !subject.is_over => Some(format!(
            "The charge point is asked to restart{}",
            answer.of_charge_point()
        )),
        _ => None,
    }
}

fn start(told: &Fields<'_>, answer: &Answer<'_>, subject: &Subject<'_>) -> String {
    let register = register(told, "meterStart");
    let clock = clock(told);
    let id = answer
        .transaction_id()
        .map_or_else(String::new, |id| format!("; the answer is transaction {id}"));
    format!(
        "The charge point tells that a charge has started at connector {} with {}, {register}, {clock}{id}",
        subject.connector_id, subject.id_token
    )
}

fn stop(told: &Fields<'_>) -> String {
    let register = register(told, "meterStop");
    let clock = clock(told);
    let reason = told.text("reason").unwrap_or_else(|| "Local".to_owned());
    let token = told
        .text("idTag")
        .map_or_else(String::new, |token| format!(" with {token}"));
    format!("The charge point tells that the charge has stopped{token}, {register}, {clock}; the reason is {reason}")
}

fn register(told: &Fields<'_>, field: &str) -> String {
    told.integer(field).map_or_else(
        || format!("with a {field} that is no number"),
        |wh| format!("the register at {wh} Wh"),
    )
}

fn clock(told: &Fields<'_>) -> String {
    told.time("timestamp").map_or_else(
        || "at a time that cannot be read".to_owned(),
        |at| format!("at {} by its clock", at.format("%Y-%m-%d %H:%M:%S UTC")),
    )
}

fn status(told: &Fields<'_>) -> Option<String> {
    let status = told.text("status")?;
    let error = told
        .text("errorCode")
        .filter(|code| code != "NoError")
        .map_or_else(String::new, |code| format!(" with the error {code}"));
    let meaning = if TAKES_NOTHING.contains(&status.as_str()) {
        ": from then on the vehicle takes nothing, which is idle time"
    } else {
        ""
    };
    Some(format!("The connector is {status}{error}{meaning}"))
}

fn meter_values(payload: &RawValue, transaction: Option<i32>) -> String {
    let readings = MeterValues::read(payload).readings;
    let times = readings.iter().filter_map(|reading| reading.timestamp);
    let latest = times.max();
    let samples = samples(readings, latest.unwrap_or_default());
    let values = match samples.len() {
        1 => "a value of the meter".to_owned(),
        count => format!("{count} values of the meter"),
    };
    let register = samples
        .iter()
        .filter_map(Sample::energy_register)
        .max()
        .map_or_else(String::new, |wh| {
            format!("; the register stands at {} Wh", wh.normalize())
        });
    let when = latest.map_or_else(String::new, |at| {
        format!(", the last of {}", at.format("%Y-%m-%d %H:%M:%S UTC"))
    });
    let unnamed = match transaction {
        Some(_) => "",
        None => ", without naming a transaction: they are the connector's",
    };
    format!("The charge point tells {values}{when}{register}{unnamed}")
}

/// The frame that answered.
enum Answer<'a> {
    Result(&'a RawValue),
    Error(String),
    None,
}

impl<'a> Answer<'a> {
    fn of(response: Option<&'a str>) -> Self {
        match response.map(Frame::parse) {
            Some(Ok(Frame::CallResult(result))) => Self::Result(result.payload),
            Some(Ok(Frame::CallError(error))) => Self::Error(error.code.into_owned()),
            Some(Ok(Frame::Call(_)) | Err(_)) | None => Self::None,
        }
    }

    fn transaction_id(&self) -> Option<i32> {
        match self {
            Self::Result(payload) => Fields::of(payload).small_integer("transactionId"),
            Self::Error(_) | Self::None => None,
        }
    }

    /// Ours, about a token.
    fn of_token(&self) -> String {
        match self {
            Self::Result(payload) => Fields::of(payload)
                .object("idTagInfo")
                .and_then(|info| info.text("status"))
                .map_or_else(String::new, |status| format!("; the answer is {status}")),
            Self::Error(code) => format!("; the answer is the error {code}"),
            Self::None => String::new(),
        }
    }

    /// The charge point's, to what it was asked for.
    fn of_charge_point(&self) -> String {
        match self {
            Self::Result(payload) => StatusOnly::read(payload).map_or_else(
                |_| "; it answers".to_owned(),
                |answer| format!("; it answers {}", answer.status),
            ),
            Self::Error(code) => format!("; it answers with the error {code}"),
            Self::None => "; it does not answer".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'_> = Subject {
        transaction_id: 42,
        connector_id: 1,
        id_token: "CARD1",
        stop_id_token: None,
        has_begun: true,
        is_over: false,
    };

    fn of(action: &str, payload: &str, answer: &str) -> Option<String> {
        let request = format!(r#"[2,"1","{action}",{payload}]"#);
        let response = format!(r#"[3,"1",{answer}]"#);
        let exchange = Exchange {
            action,
            request: &request,
            response: (!answer.is_empty()).then_some(&response),
            is_what_was_applied: false,
        };
        narrate(&exchange, &SUBJECT)
    }

    #[test]
    fn a_start_is_told_with_its_register_its_time_and_its_number() {
        let payload = r#"{"connectorId":1,"idTag":"CARD1","meterStart":1000,"timestamp":"2026-03-01T12:00:00Z"}"#;
        assert_eq!(
            of(
                START,
                payload,
                r#"{"transactionId":42,"idTagInfo":{"status":"Accepted"}}"#
            )
            .as_deref(),
            Some(
                "The charge point tells that a charge has started at connector 1 with CARD1, the register at 1000 Wh, \
                 at 2026-03-01 12:00:00 UTC by its clock; the answer is transaction 42"
            )
        );
        let of_another = of(
            START,
            payload,
            r#"{"transactionId":43,"idTagInfo":{"status":"Accepted"}}"#,
        );
        assert_eq!(of_another, None);
    }

    #[test]
    fn a_stop_without_a_reason_was_made_at_the_charge_point() {
        let payload = r#"{"transactionId":42,"meterStop":"x","timestamp":"yesterday"}"#;
        assert_eq!(
            of("StopTransaction", payload, "{}").as_deref(),
            Some(
                "The charge point tells that the charge has stopped, with a meterStop that is no number, \
                 at a time that cannot be read; the reason is Local"
            )
        );
        assert_eq!(of("StopTransaction", r#"{"transactionId":7}"#, "{}"), None);
    }

    #[test]
    fn meter_values_tell_how_the_register_stands() {
        let payload = r#"{"connectorId":1,"transactionId":42,"meterValue":[{"timestamp":"2026-03-01T12:30:00Z",
            "sampledValue":[{"value":"3.5","unit":"kWh"},{"value":"64","measurand":"SoC"}]}]}"#;
        assert_eq!(
            of("MeterValues", payload, "{}").as_deref(),
            Some(
                "The charge point tells 2 values of the meter, the last of 2026-03-01 12:30:00 UTC; \
                 the register stands at 3500 Wh"
            )
        );
    }

    #[test]
    fn of_statuses_and_tokens_only_those_of_the_charge_are_told() {
        let status = |connector: i32, status: &str| {
            let payload = format!(r#"{{"connectorId":{connector},"status":"{status}","errorCode":"NoError"}}"#);
            of("StatusNotification", &payload, "{}")
        };
        assert_eq!(status(1, "Charging").as_deref(), Some("The connector is Charging"));
        assert!(status(1, "SuspendedEV").is_some_and(|text| text.ends_with("which is idle time")));
        assert_eq!(status(2, "Charging"), None);
        let asked = of(
            "Authorize",
            r#"{"idTag":"card1"}"#,
            r#"{"idTagInfo":{"status":"Blocked"}}"#,
        );
        assert_eq!(
            asked.as_deref(),
            Some("The charge point asks whether card1 may charge; the answer is Blocked")
        );
        assert_eq!(of("Authorize", r#"{"idTag":"CARD2"}"#, "{}"), None);
    }

    #[test]
    fn what_the_charge_point_was_asked_for_is_told_with_its_answer() {
        assert_eq!(
            of(
                "RemoteStopTransaction",
                r#"{"transactionId":42}"#,
                r#"{"status":"Accepted"}"#
            )
            .as_deref(),
            Some("The charge point is asked to stop the charge; it answers Accepted")
        );
        assert_eq!(
            of("RemoteStartTransaction", r#"{"idTag":"CARD1","connectorId":1}"#, "").as_deref(),
            Some("The charge point is asked to start a charge with CARD1 at connector 1; it does not answer")
        );
        assert_eq!(of("RemoteStopTransaction", r#"{"transactionId":7}"#, ""), None);
    }

    #[test]
    fn frames_that_cannot_be_read_say_nothing() {
        let exchange = Exchange {
            action: START,
            request: "[2,",
            response: None,
            is_what_was_applied: true,
        };
        assert_eq!(narrate(&exchange, &SUBJECT), None);
    }
}
