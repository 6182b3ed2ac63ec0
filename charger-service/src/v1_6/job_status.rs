//! DiagnosticsStatusNotification (4.4), FirmwareStatusNotification (4.5), and of the security extension LogStatusNotification (N01)
//! and SignedFirmwareStatusNotification (L01): how a job gets on.

use ocpp::v1_6::{StatusOnly, TransferStatus};
use sqlx::PgConnection;

use super::Failure;
use crate::job;
use crate::job::notification::{Notification, notified};
use crate::session::answer::{Answer, Incoming};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Diagnostics,
    Firmware,
    Log,
    SignedFirmware,
}

impl Kind {
    fn of_job(self) -> job::Kind {
        match self {
            Self::Diagnostics => job::Kind::Diagnostics,
            Self::Firmware | Self::SignedFirmware => job::Kind::Firmware,
            Self::Log => job::Kind::Log,
        }
    }

    /// Those of the security extension say which job they are about.
    fn read(self, call: &Incoming<'_>) -> Result<TransferStatus, Failure> {
        Ok(match self {
            Self::Diagnostics | Self::Firmware => TransferStatus {
                status: StatusOnly::read(call.payload)?.status,
                request_id: None,
            },
            Self::Log | Self::SignedFirmware => TransferStatus::read(call.payload)?,
        })
    }
}

pub(super) async fn answer(connection: &mut PgConnection, kind: Kind, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let told = kind.read(call)?;
    let notification = Notification {
        charge_point: call.charge_point,
        kind: kind.of_job(),
        request_id: told.request_id,
        status: &told.status,
        received_at: call.received_at,
    };
    notified(connection, &notification).await?;
    Answer::empty()
}
