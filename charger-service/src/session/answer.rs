//! A charge point's CALL on its way to the rules, and what comes back: the same for every version.

use chrono::{DateTime, Utc};
use ocpp::ErrorCode;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::certificate::issue::Issuance;
use crate::session::advice::Advice;

/// A CALL, with what its handler needs to know of the session.
#[derive(Debug)]
pub struct Incoming<'a> {
    pub charge_point: Uuid,
    /// The serial number in the certificate that it has shown.
    pub certified_serial_number: Option<&'a str>,
    pub message_id: &'a str,
    pub action: &'a str,
    pub payload: &'a RawValue,
    pub received_at: DateTime<Utc>,
    /// It came in on a connection that has a successor.
    pub is_late: bool,
    /// The charge point is out of use by now, or another device has its place. Known of what is late, and of what was posted.
    pub is_gone: bool,
    pub intervals: Intervals,
    pub issuance: &'a Issuance,
    /// What others said about it.
    pub advice: &'a Advice,
}

/// What a charge point is told about when to call again.
#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    pub heartbeat_seconds: u32,
    /// Until the next BootNotification of one that was not accepted.
    pub boot_retry_seconds: u32,
}

#[derive(Debug)]
pub struct Answer {
    pub reply: Reply,
    /// What was wrong with the CALL although it was accepted; for the message log.
    pub flags: Vec<String>,
    /// Why the socket is closed after the answer.
    pub bars: Option<&'static str>,
}

#[derive(Debug)]
pub enum Reply {
    Result(Box<RawValue>),
    Error { code: ErrorCode, description: String },
}

impl Answer {
    pub fn new(reply: Reply) -> Self {
        Self {
            reply,
            flags: Vec::new(),
            bars: None,
        }
    }

    /// A CALLERROR that the charge point has given cause for.
    pub fn refused(code: ErrorCode, description: &str) -> Self {
        Self::new(Reply::Error {
            code,
            description: description.to_owned(),
        })
    }

    /// A CALLERROR that it has not: it should try again.
    pub fn failed() -> Self {
        Self::refused(ErrorCode::InternalError, "something went wrong on our side")
    }

    pub fn flagged(mut self, flags: impl IntoIterator<Item = String>) -> Self {
        self.flags.extend(flags);
        self
    }

    /// The socket is closed after it, for a reason that a close frame has room for.
    pub fn barring(mut self, reason: &'static str) -> Self {
        self.bars = Some(reason);
        self
    }
}
