//! What a central system is answered, in the words of 1.6.

use serde_json::{Value, json};

use crate::saying::{Reply, Wish};

pub fn write_reply(id: &str, wish: &Wish, reply: &Reply) -> String {
    let frame = match (reply, wish) {
        (Reply::NotImplemented, _) => error(id, "NotImplemented", "this charge point does nothing of the kind"),
        (Reply::Unreadable(problem), _) => error(id, "FormationViolation", problem),
        // The one action whose answer knows no status but its own.
        (Reply::NotSupported, Wish::Tell { .. }) => status(id, "NotImplemented"),
        (Reply::NotSupported, _) => status(id, "NotSupported"),
        (Reply::Accepted, _) => status(id, "Accepted"),
        (Reply::Rejected, _) => status(id, "Rejected"),
        (Reply::Scheduled, _) => status(id, "Scheduled"),
        (Reply::Unlocked, _) => status(id, "Unlocked"),
        (Reply::UnlockFailed, _) => status(id, "UnlockFailed"),
        (Reply::Configuration { known, unknown }, _) => {
            let known: Vec<_> = known
                .iter()
                .map(|(key, value, readonly)| json!({"key": key, "value": value, "readonly": readonly}))
                .collect();
            json!([3, id, {"configurationKey": known, "unknownKey": unknown}])
        }
    };
    frame.to_string()
}

fn status(id: &str, status: &str) -> Value {
    json!([3, id, {"status": status}])
}

fn error(id: &str, code: &str, description: &str) -> Value {
    // A description may have 255 characters.
    let description: String = description.chars().take(255).collect();
    json!([4, id, code, description, {}])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_done_is_a_callerror() {
        let wish = Wish::Other {
            action: "SetChargingProfile".into(),
        };
        let frame: Value = serde_json::from_str(&write_reply("a", &wish, &Reply::NotImplemented)).expect("JSON");
        assert_eq!(
            (&frame[0], &frame[1], &frame[2]),
            (&json!(4), &json!("a"), &json!("NotImplemented"))
        );
    }
}
