//! What a charge point's answers change.
//!
//! A command's outcome and its effect are one transaction: either both are there, or the charge point's answer comes in
//! again. Only what the charge point agreed to, or told, has an effect; what it thinks of the rest stays with the command. Of
//! both payloads, what is secret has been hidden before they get here.

mod certificate;

use chrono::{DateTime, Utc};
use ocpp::Unreadable;
use ocpp::v1_6::{
    Action, CancelReservation, ChangeAvailability, ChangeConfiguration, ClearChargingProfile, CompositeSchedule,
    Configuration, FileName, GetCompositeSchedule, GetConfiguration, LocalListVersion, LogFile, NumberedTransfer,
    RemoteStartTransaction, ReserveNow, SendLocalList, SetChargingProfile, StatusOnly, Transfer,
};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::availability::{self, Availability};
use crate::charge_point::{rotation, security_profile};
use crate::charging_profile::clear::cleared;
use crate::charging_profile::composite;
use crate::charging_profile::set::{Set, set};
use crate::charging_profile_template::place;
use crate::configuration::change::{self, Change, change};
use crate::configuration::report::{Report, report};
use crate::configuration_change::ConfigurationChange;
use crate::job::request::{Requested, requested};
use crate::job::{Kind, answer};
use crate::local_list::send::{Sent, sent};
use crate::local_list::{synchronize, version};
use crate::redact;
use crate::reservation::cancel::cancelled;
use crate::reservation::reserve::{Reserved, reserved};
use crate::v1_6::local_list::Update;

/// A CALL of ours.
#[derive(Debug)]
pub struct Asked<'a> {
    pub charge_point: Uuid,
    pub command: Uuid,
    pub action: &'a str,
    pub payload: &'a RawValue,
    /// When this happens to it.
    pub at: DateTime<Utc>,
}

/// Why an answer has no effect.
#[derive(Debug, thiserror::Error)]
enum NoEffect {
    /// The command keeps the answer; nothing more can be made of it.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// What changes when a CALL leaves: part of the transaction that marks it sent.
pub async fn of_leaving(connection: &mut PgConnection, call: &Asked<'_>) -> Result<(), sqlx::Error> {
    let numbered = |transfer: NumberedTransfer| (transfer.location, Some(transfer.request_id));
    let unnumbered = |transfer: Transfer| (transfer.location, None);
    let (kind, transfer) = match call.action {
        "ChangeConfiguration" => return configuration_leaves(connection, call).await,
        "UpdateFirmware" => (Kind::Firmware, Transfer::read(call.payload).map(unnumbered)),
        "SignedUpdateFirmware" => (
            Kind::Firmware,
            NumberedTransfer::of_firmware(call.payload).map(numbered),
        ),
        "GetDiagnostics" => (Kind::Diagnostics, Transfer::read(call.payload).map(unnumbered)),
        "GetLog" => (Kind::Log, NumberedTransfer::of_log(call.payload).map(numbered)),
        _ => return Ok(()),
    };
    // It was held against the specification when it was queued.
    let Ok((location, request_id)) = transfer else {
        return Ok(());
    };
    let job = Requested {
        charge_point: call.charge_point,
        command: call.command,
        kind,
        request_id,
        location: &location,
        at: call.at,
    };
    requested(connection, &job).await
}

/// A password was kept when it left, in the clear for the last time (`rotation::leaves`).
async fn configuration_leaves(connection: &mut PgConnection, call: &Asked<'_>) -> Result<(), sqlx::Error> {
    match ConfigurationChange::read(call.action, call.payload) {
        Some(ConfigurationChange::SecurityProfile(profile)) => {
            security_profile::offered(connection, call.charge_point, profile).await
        }
        Some(ConfigurationChange::Password(_)) | None => Ok(()),
    }
}

/// An answer that is no CALLRESULT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    CallError,
    /// It cannot be read: nobody knows what the charge point did.
    Unreadable,
}

