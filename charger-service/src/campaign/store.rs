//! Writes a new campaign: its row, its targets with their waves, its event and its entry in the audit log, and wakes those who move
//! campaigns on.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::addressed::Addressed;
use super::change::enter;
use super::create::{LookedUp, NewCampaign};
use super::decision::Position;
use super::pace::Limit;
use super::stage::{PauseReason, Stage};
use super::what::{Firmware, What};
use crate::audit::{self, Action, Author, Entry};
use crate::notice::{Notice, tell};

/// Returns its id.
pub async fn store(
    connection: &mut PgConnection,
    new: &NewCampaign,
    looked_up: &LookedUp,
    digest: &[u8],
    author: &Author,
    now: DateTime<Utc>,
) -> Result<Uuid, sqlx::Error> {
    let id = Uuid::now_v7();
    // No more are found than are allowed.
    let number = i32::try_from(looked_up.charge_points.len()).unwrap_or(i32::MAX);
    let waves = new.pace.wave_of(number);
    let row = Row {
        id,
        digest,
        file: looked_up.file,
        targets: number,
        waves,
        now,
    };
    insert(connection, new, row, author).await?;
    let places: Vec<i32> = (1..=number).collect();
    let waves_of: Vec<i32> = places.iter().map(|place| new.pace.wave_of(*place)).collect();
    sqlx::query!(
        "INSERT INTO ocpp.campaign_target (campaign_id, position, charge_point_id, wave)
         SELECT $1, position, charge_point_id, wave
         FROM unnest($2::integer[], $3::uuid[], $4::integer[]) AS target (position, charge_point_id, wave)",
        id,
        &places,
        &looked_up.charge_points,
        &waves_of,
    )
    .execute(&mut *connection)
    .await?;
    let first = Position {
        wave: 1,
        waves,
        canary_confirmed: false,
        forgiven: 0,
    };
    let (stage, reason) = beginning(new);
    enter(connection, id, stage, reason.map(|reason| (reason, None)), first, now).await?;
    // The payload stays with the campaign.
    let entry = Entry::new(Action::CampaignCreated, now, author)
        .with("campaign", Some(id.to_string()))
        .with("name", Some(new.name.as_str()))
        .with("action", Some(new.what.action().as_str()))
        .with("targets", Some(number))
        .with("waves", Some(waves));
    audit::record(connection, entry).await?;
    tell(connection, &[Notice::Campaign { campaign: id }]).await?;
    Ok(id)
}

/// How it begins.
fn beginning(new: &NewCampaign) -> (Stage, Option<PauseReason>) {
    if new.start_paused {
        (Stage::Paused, Some(PauseReason::Created))
    } else {
        (Stage::Running, None)
    }
}

/// What of a campaign's row nobody has asked for.
struct Row<'a> {
    id: Uuid,
    digest: &'a [u8],
    file: Option<Uuid>,
    targets: i32,
    waves: i32,
    now: DateTime<Utc>,
}

async fn insert(
    connection: &mut PgConnection,
    new: &NewCampaign,
    row: Row<'_>,
    author: &Author,
) -> Result<(), sqlx::Error> {
    let (payload, firmware) = match &new.what {
        What::Command(call) => (Some(call.payload.get()), None),
        What::Firmware(firmware) => (None, Some(firmware)),
    };
    let selection = match &new.addressed {
        Addressed::Named(_) => None,
        Addressed::Selected(selection) => Some(Json(&selection.told)),
    };
    let (max_failures, max_failure_percent) = Limit::kept(new.pace.limit);
    let (stage, reason) = beginning(new);
    sqlx::query!(
        "INSERT INTO ocpp.campaign (id, name, action, payload, firmware, file_id, selection, canary_size,
             pause_after_canary, wave_size, max_failures, max_failure_percent, failures_of, expires_in_seconds,
             installation_seconds, installation_from, state, pause_reason, waves, targets, created_by, actor_id,
             idempotency_key, request_digest, created_at, changed_at)
         VALUES ($1, $2, $3, $4::text::json, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
             $21, $22, $23, $24, $25, $25)",
        row.id,
        new.name,
        new.what.action().as_str(),
        payload,
        firmware.map(|firmware| Json(&firmware.order)) as _,
        row.file,
        selection as _,
        new.pace.canary_size,
        new.pace.pause_after_canary,
        new.pace.wave_size,
        max_failures,
        max_failure_percent,
        new.pace.scope.as_str(),
        new.pace.expires_in_seconds,
        firmware.and_then(|firmware| firmware.installation_seconds),
        firmware.and_then(Firmware::installation_from),
        stage.as_str(),
        reason.map(PauseReason::as_str),
        row.waves,
        row.targets,
        author.to_string(),
        author.account(),
        new.idempotency_key,
        row.digest,
        row.now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
