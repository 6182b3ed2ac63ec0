//! FirmwareStatusNotification (4.5): how a firmware update gets on.

use ocpp::v1_6::StatusOnly;
use sqlx::PgConnection;

use super::Failure;
use crate::job::Kind;
use crate::job::notification::{Notification, notified};
use crate::session::answer::{Answer, Incoming};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let request = StatusOnly::read(call.payload)?;
    let notification = Notification {
        charge_point: call.charge_point,
        kind: Kind::Firmware,
        request_id: None,
        status: &request.status,
        received_at: call.received_at,
    };
    notified(connection, &notification).await?;
    Answer::empty()
}
