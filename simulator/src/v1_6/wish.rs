//! What a central system wants, by the actions of 1.6.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::saying::{Told, Wish};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoteStart {
    id_tag: String,
    connector_id: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoteStop {
    transaction_id: i32,
}

#[derive(Deserialize)]
struct Reset {
    r#type: ResetType,
}

#[derive(Deserialize)]
enum ResetType {
    Hard,
    Soft,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfConnector {
    connector_id: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangeAvailability {
    connector_id: u32,
    r#type: Availability,
}

#[derive(Deserialize)]
enum Availability {
    Inoperative,
    Operative,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trigger {
    requested_message: String,
    connector_id: Option<u32>,
}

#[derive(Deserialize)]
struct GetConfiguration {
    #[serde(default)]
    key: Vec<String>,
}

#[derive(Deserialize)]
struct ChangeConfiguration {
    key: String,
    value: String,
}

pub fn read_wish(action: &str, payload: &str) -> Wish {
    match action {
        "RemoteStartTransaction" => read(action, payload, |start: RemoteStart| Wish::Start {
            id_token: start.id_tag,
            connector: start.connector_id,
        }),
        "RemoteStopTransaction" => read(action, payload, |stop: RemoteStop| Wish::Stop {
            transaction: stop.transaction_id,
        }),
        "Reset" => read(action, payload, |reset: Reset| Wish::Reset {
            hard: matches!(reset.r#type, ResetType::Hard),
        }),
        "UnlockConnector" => read(action, payload, |unlock: OfConnector| Wish::Unlock {
            connector: unlock.connector_id,
        }),
        "ChangeAvailability" => read(action, payload, |change: ChangeAvailability| Wish::SetAvailability {
            connector: change.connector_id,
            available: matches!(change.r#type, Availability::Operative),
        }),
        "TriggerMessage" => read(action, payload, |trigger: Trigger| Wish::Tell {
            what: told(&trigger.requested_message),
            connector: trigger.connector_id,
        }),
        "GetConfiguration" => read(action, payload, |get: GetConfiguration| Wish::ReadConfiguration {
            keys: get.key,
        }),
        "ChangeConfiguration" => read(action, payload, |change: ChangeConfiguration| Wish::Configure {
            key: change.key,
            value: change.value,
        }),
        "ClearCache" => Wish::ClearCache,
        _ => Wish::Other {
            action: action.to_owned(),
        },
    }
}

fn read<T: DeserializeOwned>(action: &str, payload: &str, wish: impl FnOnce(T) -> Wish) -> Wish {
    match serde_json::from_str(payload) {
        Ok(read) => wish(read),
        Err(error) => Wish::Unreadable {
            action: action.to_owned(),
            problem: error.to_string(),
        },
    }
}

fn told(message: &str) -> Told {
    match message {
        "BootNotification" => Told::Boot,
        "Heartbeat" => Told::Heartbeat,
        "StatusNotification" => Told::Status,
        "MeterValues" => Told::Meter,
        _ => Told::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_by_its_action() {
        let start = read_wish("RemoteStartTransaction", r#"{"idTag":"CARD1","connectorId":2}"#);
        let wish = Wish::Start {
            id_token: "CARD1".into(),
            connector: Some(2),
        };
        assert_eq!(start, wish);
        let change = read_wish("ChangeAvailability", r#"{"connectorId":0,"type":"Inoperative"}"#);
        let wish = Wish::SetAvailability {
            connector: 0,
            available: false,
        };
        assert_eq!(change, wish);
    }

    #[test]
    fn a_reset_is_hard_or_soft() {
        for (kind, hard) in [("Hard", true), ("Soft", false)] {
            let wish = read_wish("Reset", &format!(r#"{{"type":"{kind}"}}"#));
            assert_eq!(wish, Wish::Reset { hard });
        }
        assert!(matches!(read_wish("Reset", "{}"), Wish::Unreadable { .. }));
    }

    #[test]
    fn what_cannot_be_read_is_told_apart_from_what_is_not_done() {
        assert!(matches!(
            read_wish("RemoteStartTransaction", "{}"),
            Wish::Unreadable { .. }
        ));
        assert!(matches!(read_wish("SetChargingProfile", "{}"), Wish::Other { .. }));
    }
}
