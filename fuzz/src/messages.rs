//! Payloads of OCPP 1.6: the validator and the decoders agree about every one of them. The first byte of the input chooses
//! the action, the rest is the payload. It is read as the action's request, whoever sends that, and as a station's answer.

use ocpp::v1_6::{
    Action, Authorize, BootNotification, CancelReservation, ChangeAvailability, ChangeConfiguration,
    ClearChargingProfile, CompositeSchedule, Configuration, DataTransfer, FileName, GetCompositeSchedule,
    GetConfiguration, LocalListVersion, LogFile, MeterValues, NumberedTransfer, RemoteStartTransaction, ReserveNow,
    SecurityEventNotification, SendLocalList, SetChargingProfile, SignCertificate, StartTransaction,
    StatusNotification, StatusOnly, StopTransaction, Transfer, TransferStatus,
};
use ocpp::validate::{MAX_VIOLATIONS, ViolationKind};
use ocpp::{ErrorCode, Message, Unreadable, Version, Violation, validate};
use serde_json::value::RawValue;

/// # Panics
/// Something that must hold does not.
pub fn messages(input: &[u8]) {
    let Some((&choice, payload)) = input.split_first() else {
        return;
    };
    let action = Action::ALL[usize::from(choice) % Action::ALL.len()];
    let Ok(payload) = serde_json::from_slice::<&RawValue>(payload) else {
        return;
    };
    // A frame with any other payload is malformed, and never comes so far.
    if !matches!(payload.get().as_bytes().first(), Some(b'{' | b'n')) {
        return;
    }
    let request = validate(Version::V1_6, Message::Request(action.as_str()), payload);
    agree(action, payload, &request, read_request(action, payload));
    let answer = validate(Version::V1_6, Message::Response(action.as_str()), payload);
    agree(action, payload, &answer, read_answer(action, payload));
}

/// What cannot be read has a violation, from which the CALLERROR takes its code.
fn agree(action: Action, payload: &RawValue, violations: &[Violation], read: Result<(), Unreadable>) {
    judge(violations);
    let Err(unreadable) = read else { return };
    let end = format!(".{}", unreadable.field);
    // A list that is full does not hold everything.
    assert!(
        violations.len() == MAX_VIOLATIONS || violations.iter().any(|violation| violation.path.ends_with(&end)),
        "{action:?} {payload}: {unreadable}, and the validator finds {violations:?}"
    );
}

fn read_request(action: Action, payload: &RawValue) -> Result<(), Unreadable> {
    match action {
        Action::Authorize => Authorize::read(payload).map(drop),
        Action::BootNotification => {
            BootNotification::read(payload);
            Ok(())
        }
        Action::CancelReservation => CancelReservation::read(payload).map(drop),
        Action::ChangeAvailability => ChangeAvailability::read(payload).map(drop),
        Action::ChangeConfiguration => ChangeConfiguration::read(payload).map(drop),
        Action::ClearChargingProfile => {
            ClearChargingProfile::read(payload);
            Ok(())
        }
        Action::DataTransfer => DataTransfer::read(payload).map(drop),
        Action::DiagnosticsStatusNotification | Action::FirmwareStatusNotification => {
            StatusOnly::read(payload).map(drop)
        }
        Action::GetCompositeSchedule => GetCompositeSchedule::read(payload).map(drop),
        Action::GetConfiguration => {
            GetConfiguration::read(payload);
            Ok(())
        }
        Action::GetDiagnostics | Action::UpdateFirmware => Transfer::read(payload).map(drop),
        Action::GetLog => NumberedTransfer::of_log(payload).map(drop),
        Action::LogStatusNotification | Action::SignedFirmwareStatusNotification => {
            TransferStatus::read(payload).map(drop)
        }
        Action::MeterValues => {
            MeterValues::read(payload);
            Ok(())
        }
        Action::RemoteStartTransaction => RemoteStartTransaction::read(payload).map(drop),
        Action::ReserveNow => ReserveNow::read(payload).map(drop),
        Action::SecurityEventNotification => SecurityEventNotification::read(payload).map(drop),
        Action::SendLocalList => SendLocalList::read(payload).map(drop),
        Action::SetChargingProfile => SetChargingProfile::read(payload).map(drop),
        Action::SignCertificate => SignCertificate::read(payload).map(drop),
        Action::SignedUpdateFirmware => NumberedTransfer::of_firmware(payload).map(drop),
        Action::StartTransaction => StartTransaction::read(payload).map(drop),
        Action::StatusNotification => StatusNotification::read(payload).map(drop),
        Action::StopTransaction => {
            StopTransaction::read(payload);
            Ok(())
        }
        // No rule reads these.
        Action::CertificateSigned
        | Action::ClearCache
        | Action::DeleteCertificate
        | Action::ExtendedTriggerMessage
        | Action::GetInstalledCertificateIds
        | Action::GetLocalListVersion
        | Action::Heartbeat
        | Action::InstallCertificate
        | Action::RemoteStopTransaction
        | Action::Reset
        | Action::TriggerMessage
        | Action::UnlockConnector => Ok(()),
    }
}

fn read_answer(action: Action, payload: &RawValue) -> Result<(), Unreadable> {
    match action {
        Action::CancelReservation
        | Action::CertificateSigned
        | Action::ChangeAvailability
        | Action::ChangeConfiguration
        | Action::ClearCache
        | Action::ClearChargingProfile
        | Action::DataTransfer
        | Action::DeleteCertificate
        | Action::ExtendedTriggerMessage
        | Action::GetInstalledCertificateIds
        | Action::InstallCertificate
        | Action::RemoteStartTransaction
        | Action::RemoteStopTransaction
        | Action::ReserveNow
        | Action::Reset
        | Action::SendLocalList
        | Action::SetChargingProfile
        | Action::SignedUpdateFirmware
        | Action::TriggerMessage
        | Action::UnlockConnector => StatusOnly::read(payload).map(drop),
        Action::GetCompositeSchedule => {
            CompositeSchedule::read(payload);
            StatusOnly::read(payload).map(drop)
        }
        Action::GetConfiguration => {
            Configuration::read(payload);
            Ok(())
        }
        Action::GetDiagnostics => {
            FileName::read(payload);
            Ok(())
        }
        Action::GetLocalListVersion => LocalListVersion::read(payload).map(drop),
        Action::GetLog => {
            LogFile::read(payload);
            StatusOnly::read(payload).map(drop)
        }
        // It says nothing, or we answer it.
        Action::UpdateFirmware
        | Action::Authorize
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

/// Every fault has the code of its kind, and a place in the payload. The first one's answers the CALL.
fn judge(violations: &[Violation]) {
    for violation in violations {
        assert!(violation.path.starts_with('$'), "{violation}");
        let code = match violation.kind {
            ViolationKind::UnknownAction => panic!("{violation}: every action has a table"),
            ViolationKind::MissingField | ViolationKind::TooFewItems => ErrorCode::OccurrenceConstraintViolation,
            ViolationKind::WrongType => ErrorCode::TypeConstraintViolation,
            ViolationKind::NotInEnum
            | ViolationKind::TooLong
            | ViolationKind::OutOfRange
            | ViolationKind::TooPrecise
            | ViolationKind::BadDateTime => ErrorCode::PropertyConstraintViolation,
        };
        assert_eq!(violation.error_code(), code, "{violation}");
    }
}
