//! Frames of OCPP-J that come in. All versions have the same.

use serde_json::value::RawValue;

/// A frame, not looked into any further.
#[derive(Debug)]
pub enum Incoming<'a> {
    Call {
        id: String,
        action: String,
        payload: &'a RawValue,
    },
    /// The answer to a CALL of ours, whose ids are numbers; none is another's.
    Result { id: Option<u64>, payload: &'a RawValue },
    Error {
        id: Option<u64>,
        code: String,
        description: String,
    },
}

impl<'a> Incoming<'a> {
    /// None of what is no frame.
    pub fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let text = |part: &RawValue| serde_json::from_str::<String>(part.get()).ok();
        match (parts.first()?.get(), &parts[1..]) {
            ("2", [id, action, payload]) => Some(Self::Call {
                id: text(id)?,
                action: text(action)?,
                payload,
            }),
            ("3", [id, payload]) => Some(Self::Result {
                id: number(id),
                payload,
            }),
            ("4", [id, code, description, ..]) => Some(Self::Error {
                id: number(id),
                code: text(code)?,
                description: text(description)?,
            }),
            _ => None,
        }
    }
}

fn number(id: &RawValue) -> Option<u64> {
    id.get().trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds_of_frames_are_told_apart() {
        let call = Incoming::parse(r#"[2, "a-1", "Reset", {"type": "Soft"}]"#);
        assert!(matches!(call, Some(Incoming::Call { id, action, .. }) if id == "a-1" && action == "Reset"));
        let result = Incoming::parse(r#"[3,"12",{}]"#);
        assert!(matches!(result, Some(Incoming::Result { id: Some(12), payload }) if payload.get() == "{}"));
        let error = Incoming::parse(r#"[4,"12","InternalError","",{}]"#);
        assert!(matches!(error, Some(Incoming::Error { code, .. }) if code == "InternalError"));
    }

    #[test]
    fn anything_else_is_no_frame() {
        for text in ["", "[]", "{}", "[5,\"1\"]", r#"[2,1,"Reset",{}]"#, r#"[3,"1"]"#] {
            assert!(Incoming::parse(text).is_none(), "{text}");
        }
    }
}
