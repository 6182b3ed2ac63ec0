//! What goes with the device at a charge point, and not with the place: what was on its way to it, and what it has said of itself.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::certificate::voided;
use crate::command::ledger::ending;
use crate::event::Kind;

/// Nobody is there any more for whom these were meant: commands that wait, reservations, jobs, leaves to transfer files, and
/// passwords that were offered.
pub(super) async fn call_off(
    connection: &mut PgConnection,
    charge_point: Uuid,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    ending::call_off(connection, charge_point, why, now).await?;
    sqlx::query!(
        "WITH reserved AS (
             UPDATE ocpp.reservation SET ended_at = $2, status = CASE WHEN expires_at > $2 THEN 'cancelled' ELSE 'expired' END
             WHERE charge_point_id = $1 AND status = 'accepted'),
         transfers AS (DELETE FROM ocpp.transfer WHERE charge_point_id = $1),
         passwords AS (DELETE FROM ocpp.offered_password WHERE charge_point_id = $1),
         attempts AS (DELETE FROM ocpp.refused_attempt WHERE charge_point_id = $1),
         jobs AS (
             UPDATE ocpp.job SET status = 'canceled', updated_at = $2
             WHERE charge_point_id = $1 AND status IN ('requested', 'accepted', 'running')
             RETURNING id, kind, status, progress)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $2, $3, identity, site_id,
             json_build_object('jobId', jobs.id, 'kind', kind, 'status', status, 'progress', progress)
         FROM jobs JOIN ocpp.charge_point ON charge_point.id = $1",
        charge_point,
        now,
        Kind::JobStatus.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what the device has said, and voids its certificates. What operators have decided stays: what they want to be
/// configured, on the local list and available, too, with nothing that says whether it is: a list that is kept by itself is sent
/// to the new device, whole.
pub(super) async fn forget(
    connection: &mut PgConnection,
    charge_point: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    // Before it is forgotten which it has shown.
    voided::void(connection, charge_point, now).await?;
    sqlx::query!(
        "WITH spoken AS (
             UPDATE ocpp.session
             SET protocol = NULL, peer = NULL, last_seen_at = NULL, clock_offset_seconds = NULL,
                 certified_serial_number = NULL
             WHERE charge_point_id = $1),
         connectors AS (DELETE FROM ocpp.connector WHERE charge_point_id = $1),
         certificates AS (DELETE FROM ocpp.installed_certificate WHERE charge_point_id = $1)
         UPDATE ocpp.charge_point
         SET vendor = NULL, model = NULL, serial_number = NULL, charge_box_serial = NULL, firmware_version = NULL,
             iccid = NULL, imsi = NULL, meter_type = NULL, meter_serial = NULL, number_of_connectors = NULL,
             boot_answer = NULL, last_boot_at = NULL, shown_certificate = NULL, former_identities = '{}',
             next_security_profile = NULL, offered_security_profile = NULL
         WHERE id = $1",
        charge_point,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "WITH keys AS (DELETE FROM ocpp.configuration_key WHERE charge_point_id = $1 AND desired_at IS NULL),
         wanted_keys AS (
             UPDATE ocpp.configuration_key
             SET known = true, readonly = NULL, reported_value = NULL, reported_at = NULL, desired_status = NULL,
                 desired_state = CASE WHEN desired_state IS NOT NULL THEN 'failed' END
             WHERE charge_point_id = $1 AND desired_at IS NOT NULL),
         profiles AS (DELETE FROM ocpp.charging_profile WHERE charge_point_id = $1),
         schedules AS (DELETE FROM ocpp.composite_schedule WHERE charge_point_id = $1),
         entries AS (DELETE FROM ocpp.local_list_entry WHERE charge_point_id = $1),
         places AS (
             UPDATE ocpp.charging_profile_template_place SET state = 'cleared', confirmed_version = NULL
             WHERE charge_point_id = $1),
         wanted_lists AS (
             UPDATE ocpp.desired_local_list
             SET state = 'idle', problem = NULL, full_next = true, synchronized_at = NULL, due_at = $2
             WHERE charge_point_id = $1),
         lists AS (
             UPDATE ocpp.local_list SET reported_version = NULL, reported_at = NULL, entries_version = NULL
             WHERE charge_point_id = $1)
         UPDATE ocpp.availability SET answer = NULL, answered_at = NULL WHERE charge_point_id = $1",
        charge_point,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
