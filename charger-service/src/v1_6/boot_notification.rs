//! BootNotification (4.3): a charge point introduces itself and learns whether it takes part.

use ocpp::ErrorCode;
use ocpp::v1_6::{BootNotification, BootNotificationResponse, RegistrationStatus};
use sqlx::PgConnection;

use super::Failure;
use crate::boot::{self, Boot, Booted, Registration};
use crate::session::answer::{Answer, Incoming};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let request = BootNotification::read(call.payload);
    let boot = Boot {
        vendor: request.charge_point_vendor,
        model: request.charge_point_model,
        serial_number: request.charge_point_serial_number,
        charge_box_serial: request.charge_box_serial_number,
        firmware_version: request.firmware_version,
        iccid: request.iccid,
        imsi: request.imsi,
        meter_type: request.meter_type,
        meter_serial: request.meter_serial_number,
    };
    let booted = boot::boot(
        connection,
        call.charge_point,
        call.certified_serial_number,
        &boot,
        call.received_at,
    );
    let answer = match booted.await? {
        Booted::Answered(answer) => answer,
        Booted::AnotherSerialNumber => {
            let why = "the serial number is not the one in the certificate";
            return Ok(Answer::refused(ErrorCode::SecurityError, why).barring(why));
        }
    };
    let (status, interval) = match answer.registration {
        Registration::Accepted => (RegistrationStatus::Accepted, call.intervals.heartbeat_seconds),
        Registration::Pending => (RegistrationStatus::Pending, call.intervals.boot_retry_seconds),
        Registration::Rejected => (RegistrationStatus::Rejected, call.intervals.boot_retry_seconds),
    };
    let interval = answer.interval_seconds.unwrap_or(interval);
    let response = BootNotificationResponse::new(status, call.received_at, interval);
    Answer::result(&response)
}
