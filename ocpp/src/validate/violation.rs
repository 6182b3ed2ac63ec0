//! One thing in a payload that does not match the specification.

use thiserror::Error;

use super::{Message, path::Path};
use crate::{ErrorCode, Version};

/// Reads as a sentence: `$.idTag has 21 characters, but at most 20 are allowed`. It never quotes a value of free text,
/// which may be a password or a tag.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path} {detail}")]
pub struct Violation {
    /// JSON path, `$.meterValue[0].timestamp`.
    pub path: String,
    pub kind: ViolationKind,
    /// The rest of the sentence that begins with the path.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViolationKind {
    /// The version has no such action.
    UnknownAction,
    MissingField,
    TooFewItems,
    /// The wrong kind of JSON value, `null` and fractions for integers included.
    WrongType,
    NotInEnum,
    TooLong,
    /// An integer of more than 32 bits.
    OutOfRange,
    /// A number with more decimals than allowed.
    TooPrecise,
    BadDateTime,
}

impl Violation {
    pub(super) fn new(path: &Path<'_>, kind: ViolationKind, detail: String) -> Violation {
        Violation {
            path: path.to_string(),
            kind,
            detail,
        }
    }

    pub(super) fn unknown_action(version: Version, message: Message<'_>) -> Violation {
        let (Message::Request(action) | Message::Response(action)) = message;
        let detail = format!("belongs to {action:?}, which is not an action of OCPP {version}");
        Violation::new(&Path::Root, ViolationKind::UnknownAction, detail)
    }

    /// The code of the CALLERROR that answers it.
    pub fn error_code(&self) -> ErrorCode {
        match self.kind {
            ViolationKind::UnknownAction => ErrorCode::NotImplemented,
            ViolationKind::MissingField | ViolationKind::TooFewItems => ErrorCode::OccurrenceConstraintViolation,
            ViolationKind::WrongType => ErrorCode::TypeConstraintViolation,
            ViolationKind::NotInEnum
            | ViolationKind::TooLong
            | ViolationKind::OutOfRange
            | ViolationKind::TooPrecise
            | ViolationKind::BadDateTime => ErrorCode::PropertyConstraintViolation,
        }
    }
}
