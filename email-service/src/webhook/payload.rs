//! What a webhook is told of an event: its type, when it happened, and what it holds, as proto3 JSON has it.

use prost::Name;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde::Serialize;
use serde_json::{Value, json};
use service_kit::event::{self, Event};
use uuid::Uuid;
use voltgate_proto::events::v1::AccountDeleted;

#[derive(Serialize)]
struct Body {
    r#type: String,
    timestamp: String,
    /// The service that tells of it.
    source: String,
    data: Value,
}

/// Ready to be sent.
pub(super) struct Payload {
    pub body: String,
    /// The account that it is about, with which it goes.
    pub account: Option<Uuid>,
}

impl Payload {
    /// None where this version does not know what it holds.
    pub fn of(event: &Event) -> Option<Self> {
        let descriptor = voltgate_proto::pool().get_message_by_name(&event.r#type)?;
        let message = DynamicMessage::decode(descriptor, event.data.clone()).ok()?;
        // Fields at their default too, so that whoever reads them need not know defaults.
        let options = SerializeOptions::new().skip_default_fields(false);
        let data = message
            .serialize_with_options(serde_json::value::Serializer, &options)
            .ok()?;
        let told_of = data.get("accountId").and_then(Value::as_str);
        let (data, account) = match event.r#type == AccountDeleted::full_name() {
            // Whoever keeps something of the account has to learn of this, also after it is gone. Its id is enough to know it by, and nobody's
            // name, so nothing has to be erased.
            true => (json!({ "accountId": told_of }), None),
            false => {
                let account = told_of.and_then(|id| Uuid::parse_str(id).ok());
                (data, account)
            }
        };
        let time = event::time(event).ok()?;
        let body = Body {
            r#type: event.r#type.clone(),
            timestamp: time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            source: event.source.clone(),
            data,
        };
        let body = serde_json::to_string(&body).ok()?;
        Some(Self { body, account })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::DateTime;
    use voltgate_proto::events::v1::{SecondFactorChange, SecondFactorChanged};

    use super::*;

    #[test]
    fn an_event_is_told_as_json() {
        let account = Uuid::from_u128(7);
        let changed = SecondFactorChanged {
            account_id: account.to_string(),
            username: "mara".to_owned(),
            email: None,
            change: SecondFactorChange::PasskeyAdded.into(),
        };
        let event = event::new("auth-service", DateTime::UNIX_EPOCH, &changed);
        let payload = Payload::of(&event).unwrap();
        assert_eq!(payload.account, Some(account));
        assert_eq!(
            serde_json::from_str::<Value>(&payload.body).unwrap(),
            json!({
                "type": "voltgate.events.v1.SecondFactorChanged",
                "timestamp": "1970-01-01T00:00:00.000000Z",
                "source": "auth-service",
                "data": {
                    "accountId": account.to_string(),
                    "username": "mara",
                    "change": "SECOND_FACTOR_CHANGE_PASSKEY_ADDED",
                },
            })
        );
    }

    #[test]
    fn of_an_account_that_is_deleted_nothing_is_told_but_its_id() {
        let account = Uuid::from_u128(7);
        let deleted = AccountDeleted {
            account_id: account.to_string(),
            username: "mara".to_owned(),
            email: Some("mara@example.org".to_owned()),
            email_is_shared: false,
        };
        let payload = Payload::of(&event::new("auth-service", DateTime::UNIX_EPOCH, &deleted)).unwrap();
        assert_eq!(payload.account, None);
        let body: Value = serde_json::from_str(&payload.body).unwrap();
        assert_eq!(body["data"], json!({ "accountId": account.to_string() }));
    }

    #[test]
    fn what_nobody_knows_is_told_to_nobody() {
        let mut event = event::new("auth-service", DateTime::UNIX_EPOCH, &SecondFactorChanged::default());
        event.r#type = "voltgate.events.v1.RocketLaunched".to_owned();
        assert!(Payload::of(&event).is_none());
    }
}
