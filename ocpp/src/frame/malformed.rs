//! What can be wrong with a frame before anybody looks into its payload.

use thiserror::Error;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MalformedFrame {
    #[error("the frame is not JSON")]
    NotJson,
    #[error("the frame is not a JSON array")]
    NotAnArray,
    #[error("the frame does not begin with a message type number")]
    BadMessageType { message_id: Option<String> },
    /// 2.1 knows more types; 1.6 ignores a frame of an unknown one.
    #[error("{number} is not a message type that we know")]
    UnknownMessageType { number: i64, message_id: Option<String> },
    #[error("the message id is missing, empty, no text, or longer than 36 characters")]
    BadMessageId,
    #[error("the CALL does not name an action")]
    BadAction { message_id: String },
    #[error("the payload of the CALL is missing or not an object")]
    BadCallPayload { message_id: String },
    #[error("the payload of the CALLRESULT is missing or not an object")]
    BadResultPayload { message_id: String },
    #[error("the CALLERROR does not name an error code")]
    BadErrorCode { message_id: String },
}

impl MalformedFrame {
    /// The frame's message id, where it could be read.
    pub fn message_id(&self) -> Option<&str> {
        match self {
            MalformedFrame::NotJson | MalformedFrame::NotAnArray | MalformedFrame::BadMessageId => None,
            MalformedFrame::BadMessageType { message_id } | MalformedFrame::UnknownMessageType { message_id, .. } => {
                message_id.as_deref()
            }
            MalformedFrame::BadAction { message_id }
            | MalformedFrame::BadCallPayload { message_id }
            | MalformedFrame::BadResultPayload { message_id }
            | MalformedFrame::BadErrorCode { message_id } => Some(message_id),
        }
    }

    /// Where the frame is certainly a CALL and names its id: that id, and the code of the CALLERROR that it deserves.
    pub fn call_to_refuse(&self) -> Option<(&str, ErrorCode)> {
        match self {
            MalformedFrame::BadAction { message_id } | MalformedFrame::BadCallPayload { message_id } => {
                Some((message_id, ErrorCode::FormatViolation))
            }
            _ => None,
        }
    }

    /// The id of a CALL of ours that this frame meant to answer: the wait for it is over, though nothing can be learnt.
    pub fn spoilt_answer_to(&self) -> Option<&str> {
        match self {
            MalformedFrame::BadResultPayload { message_id } | MalformedFrame::BadErrorCode { message_id } => {
                Some(message_id)
            }
            _ => None,
        }
    }
}
