//! Ends the connection of a charge point, whichever replica owns it: what an operator has decided leaves nobody who was let in
//! before.
//!
//! It is what a newer connection does to an older one, without the newer one: the session gets an epoch that nobody has. So a
//! stale session is fenced off from here on whether or not its replica has heard, and what it still says of transactions is
//! true all the same.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::fence::Via;
use crate::command::ledger::ending;
use crate::event::Kind;
use crate::notice::{Notice, tell};

/// Whoever calls has locked the charge point for itself (`charge_point::hold`), so that no connection comes to be meanwhile.
/// The event names it as it is then.
pub async fn end(connection: &mut PgConnection, charge_point: Uuid, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let epoch = sqlx::query_scalar!(
        r#"WITH before AS (SELECT disconnected_at FROM ocpp.session WHERE charge_point_id = $1 FOR UPDATE),
         ended AS (
             UPDATE ocpp.session
             SET epoch = last_epoch + 1, last_epoch = last_epoch + 1, stream = 1, resumption_hash = '',
                 disconnected_at = coalesce(session.disconnected_at, $2)
             FROM before WHERE charge_point_id = $1
             RETURNING epoch),
         told AS (
             INSERT INTO ocpp.event (at, type, identity, site_id, data)
             SELECT $2, $3, identity, site_id, '{}' FROM before JOIN ocpp.charge_point ON charge_point.id = $1
             WHERE before.disconnected_at IS NULL)
         SELECT epoch AS "epoch!" FROM ended"#,
        charge_point,
        now,
        Kind::ChargePointOffline.as_str(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    // One that was never connected has nothing to end.
    let Some(epoch) = epoch else {
        return Ok(());
    };
    sqlx::query!("DELETE FROM ocpp.candidate WHERE charge_point_id = $1", charge_point)
        .execute(&mut *connection)
        .await?;
    ending::abandon(connection, &[(charge_point, epoch - 1)], now).await?;
    let via = Via {
        charge_point,
        epoch,
        stream: 1,
    };
    tell(connection, &[Notice::Ended(via)]).await
}
