//! Certificates of charge points that end soon.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::event::{self, timestamp};
use service_kit::outbox;
use sqlx::PgPool;
use voltgate_proto::events::v1::CertificateExpiring;

use super::feed::TellError;
use super::place::place;

/// Certificates of one transaction.
const AT_ONCE: i64 = 1000;

/// Tells of each once: of those that a charge point has accepted and that no newer one has replaced.
pub async fn tell(database: &PgPool, now: DateTime<Utc>, ahead: TimeDelta) -> Result<(), TellError> {
    while tell_some(database, now, ahead).await? {}
    Ok(())
}

/// Whether there may be more.
async fn tell_some(database: &PgPool, now: DateTime<Utc>, ahead: TimeDelta) -> Result<bool, TellError> {
    let mut transaction = database.begin().await?;
    let rows = sqlx::query!(
        r#"WITH newest AS (
             SELECT DISTINCT ON (issued.charge_point_id) issued.id, issued.not_after, issued.expiry_told_at
             FROM ocpp.issued_certificate AS issued JOIN ocpp.command ON command.id = issued.command_id
             JOIN ocpp.charge_point ON charge_point.id = issued.charge_point_id
             WHERE command.status = 'accepted' AND issued.void_since IS NULL AND charge_point.retired_at IS NULL
             ORDER BY issued.charge_point_id, issued.id DESC),
           told AS (
             UPDATE ocpp.issued_certificate AS issued SET expiry_told_at = $1
             WHERE id IN (SELECT id FROM newest WHERE not_after < $2 AND expiry_told_at IS NULL LIMIT $3)
               AND expiry_told_at IS NULL
             RETURNING charge_point_id, issued.serial_number, not_after)
           SELECT identity, told.serial_number, not_after AS "not_after!", site.id AS "site_id?", site.name AS "site_name?",
               groups AS "groups?: Vec<String>", time_zone AS "time_zone?"
           FROM told JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           LEFT JOIN ocpp.site ON site.id = site_id"#,
        now,
        now + ahead,
        AT_ONCE,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let may_be_more = i64::try_from(rows.len()).is_ok_and(|rows| rows == AT_ONCE);
    let events: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let expiring = CertificateExpiring {
                identity: row.identity,
                place: Some(place(row.site_id, row.site_name, row.groups, row.time_zone)),
                serial_number: row.serial_number.unwrap_or_default(),
                ends_at: Some(timestamp(row.not_after)),
            };
            event::new(crate::NAME, now, &expiring)
        })
        .collect();
    outbox::enqueue_all(&mut transaction, &events).await?;
    transaction.commit().await?;
    Ok(may_be_more)
}
