//! OCPP 1.6, as a charge point speaks it.

mod reply;
mod wish;

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;

use crate::saying::{Answer, Kind, Registration, Saying, Status, StopReason};

pub use self::reply::write_reply;
pub use self::wish::read_wish;

pub fn action(kind: Kind) -> &'static str {
    match kind {
        Kind::Boot => "BootNotification",
        Kind::Authorize => "Authorize",
        Kind::Heartbeat => "Heartbeat",
        Kind::Status => "StatusNotification",
        Kind::Start => "StartTransaction",
        Kind::Meter => "MeterValues",
        Kind::Stop => "StopTransaction",
    }
}

/// Written by hand, since a fleet says it thousands of times a second.
pub fn write_call(id: u64, saying: &Saying<'_>, frame: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(frame, r#"[2,"{id}","{}",{{"#, action(saying.kind()));
    let _ = match *saying {
        Saying::Boot {
            vendor,
            model,
            firmware,
        } => write!(
            frame,
            r#""chargePointVendor":{},"chargePointModel":{},"firmwareVersion":{}"#,
            Json(vendor),
            Json(model),
            Json(firmware)
        ),
        Saying::Authorize { id_token } => write!(frame, r#""idTag":{}"#, Json(id_token)),
        Saying::Heartbeat => Ok(()),
        Saying::Status {
            connector,
            status,
            error,
            at,
        } => write!(
            frame,
            r#""connectorId":{connector},"status":"{}","errorCode":{},"timestamp":"{}""#,
            status_name(status),
            Json(error),
            Time(at)
        ),
        Saying::Start {
            connector,
            id_token,
            register,
            at,
        } => write!(
            frame,
            r#""connectorId":{connector},"idTag":{},"meterStart":{register},"timestamp":"{}""#,
            Json(id_token),
            Time(at)
        ),
        Saying::Meter {
            connector,
            transaction,
            register,
            power,
            at,
        } => write!(
            frame,
            concat!(
                r#""connectorId":{},"transactionId":{},"meterValue":[{{"timestamp":"{}","sampledValue":["#,
                r#"{{"value":"{}","measurand":"Energy.Active.Import.Register","unit":"Wh"}},"#,
                r#"{{"value":"{}","measurand":"Power.Active.Import","unit":"W"}}]}}]"#
            ),
            connector,
            transaction,
            Time(at),
            register,
            power
        ),
        Saying::Stop {
            transaction,
            id_token,
            register,
            reason,
            at,
        } => write!(
            frame,
            r#""transactionId":{transaction},"idTag":{},"meterStop":{register},"timestamp":"{}","reason":"{}""#,
            Json(id_token),
            Time(at),
            reason_name(reason)
        ),
    };
    frame.push_str("}]");
}

pub fn read_answer(kind: Kind, payload: &str) -> Result<Answer, serde_json::Error> {
    Ok(match kind {
        Kind::Boot => {
            let boot: BootConfirmation = serde_json::from_str(payload)?;
            Answer::Booted {
                registration: boot.status,
                interval: boot.interval,
            }
        }
        Kind::Authorize => {
            let authorized: Authorized = serde_json::from_str(payload)?;
            Answer::Authorized(authorized.id_tag_info.may_charge())
        }
        Kind::Start => {
            let started: Started = serde_json::from_str(payload)?;
            Answer::Started {
                transaction: started.transaction_id,
                may_charge: started.id_tag_info.may_charge(),
            }
        }
        Kind::Heartbeat | Kind::Status | Kind::Meter | Kind::Stop => Answer::Noted,
    })
}

#[derive(Deserialize)]
struct BootConfirmation {
    status: Registration,
    interval: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorized {
    id_tag_info: IdTagInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    id_tag_info: IdTagInfo,
    transaction_id: i32,
}

#[derive(Deserialize)]
struct IdTagInfo {
    status: String,
}

impl IdTagInfo {
    fn may_charge(&self) -> bool {
        self.status == "Accepted"
    }
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Available => "Available",
        Status::Preparing => "Preparing",
        Status::Charging => "Charging",
        Status::SuspendedEv => "SuspendedEV",
        Status::SuspendedEvse => "SuspendedEVSE",
        Status::Finishing => "Finishing",
        Status::Reserved => "Reserved",
        Status::Unavailable => "Unavailable",
        Status::Faulted => "Faulted",
    }
}

fn reason_name(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Local => "Local",
        StopReason::Remote => "Remote",
        StopReason::Unplugged => "EVDisconnected",
        StopReason::HardReset => "HardReset",
        StopReason::SoftReset => "SoftReset",
        StopReason::Unlocked => "UnlockCommand",
        StopReason::Deauthorized => "DeAuthorized",
    }
}

/// A text as JSON has it.
struct Json<'a>(&'a str);

impl std::fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if self.0.bytes().all(plain) {
            return write!(f, "\"{}\"", self.0);
        }
        f.write_str(&serde_json::to_string(self.0).map_err(|_| std::fmt::Error)?)
    }
}

/// A time as OCPP has it, to the millisecond.
struct Time(DateTime<Utc>);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(saying: &Saying<'_>) -> serde_json::Value {
        let mut frame = String::new();
        write_call(7, saying, &mut frame);
        serde_json::from_str(&frame).expect("the frame is JSON")
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_796_040_000_250).expect("a time")
    }

    #[test]
    fn what_is_said_is_a_call_with_the_names_of_the_version() {
        assert_eq!(frame(&Saying::Heartbeat), serde_json::json!([2, "7", "Heartbeat", {}]));
        let start = Saying::Start {
            connector: 1,
            id_token: "CARD1",
            register: 1000,
            at: noon(),
        };
        let payload = serde_json::json!(
            {"connectorId": 1, "idTag": "CARD1", "meterStart": 1000, "timestamp": "2026-11-30T12:00:00.250Z"}
        );
        assert_eq!(frame(&start), serde_json::json!([2, "7", "StartTransaction", payload]));
        let meter = Saying::Meter {
            connector: 2,
            transaction: 5,
            register: 1100,
            power: 7400,
            at: noon(),
        };
        let samples = &frame(&meter)[3]["meterValue"][0]["sampledValue"];
        assert_eq!(samples[0]["value"], "1100");
        assert_eq!(samples[1]["unit"], "W");
    }

    #[test]
    fn a_text_with_quotes_stays_one_text() {
        let saying = Saying::Authorize { id_token: "a\"b\\c\n" };
        assert_eq!(frame(&saying)[3]["idTag"], "a\"b\\c\n");
    }

    #[test]
    fn answers_are_read() {
        let read = |kind, text| read_answer(kind, text).expect("the answer is good");
        let boot = r#"{"status":"Pending","interval":60,"currentTime":"2026-11-30T12:00:00Z"}"#;
        let booted = Answer::Booted {
            registration: Registration::Pending,
            interval: 60,
        };
        assert_eq!(read(Kind::Boot, boot), booted);
        let start = r#"{"transactionId":12,"idTagInfo":{"status":"Blocked"}}"#;
        let started = Answer::Started {
            transaction: 12,
            may_charge: false,
        };
        assert_eq!(read(Kind::Start, start), started);
        assert!(read_answer(Kind::Start, "{}").is_err());
    }
}
