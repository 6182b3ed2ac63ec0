//! What threatens a charge point's security: what it reports itself (A04), and what is noticed here when it, or whoever uses
//! its name, tries to connect. Both stand in one list.

mod list;
pub mod refused;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::reason;
use sqlx::{PgConnection, PgPool};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::security_event_service_server::SecurityEventService;
use voltgate_proto::ocpp::v1::{ListSecurityEventsRequest, ListSecurityEventsResponse};

use crate::State;
use crate::event::Kind;

/// Events of one charge point and origin that are kept; beyond them the oldest go. What a charge point reports, however much,
/// takes nothing away from what was noticed about it.
const MOST: i64 = 10_000;

/// Security events of the whitepaper's list (section 8) that are not critical.
const NOT_CRITICAL: [&str; 11] = [
    "FailedToAuthenticationAtCentralSystem",
    "CentralSystemFailedToAuthentication",
    "ReconfigurationOfSecurityParameters",
    "InvalidMessages",
    "AttemptedReplayAttacks",
    "InvalidFirmwareSignature",
    "InvalidFirmwareSigningCertificate",
    "InvalidCentralSystemCertificate",
    "InvalidChargePointCertificate",
    "InvalidTLSVersion",
    "InvalidTLSCipherSuite",
];

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl SecurityEventService for Grpc {
    async fn list_security_events(
        &self,
        request: Request<ListSecurityEventsRequest>,
    ) -> Result<Response<ListSecurityEventsResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let events = list::list(&self.0.database, page).await?;
        Ok(Response::new(events))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Station,
    Csms,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Station => "station",
            Self::Csms => "csms",
        }
    }
}

#[derive(Debug)]
pub struct SecurityEvent<'a> {
    pub charge_point: Uuid,
    pub origin: Origin,
    /// One of the whitepaper's list, or of the vendor's or our own.
    pub kind: &'a str,
    pub tech_info: Option<&'a str>,
    pub occurred_at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
}

/// Charge points push what is critical, so what is not in the list is taken for that.
fn is_critical(kind: &str) -> bool {
    !NOT_CRITICAL.contains(&kind)
}

pub async fn store(connection: &mut PgConnection, event: &SecurityEvent<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH stored AS (
             INSERT INTO ocpp.security_event (id, charge_point_id, origin, type, critical, tech_info, occurred_at,
                 received_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8))
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $8, $9, identity, site_id,
             json_build_object('type', $4::text, 'critical', $5::boolean, 'origin', $3::text)
         FROM ocpp.charge_point WHERE id = $2",
        Uuid::now_v7(),
        event.charge_point,
        event.origin.as_str(),
        event.kind,
        is_critical(event.kind),
        event.tech_info,
        event.occurred_at,
        event.received_at,
        Kind::SecurityEvent.as_str(),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM ocpp.security_event WHERE charge_point_id = $1 AND origin = $3 AND id <= (
             SELECT id FROM ocpp.security_event WHERE charge_point_id = $1 AND origin = $3
             ORDER BY id DESC OFFSET $2 LIMIT 1)",
        event.charge_point,
        MOST,
        event.origin.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Drops what is older than it is kept.
pub async fn prune(database: &PgPool, now: DateTime<Utc>, retention: TimeDelta) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM ocpp.security_event WHERE received_at < $1",
        now - retention
    )
    .execute(database)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_whitepaper_does_not_call_uncritical_is_critical() {
        assert!(is_critical("TamperDetectionActivated"));
        assert!(is_critical("SomethingOfTheVendor"));
        assert!(!is_critical("InvalidMessages"));
    }
}
