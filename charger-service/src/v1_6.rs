//! OCPP 1.6: what a charge point may ask, and what it is answered.
//!
//! Each action has a file that decodes its payload, calls the rule that all versions share, and encodes the answer.
//! Nothing is decided here but what 1.6 itself decides: who may send what, and which error code a fault deserves.

mod authorize;
mod boot_gate;
mod boot_notification;
mod data_transfer;
pub mod effect;
mod heartbeat;
mod id_tag_info;
mod job_status;
pub mod local_list;
mod meter_values;
pub mod narration;
pub mod outcome;
mod question;
pub mod routine;
mod samples;
mod security_event_notification;
mod sign_certificate;
mod start_transaction;
mod status_notification;
mod stop_transaction;
pub mod stray;
pub mod template;
pub mod verb;

use chrono::{DateTime, Utc};
use ocpp::v1_6::Action;
use ocpp::{ErrorCode, Fields, Message, Unreadable, Version, Violation, validate};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sqlx::PgConnection;
use thiserror::Error;

use self::boot_gate::Passage;
use self::job_status::Kind as JobKind;
pub use self::question::{is_decided_by_others, question};
use crate::session::answer::{Answer, Incoming, Reply};

/// Whether an action tells of a transaction: what it says is true on whichever connection it comes in.
pub fn is_transaction_fact(action: &str) -> bool {
    matches!(
        Action::parse(action),
        Some(Action::MeterValues | Action::StartTransaction | Action::StopTransaction)
    )
}

/// The present time by the charge point's clock, where a message tells it.
pub fn told_time(action: &str, payload: &RawValue) -> Option<DateTime<Utc>> {
    let tells = matches!(
        Action::parse(action)?,
        Action::SecurityEventNotification
            | Action::StartTransaction
            | Action::StatusNotification
            | Action::StopTransaction
    );
    tells.then(|| Fields::of(payload).time("timestamp"))?
}

/// Why a handler has no answer of its own.
#[derive(Debug, Error)]
enum Failure {
    /// What the rule needs cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("the answer cannot be written")]
    Encode(#[from] serde_json::Error),
}

/// What is wrong with anything else that a charge point says (rule 2 of the OCPP decisions).
const NEVER_BOOTED: &str = "the charge point has never sent a BootNotification here";

/// Answers a CALL. What it changes is part of the connection's transaction.
///
/// # Errors
/// The database failed, and with it the CALL: the station should ask again.
pub async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, sqlx::Error> {
    let Some(action) = Action::parse(call.action) else {
        return Ok(Answer::refused(
            ErrorCode::NotImplemented,
            "OCPP 1.6 has no such action",
        ));
    };
    if !action.is_for_csms() {
        return Ok(Answer::refused(
            ErrorCode::NotSupported,
            "a central system sends this, it does not answer it",
        ));
    }
    match boot_gate::passage(connection, action, call).await? {
        Passage::Granted => admitted(connection, action, call).await,
        Passage::Unregistered => {
            let answer = admitted(connection, action, call).await?;
            Ok(answer.flagged([NEVER_BOOTED.to_owned()]))
        }
        Passage::Denied => Ok(Answer::refused(
            ErrorCode::SecurityError,
            "the charge point has not been accepted",
        )),
    }
}

/// Answers what the boot gate has let through.
async fn admitted(connection: &mut PgConnection, action: Action, call: &Incoming<'_>) -> Result<Answer, sqlx::Error> {
    let violations = validate(Version::V1_6, Message::Request(action.as_str()), call.payload);
    if let (Some(first), false) = (violations.first(), action.tolerates_violations()) {
        let refusal = Answer::refused(first.error_code(), &first.to_string());
        return Ok(refusal.flagged(violations.iter().map(Violation::to_string)));
    }
    let answer = match dispatch(connection, action, call).await {
        Ok(answer) => checked(action, answer),
        Err(Failure::Database(error)) => return Err(error),
        Err(Failure::Unreadable(unreadable)) => unreadable_field(unreadable, &violations),
        Err(Failure::Encode(error)) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                action = action.as_str(),
                "An answer could not be written"
            );
            Answer::failed()
        }
    };
    Ok(answer.flagged(violations.iter().map(Violation::to_string)))
}

/// Everything that a charge point can ask.
async fn dispatch(connection: &mut PgConnection, action: Action, call: &Incoming<'_>) -> Result<Answer, Failure> {
    match action {
        Action::Authorize => authorize::answer(connection, call).await,
        Action::BootNotification => boot_notification::answer(connection, call).await,
        Action::DataTransfer => data_transfer::answer(call),
        Action::DiagnosticsStatusNotification => job_status::answer(connection, JobKind::Diagnostics, call).await,
        Action::FirmwareStatusNotification => job_status::answer(connection, JobKind::Firmware, call).await,
        Action::Heartbeat => heartbeat::answer(call),
        Action::MeterValues => meter_values::answer(connection, call).await,
        Action::StartTransaction => start_transaction::answer(connection, call).await,
        Action::StatusNotification => status_notification::answer(connection, call).await,
        Action::StopTransaction => stop_transaction::answer(connection, call).await,
        // The security extension.
        Action::SecurityEventNotification => security_event_notification::answer(connection, call).await,
        Action::SignCertificate => sign_certificate::answer(connection, call).await,
        Action::LogStatusNotification => job_status::answer(connection, JobKind::Log, call).await,
        Action::SignedFirmwareStatusNotification => job_status::answer(connection, JobKind::SignedFirmware, call).await,
        Action::CancelReservation
        | Action::CertificateSigned
        | Action::ChangeAvailability
        | Action::ChangeConfiguration
        | Action::ClearCache
        | Action::ClearChargingProfile
        | Action::DeleteCertificate
        | Action::ExtendedTriggerMessage
        | Action::GetCompositeSchedule
        | Action::GetConfiguration
        | Action::GetDiagnostics
        | Action::GetInstalledCertificateIds
        | Action::GetLocalListVersion
        | Action::GetLog
        | Action::InstallCertificate
        | Action::RemoteStartTransaction
        | Action::RemoteStopTransaction
        | Action::ReserveNow
        | Action::Reset
        | Action::SendLocalList
        | Action::SetChargingProfile
        | Action::SignedUpdateFirmware
        | Action::TriggerMessage
        | Action::UnlockConnector
        | Action::UpdateFirmware => Ok(Answer::refused(
            ErrorCode::NotSupported,
            "a central system sends this, it does not answer it",
        )),
    }
}

impl Answer {
    fn result(payload: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self::new(Reply::Result(to_raw_value(payload)?)))
    }

    fn empty() -> Result<Self, Failure> {
        Ok(Self::new(Reply::Result(RawValue::from_string("{}".to_owned())?)))
    }
}

/// What we send is held against the specification too: better an honest error than an answer that a station chokes on.
fn checked(action: Action, answer: Answer) -> Answer {
    let Reply::Result(payload) = &answer.reply else {
        return answer;
    };
    match validate(Version::V1_6, Message::Response(action.as_str()), payload).first() {
        None => answer,
        Some(violation) => {
            tracing::error!(%violation, action = action.as_str(), "An answer of ours breaks the specification");
            Answer::failed()
        }
    }
}

/// The validator has seen the same field, and knows which error code it deserves.
fn unreadable_field(unreadable: Unreadable, violations: &[Violation]) -> Answer {
    let path = format!("$.{}", unreadable.field);
    match violations.iter().find(|violation| violation.path == path) {
        Some(violation) => Answer::refused(violation.error_code(), &violation.to_string()),
        None => Answer::refused(ErrorCode::FormatViolation, &unreadable.to_string()),
    }
}
