//! OCPP-J as a language: what a frame looks like, what a message may contain, how a payload reads.
//!
//! A CALL travels through this crate in four steps, and the caller sees each of them:
//!
//! 1. [`frame::Frame::parse`] takes the text apart without copying it. The payload stays raw JSON: it is the truth that
//!    is stored, whatever the later steps make of it.
//! 2. [`v1_6::Action::parse`] knows the action and who may send it.
//! 3. [`validate::validate`] holds the payload against the table of the version and lists every [`Violation`], each with
//!    the CALLERROR code that it deserves.
//! 4. `v1_6::StartTransaction::read` and its kin read the fields that a rule needs. They read as much as can be
//!    read: a start or a stop with a wrong field in it is still money. Whether a violation is answered with an error or only
//!    flagged is one question: [`v1_6::Action::tolerates_violations`].
//!
//! The other way: build a `v1_6` response, turn it into raw JSON with [`serde_json::value::to_raw_value`], validate it too,
//! and wrap it with [`frame::call_result`].
//!
//! ```
//! use ocpp::{Frame, Message, Version, frame, v1_6::StartTransaction, validate};
//!
//! let text = r#"[2,"7","StartTransaction",{"connectorId":1,"idTag":"04E1B2C3","meterStart":0}]"#;
//! let Frame::Call(call) = Frame::parse(text)? else { panic!("not a CALL") };
//!
//! let violations = validate(Version::V1_6, Message::Request(&call.action), call.payload);
//! assert_eq!(violations[0].to_string(), "$.timestamp is required");
//!
//! let start = StartTransaction::read(call.payload)?;
//! assert_eq!((start.meter_start, start.timestamp), (Some(0), None));
//!
//! let code = violations[0].error_code();
//! let refusal = frame::call_error(Version::V1_6, &call.id, code, &violations[0].to_string(), None);
//! assert_eq!(refusal, r#"[4,"7","OccurenceConstraintViolation","$.timestamp is required",{}]"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate knows no socket, no clock, no database and no session; whether a message is *allowed* now is not its business.
//!
//! 2.0.1 and 2.1 will each bring a [`Version`], a module beside [`v1_6`] and a table; frames and the validator are shared.

pub mod error_code;
pub mod fields;
pub mod frame;
mod json;
pub mod timestamp;
pub mod v1_6;
pub mod validate;
pub mod version;

pub use error_code::ErrorCode;
pub use fields::{Fields, Unreadable};
pub use frame::{Frame, MalformedFrame};
pub use validate::{Message, Violation, ViolationKind, validate};
pub use version::Version;
