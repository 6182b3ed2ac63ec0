//! Notes what has happened for everybody who wants to be told, in the transaction that takes the event in.

use chrono::{DateTime, Utc};
use service_kit::event::{self, Event, Unreadable};
use sqlx::PgConnection;
use uuid::Uuid;
use voltgate_proto::events::v1::{CertificateExpiring, ChargePointFaulted, ChargePointOffline, Place};

use super::Kind;

/// Something that operators may want to be told of.
#[derive(Debug)]
pub(crate) struct Occurrence {
    kind: Kind,
    identity: String,
    place: Place,
    connector: Option<i32>,
    details: Option<String>,
    at: DateTime<Utc>,
}

impl Occurrence {
    pub fn offline(event: &Event) -> Result<Self, Unreadable> {
        let told: ChargePointOffline = event::decode(event)?;
        Self::of(event, Kind::Offline, told.identity, told.place)
    }

    pub fn faulted(event: &Event) -> Result<Self, Unreadable> {
        let told: ChargePointFaulted = event::decode(event)?;
        Ok(Self {
            // 0 is all of it.
            connector: Some(told.connector_id).filter(|connector| *connector != 0),
            details: Some(told.error_code),
            ..Self::of(event, Kind::Faulted, told.identity, told.place)?
        })
    }

    pub fn certificate_expiring(event: &Event) -> Result<Self, Unreadable> {
        let told: CertificateExpiring = event::decode(event)?;
        let ends_at = told.ends_at.and_then(event::instant).ok_or(Unreadable::Time)?;
        Ok(Self {
            details: Some(ends_at.format("%Y-%m-%d").to_string()),
            ..Self::of(event, Kind::CertificateExpiring, told.identity, told.place)?
        })
    }

    fn of(event: &Event, kind: Kind, identity: String, place: Option<Place>) -> Result<Self, Unreadable> {
        Ok(Self {
            kind,
            identity,
            place: place.unwrap_or_default(),
            connector: None,
            details: None,
            at: event::time(event)?,
        })
    }
}

/// Each subscription that it fits has it once. They are locked first: one that is deleted at this very moment is passed over then, and
/// does not make a good event look like one that can never be taken in.
pub(crate) async fn note(
    connection: &mut PgConnection,
    event_id: Uuid,
    occurrence: &Occurrence,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"WITH wanting AS (
               SELECT id FROM email.notice_subscription
               WHERE $2 = ANY(kinds) AND (charge_points = '{}' AND groups = '{}' OR $3 = ANY(charge_points) OR groups && $8)
               ORDER BY id FOR KEY SHARE)
           INSERT INTO email.notice (id, subscription_id, event_id, kind, identity, site_name, connector_id, details, at,
               noted_at)
           SELECT gen_random_uuid(), id, $1, $2, $3, $4, $9, $5, $6, $7 FROM wanting
           ON CONFLICT (subscription_id, event_id) DO NOTHING"#,
        event_id,
        occurrence.kind.as_str(),
        occurrence.identity,
        occurrence.place.site_name,
        occurrence.details,
        occurrence.at,
        now,
        &occurrence.place.groups,
        occurrence.connector,
    )
    .execute(connection)
    .await?;
    Ok(())
}