/// What changes when a CALL is answered with a CALLERROR, or with nothing that can be read.
pub async fn of_error(connection: &mut PgConnection, call: &Asked<'_>, failed: Failed) -> Result<(), sqlx::Error> {
    match call.action {
        action if begins_job(action) => answer::rejected(connection, call.command, None, call.at).await,
        "ChangeConfiguration" if failed == Failed::CallError => {
            match ConfigurationChange::read(call.action, call.payload) {
                Some(ConfigurationChange::Password(_)) => rotation::refused(connection, call.command).await,
                Some(ConfigurationChange::SecurityProfile(profile)) => {
                    security_profile::refused(connection, call.charge_point, profile).await
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// What changes when a CALL is answered with a CALLRESULT.
pub async fn of_result(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), sqlx::Error> {
    let Some(action) = Action::parse(call.action) else {
        return Ok(());
    };
    match apply(connection, action, call, response).await {
        Ok(()) => Ok(()),
        Err(NoEffect::Database(error)) => Err(error),
        Err(NoEffect::Unreadable(unreadable)) => {
            tracing::warn!(%unreadable, action = call.action, command = %call.command, "An answer has no effect");
            // The command is an error, and nobody knows of a job.
            if begins_job(call.action) {
                answer::rejected(connection, call.command, None, call.at).await?;
            }
            Ok(())
        }
    }
}

fn begins_job(action: &str) -> bool {
    matches!(
        action,
        "UpdateFirmware" | "GetDiagnostics" | "SignedUpdateFirmware" | "GetLog"
    )
}

/// Everything that a charge point can be asked.
async fn apply(
    connection: &mut PgConnection,
    action: Action,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    match action {
        Action::CancelReservation => cancel_reservation(connection, call, response).await,
        Action::ChangeAvailability => change_availability(connection, call, response).await,
        Action::ChangeConfiguration => change_configuration(connection, call, response).await,
        Action::ClearChargingProfile => clear_charging_profile(connection, call, response).await,
        Action::GetCompositeSchedule => get_composite_schedule(connection, call, response).await,
        Action::GetConfiguration => get_configuration(connection, call, response).await,
        Action::GetDiagnostics => {
            let file = FileName::read(response);
            Ok(answer::accepted(connection, call.command, file.file_name.as_deref(), call.at).await?)
        }
        Action::GetLocalListVersion => {
            let told = LocalListVersion::read(response)?;
            version::reported(connection, call.charge_point, told.version, call.at).await?;
            Ok(synchronize::look_again(connection, call.charge_point, call.at).await?)
        }
        Action::RemoteStartTransaction => remote_start_transaction(connection, call, response).await,
        Action::ReserveNow => reserve_now(connection, call, response).await,
        Action::SendLocalList => send_local_list(connection, call, response).await,
        Action::SetChargingProfile => set_charging_profile(connection, call, response).await,
        Action::UpdateFirmware => Ok(answer::accepted(connection, call.command, None, call.at).await?),
        // What follows from these the charge point tells by itself; the answer stays with the command.
        Action::ClearCache
        | Action::DataTransfer
        | Action::ExtendedTriggerMessage
        | Action::RemoteStopTransaction
        | Action::Reset
        | Action::TriggerMessage
        | Action::UnlockConnector => Ok(()),
        Action::GetLog => {
            let file = LogFile::read(response);
            numbered_transfer(connection, call, response, file.file_name.as_deref()).await
        }
        Action::SignedUpdateFirmware => numbered_transfer(connection, call, response, None).await,
        Action::CertificateSigned => certificate::signed(connection, call, response).await,
        Action::DeleteCertificate => certificate::deleted(connection, call, response).await,
        Action::GetInstalledCertificateIds => certificate::listed(connection, call, response).await,
        Action::InstallCertificate => certificate::installed(connection, call, response).await,
        // Charge points send these.
        Action::Authorize
        | Action::BootNotification
        | Action::DiagnosticsStatusNotification
        | Action::FirmwareStatusNotification
        | Action::Heartbeat
        | Action::LogStatusNotification
        | Action::MeterValues
        | Action::SecurityEventNotification
        | Action::SignCertificate
        | Action::SignedFirmwareStatusNotification
        | Action::StartTransaction
        | Action::StatusNotification
        | Action::StopTransaction => Ok(()),
    }
}

async fn cancel_reservation(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    let request = CancelReservation::read(call.payload)?;
    if accepted(response)? {
        cancelled(connection, call.charge_point, request.reservation_id, call.at).await?;
    }
    Ok(())
}

async fn change_availability(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    let request = ChangeAvailability::read(call.payload)?;
    let availability = Availability {
        charge_point: call.charge_point,
        connector_id: request.connector_id,
        desired: &request.r#type,
        answer: &StatusOnly::read(response)?.status,
        at: call.at,
    };
    Ok(availability::store(connection, &availability).await?)
}

async fn change_configuration(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    let request = ChangeConfiguration::read(call.payload)?;
    let status = StatusOnly::read(response)?.status;
    match ConfigurationChange::read(call.action, call.payload) {
        // Its value is gone from the ledger; what it was is kept as a hash.
        Some(ConfigurationChange::Password(_)) => {
            rotation::answered(connection, call.charge_point, call.command, &status).await?;
        }
        Some(ConfigurationChange::SecurityProfile(profile)) => {
            security_profile::answered(connection, call.charge_point, profile, &status).await?;
        }
        None => {}
    }
    if redact::is_secret(&request.key) {
        // Credentials, not configuration.
        return Ok(());
    }
    let Some(answer) = change::Answer::parse(&status) else {
        return Ok(());
    };
    let changed = Change {
        charge_point: call.charge_point,
        command: call.command,
        key: &request.key,
        value: &request.value,
        answer,
        at: call.at,
    };
    Ok(change(connection, &changed).await?)
}

/// `Unknown` says that there was none, so that none is left either.
async fn clear_charging_profile(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    if matches!(&*StatusOnly::read(response)?.status, "Accepted" | "Unknown") {
        cleared(connection, call.charge_point, &ClearChargingProfile::read(call.payload)).await?;
    }
    Ok(())
}

async fn get_composite_schedule(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    let request = GetCompositeSchedule::read(call.payload)?;
    if accepted(response)? {
        let told = CompositeSchedule::read(response);
        let reported = composite::Reported {
            charge_point: call.charge_point,
            connector_id: request.connector_id,
            duration_seconds: request.duration,
            starts_at: told.start,
            schedule: told.json,
            at: call.at,
        };
        composite::reported(connection, &reported).await?;
    }
    Ok(())
}

async fn get_configuration(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    let told = Configuration::read(response);
    let reported = Report {
        charge_point: call.charge_point,
        known: told.known,
        unknown: told.unknown,
        complete: GetConfiguration::read(call.payload).keys.is_empty(),
        at: call.at,
    };
    Ok(report(connection, reported).await?)
}

/// The transaction is the charge point's to report; the profile for it will not be told of again.
async fn remote_start_transaction(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    let request = RemoteStartTransaction::read(call.payload)?;
    if let (Some(profile), true) = (&request.profile, accepted(response)?) {
        let brought = Set {
            charge_point: call.charge_point,
            connector_id: request.connector_id,
            profile,
            id_tag: Some(&request.id_tag),
            at: call.at,
        };
        set(connection, &brought).await?;
    }
    Ok(())
}

async fn reserve_now(connection: &mut PgConnection, call: &Asked<'_>, response: &RawValue) -> Result<(), NoEffect> {
    let answered = Reserved {
        id: call.command,
        charge_point: call.charge_point,
        request: &ReserveNow::read(call.payload)?,
        answer: &StatusOnly::read(response)?.status,
        at: call.at,
    };
    Ok(reserved(connection, &answered).await?)
}

async fn send_local_list(connection: &mut PgConnection, call: &Asked<'_>, response: &RawValue) -> Result<(), NoEffect> {
    let (list, answer) = (SendLocalList::read(call.payload)?, StatusOnly::read(response)?.status);
    let answered = Sent {
        charge_point: call.charge_point,
        list: &list,
        answer: &answer,
        at: call.at,
    };
    sent(connection, &answered).await?;
    let update = match list.full {
        true => Update::Full,
        false => Update::Differential,
    };
    Ok(synchronize::answered(connection, call.charge_point, call.command, update, &answer, call.at).await?)
}

async fn set_charging_profile(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    let request = SetChargingProfile::read(call.payload)?;
    if accepted(response)? {
        let confirmed = Set {
            charge_point: call.charge_point,
            connector_id: Some(request.connector_id),
            profile: &request.profile,
            id_tag: None,
            at: call.at,
        };
        set(connection, &confirmed).await?;
        place::confirmed(connection, call.command, call.at).await?;
    }
    Ok(())
}

/// L01, N01: a newer transfer may cancel the one that is under way.
async fn numbered_transfer(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
    file_name: Option<&str>,
) -> Result<(), NoEffect> {
    match StatusOnly::read(response)?.status.as_str() {
        "Accepted" => answer::accepted(connection, call.command, file_name, call.at).await?,
        "AcceptedCanceled" => {
            answer::canceled_earlier(connection, call.command, call.at).await?;
            answer::accepted(connection, call.command, file_name, call.at).await?;
        }
        // `InvalidCertificate` and `RevokedCertificate` say what is wrong with the firmware's.
        why => answer::rejected(connection, call.command, Some(why), call.at).await?,
    }
    Ok(())
}

fn accepted(response: &RawValue) -> Result<bool, Unreadable> {
    Ok(StatusOnly::read(response)?.status == "Accepted")
}
