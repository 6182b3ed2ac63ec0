//! Frames of the socket and messages of the stream, and the close codes between them (RFC 6455, section 7.4).

use voltgate_proto::ocpp::v1::{Closed, FromStation, from_station};
use yawc::close::CloseCode;
use yawc::{Frame, WebSocketError};

/// The station closed without saying why.
pub const NO_STATUS: u16 = 1005;
/// The connection was lost.
pub const LOST: u16 = 1006;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;
const PROTOCOL: u16 = 1002;
/// The data is of a kind that is not taken.
pub const UNSUPPORTED: u16 = 1003;
/// The service does not want this socket, whatever it says.
pub const POLICY: u16 = 1008;
/// Come back in a moment.
pub const RESTART: u16 = 1012;

/// A close reason is this long at most, in bytes.
const LONGEST_REASON: usize = 123;

/// How a socket was closed, or is to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closing {
    pub code: u16,
    pub reason: String,
}

impl Closing {
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    /// What the station's close frame says.
    pub fn by_station(frame: &Frame) -> Self {
        let code = frame.close_code().map_or(NO_STATUS, u16::from);
        let reason = frame.close_reason().ok().flatten().unwrap_or_default();
        Self::new(code, reason)
    }

    /// What a failure to read the socket means.
    pub fn by_error(error: &WebSocketError) -> Self {
        match error {
            WebSocketError::FrameTooLarge => Self::new(TOO_BIG, "The message is too large"),
            WebSocketError::InvalidUTF8 => Self::new(NOT_UTF8, "The text is not UTF-8"),
            error if error.is_protocol_error() => Self::new(PROTOCOL, "The frame breaks the WebSocket protocol"),
            _ => Self::new(LOST, ""),
        }
    }

    /// The text of a message is not text.
    pub fn not_utf8() -> Self {
        Self::by_error(&WebSocketError::InvalidUTF8)
    }

    /// The close frame that says so. A code that never stands in a frame becomes an empty one.
    pub fn frame(&self) -> Frame {
        let code = CloseCode::from(self.code);
        if code.is_allowed() {
            Frame::close(code, cut(&self.reason))
        } else {
            Frame::close(CloseCode::Normal, "")
        }
    }

    /// The message that tells the service.
    pub fn event(self) -> FromStation {
        let closed = Closed {
            code: i32::from(self.code),
            reason: self.reason,
        };
        FromStation {
            event: Some(from_station::Event::Closed(closed)),
            ..Default::default()
        }
    }
}

impl From<Closed> for Closing {
    fn from(closed: Closed) -> Self {
        Self::new(u16::try_from(closed.code).unwrap_or_default(), closed.reason)
    }
}

fn cut(reason: &str) -> &str {
    let end = (0..=LONGEST_REASON.min(reason.len()))
        .rev()
        .find(|end| reason.is_char_boundary(*end));
    &reason[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let frame = Closing::new(1008, "ü".repeat(100)).frame();
        assert_eq!(frame.payload().len(), 2 + 122);
        assert_eq!(frame.close_code(), Some(CloseCode::Policy));
    }

    #[test]
    fn an_empty_close_frame_has_no_status() {
        assert_eq!(
            Closing::by_station(&Frame::text("").with_fin(true)),
            Closing::new(NO_STATUS, "")
        );
    }

    #[test]
    fn codes_that_never_stand_in_a_frame_are_not_sent() {
        for code in [0, NO_STATUS, LOST, 1015, 5000] {
            assert_eq!(
                Closing::new(code, "x").frame().close_code(),
                Some(CloseCode::Normal),
                "{code}"
            );
        }
    }
}
