//! SecurityEventNotification (A04): something that threatens the charge point's security.

use ocpp::v1_6::SecurityEventNotification;
use sqlx::PgConnection;

use super::Failure;
use crate::security_event::{self, Origin, SecurityEvent};
use crate::session::answer::{Answer, Incoming};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let request = SecurityEventNotification::read(call.payload)?;
    let event = SecurityEvent {
        charge_point: call.charge_point,
        origin: Origin::Station,
        kind: &request.kind,
        tech_info: request.tech_info.as_deref(),
        occurred_at: request.timestamp.unwrap_or(call.received_at),
        received_at: call.received_at,
    };
    security_event::store(connection, &event).await?;
    Answer::empty()
}
