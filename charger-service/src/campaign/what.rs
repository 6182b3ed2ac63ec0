//! What a campaign sends: one command to every charge point, or firmware, by a URL of each one's own.

use chrono::{DateTime, Utc};
use ocpp::v1_6::Action;
use serde_json::Value;
use service_kit::event::timestamp;
use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::create_campaign_request::What as Asked;
use voltgate_proto::ocpp::v1::{CampaignCommand, CampaignFirmware, UpdateFirmwareRequest};

use super::under;
use crate::command::call::Call;
use crate::job::firmware_order::Order;
use crate::transfer::Token;
use crate::transfer::url::PublicUrl;

/// It is kept with each command.
const LARGEST_PAYLOAD: usize = 64 * 1024;

#[derive(Debug)]
pub enum What {
    Command(Call),
    Firmware(Firmware),
}

#[derive(Debug)]
pub struct Firmware {
    pub order: Order,
    /// How long a charge point has to install it; None where nobody waits for that.
    pub installation_seconds: Option<i32>,
}

impl What {
    /// Notes what is wrong with it.
    pub fn parse(asked: Option<Asked>, now: DateTime<Utc>, violations: &mut Vec<FieldViolation>) -> Option<Self> {
        match asked {
            Some(Asked::Command(command)) => match call(&command) {
                Ok(call) => Some(Self::Command(call)),
                Err(problems) => {
                    violations.extend(under("command", problems));
                    None
                }
            },
            Some(Asked::UpdateFirmware(firmware)) => {
                let mut problems = Vec::new();
                let firmware = Firmware::parse(firmware, now, &mut problems);
                violations.extend(under("updateFirmware", problems));
                Some(Self::Firmware(firmware))
            }
            None => {
                violations.push(FieldViolation::new("command", "or updateFirmware is required"));
                None
            }
        }
    }

    pub fn action(&self) -> Action {
        match self {
            Self::Command(call) => call.action,
            Self::Firmware(firmware) => firmware.order.action(),
        }
    }
}

fn call(command: &CampaignCommand) -> Result<Call, Vec<FieldViolation>> {
    let refused = |problem: &str| Err(vec![FieldViolation::new("payload", problem)]);
    if command.payload.len() > LARGEST_PAYLOAD {
        return refused("must have at most 65536 bytes");
    }
    let call = Call::parse(&command.action, command.payload.as_bytes(), "payload")?;
    if call.holds_a_secret() {
        return refused("holds a secret, of which each charge point needs its own; send it to each by itself");
    }
    Ok(call)
}

impl Firmware {
    fn parse(asked: CampaignFirmware, now: DateTime<Utc>, problems: &mut Vec<FieldViolation>) -> Self {
        let installation_seconds = asked.installation_seconds;
        // As when one charge point is told, but for the charge point.
        let request = UpdateFirmwareRequest {
            firmware: asked.firmware,
            retrieve_at: asked.retrieve_at,
            install_at: asked.install_at,
            signing_certificate: asked.signing_certificate,
            signature: asked.signature,
            retries: asked.retries,
            retry_interval_seconds: asked.retry_interval_seconds,
            ..UpdateFirmwareRequest::default()
        };
        let order = Order::parse(&request, now, problems);
        if installation_seconds.is_some_and(|seconds| !(60..=604_800).contains(&seconds)) {
            problems.push(FieldViolation::new(
                "installationSeconds",
                "must be between 60 and 604800",
            ));
        }
        Self {
            order,
            installation_seconds,
        }
    }

    /// Whether what it comes to breaks no rule of the specification, whatever the token.
    pub fn check(&self, url: &PublicUrl, now: DateTime<Utc>) -> Vec<FieldViolation> {
        let (_, payload) = told(&self.order, url, now);
        let action = self.order.action();
        Call::parse(action.as_str(), payload.as_bytes(), "updateFirmware")
            .err()
            .unwrap_or_default()
    }

    /// The earliest moment at which charge points are to install it, where one was told.
    pub fn installation_from(&self) -> Option<DateTime<Utc>> {
        self.order.retrieve_at.max(self.order.install_at)
    }
}

/// What one charge point is told, with a token of its own.
pub fn told(order: &Order, url: &PublicUrl, now: DateTime<Utc>) -> (Token, String) {
    let token = Token::generate();
    let location = url.of_download(&token, &order.firmware);
    let payload = Value::Object(order.payload(&location, now)).to_string();
    (token, payload)
}

/// An order as it is shown.
pub fn shown(order: Order, installation_seconds: Option<i32>) -> CampaignFirmware {
    let (signing_certificate, signature) = match order.signed {
        Some(signed) => (Some(signed.certificate), Some(signed.signature)),
        None => (None, None),
    };
    CampaignFirmware {
        firmware: order.firmware,
        retrieve_at: order.retrieve_at.map(timestamp),
        install_at: order.install_at.map(timestamp),
        signing_certificate,
        signature,
        retries: order.retries,
        retry_interval_seconds: order.retry_interval_seconds,
        installation_seconds,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn violations(asked: Option<Asked>) -> Vec<(String, String)> {
        let mut violations = Vec::new();
        What::parse(asked, DateTime::UNIX_EPOCH, &mut violations);
        violations
            .into_iter()
            .map(|violation| (violation.field, violation.message))
            .collect()
    }

    fn command(action: &str, payload: impl Into<String>) -> Option<Asked> {
        Some(Asked::Command(CampaignCommand {
            action: action.to_owned(),
            payload: payload.into(),
        }))
    }

    fn fields(asked: Option<Asked>) -> Vec<String> {
        violations(asked).into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn a_command_is_held_against_the_specification() {
        assert_eq!(fields(command("ClearCache", "")), [""; 0]);
        assert_eq!(
            fields(command("ChangeConfiguration", r#"{"key":1}"#)),
            ["command.payload.key", "command.payload.value"]
        );
        assert_eq!(fields(command("Heartbeat", "{")), ["command.action", "command.payload"]);
        assert_eq!(fields(None), ["command"]);
        let large = format!(r#"{{"vendorId":"v","data":"{}"}}"#, "x".repeat(LARGEST_PAYLOAD));
        assert_eq!(fields(command("DataTransfer", large)), ["command.payload"]);
    }

    #[test]
    fn what_each_charge_point_needs_for_itself_is_refused() {
        for (action, payload) in [
            (
                "ChangeConfiguration",
                r#"{"key":"AuthorizationKey","value":"0123456789abcdef"}"#,
            ),
            ("GetDiagnostics", r#"{"location":"https://h/ocpp/transfers/token/"}"#),
            (
                "UpdateFirmware",
                r#"{"location":"ftp://u:p@h/f","retrieveDate":"2026-03-01T12:00:00Z"}"#,
            ),
        ] {
            let refused = violations(command(action, payload));
            assert_eq!(refused.len(), 1, "{action}");
            assert!(refused[0].1.starts_with("holds a secret"), "{refused:?}");
        }
        assert_eq!(
            fields(command("GetDiagnostics", r#"{"location":"ftp://example.com/"}"#)),
            [""; 0]
        );
    }

    #[test]
    fn firmware_is_told_with_a_token_of_its_own_each_time() {
        let url: PublicUrl = "https://h".parse().unwrap();
        let asked = CampaignFirmware {
            firmware: "f.bin".to_owned(),
            ..CampaignFirmware::default()
        };
        let firmware = Firmware::parse(asked, DateTime::UNIX_EPOCH, &mut Vec::new());
        assert_eq!(firmware.check(&url, DateTime::UNIX_EPOCH), []);
        let (first, second) = (
            told(&firmware.order, &url, DateTime::UNIX_EPOCH),
            told(&firmware.order, &url, DateTime::UNIX_EPOCH),
        );
        assert!(first.1.contains(first.0.as_str()) && !first.1.contains(second.0.as_str()));
        let wrong = CampaignFirmware {
            retries: Some(-1),
            installation_seconds: Some(59),
            ..CampaignFirmware::default()
        };
        assert_eq!(
            fields(Some(Asked::UpdateFirmware(wrong))),
            ["updateFirmware.retries", "updateFirmware.installationSeconds"]
        );
    }
}
