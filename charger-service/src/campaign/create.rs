//! Creates a campaign: settles whom it is for, and in which waves.

use chrono::{DateTime, Utc};
use prost::Message;
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use service_kit::version::Versioned;
use sqlx::PgConnection;
use sqlx::types::Json;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{Campaign, CreateCampaignRequest};

use super::addressed::{Addressed, ResolveError};
use super::change::{Paused, enter};
use super::decision::Position;
use super::list::{self, GetError};
use super::pace::{Limit, Pace};
use super::stage::{PauseReason, Stage};
use super::what::{Firmware, What};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::file::firmware_named;
use crate::job::ask::no_public_url;
use crate::job::update_firmware::NO_FIRMWARE;
use crate::label::is_label;
use crate::notice::{Notice, tell};

const LONGEST_NAME: usize = 100;

/// A campaign that breaks no rule by itself.
#[derive(Debug)]
pub struct NewCampaign {
    name: String,
    what: What,
    addressed: Addressed,
    pace: Pace,
    start_paused: bool,
    idempotency_key: Option<String>,
    /// Tells a repetition from another request under the same key.
    said: Vec<u8>,
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("what it is about is not there")]
    Invalid(Vec<FieldViolation>),
    #[error("charge points cannot be told where to fetch firmware")]
    NoPublicUrl,
    #[error("the idempotency key came with another request")]
    KeyReused,
    #[error("the campaign could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for CreateError {
    fn from(error: GetError) -> Self {
        match error {
            // It has just been written.
            GetError::NotFound => Self::Database(sqlx::Error::RowNotFound),
            GetError::Database(error) => Self::Database(error),
        }
    }
}

impl From<CreateError> for Status {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Invalid(violations) => reason::invalid(violations),
            CreateError::NoPublicUrl => no_public_url(),
            CreateError::KeyReused => {
                Reason::IdempotencyKeyReused.status("This Idempotency-Key came with another campaign before")
            }
            CreateError::Database(error) => database::failed(&error),
        }
    }
}

impl NewCampaign {
    /// Collects what is wrong with every field before it refuses.
    pub fn parse(
        request: CreateCampaignRequest,
        idempotency_key: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<Self, Vec<FieldViolation>> {
        let said = request.encode_to_vec();
        let mut violations = Vec::new();
        if !is_label(&request.name, LONGEST_NAME) {
            let problem = "must have 1 to 100 printable characters, and no space at either end";
            violations.push(FieldViolation::new("name", problem));
        }
        let pace = Pace::parse(&request, &mut violations);
        let what = What::parse(request.what, now, &mut violations);
        let addressed = Addressed::parse(request.whom, &mut violations);
        match (what, addressed) {
            (Some(what), Some(addressed)) if violations.is_empty() => Ok(Self {
                name: request.name,
                what,
                addressed,
                pace,
                start_paused: request.start_paused,
                idempotency_key,
                said,
            }),
            _ => Err(violations),
        }
    }

    /// Why it does not begin at once, if it does not.
    fn paused(&self) -> Option<Paused<'static>> {
        self.start_paused.then_some((PauseReason::Created, None))
    }
}

/// The campaign, or the one that the same key made before.
pub async fn create(state: &State, new: NewCampaign, author: &Author) -> Result<Versioned<Campaign>, CreateError> {
    let digest = state.passwords.fingerprint(&[b"campaign", &new.said]);
    let mut transaction = database::begin(&state.database).await?;
    if let Some(before) = repeated(&mut transaction, &new, &digest, author).await? {
        return Ok(list::read(&mut transaction, before).await?);
    }
    let (charge_points, file) = look_up(&mut transaction, state, &new).await?;
    let created = store(&mut transaction, state, &new, &digest, &charge_points, file, author).await;
    match created {
        Ok(campaign) => {
            transaction.commit().await?;
            Ok(campaign)
        }
        // Somebody was faster with the same key.
        Err(CreateError::Database(error)) if is_key_used(&error) => {
            transaction.rollback().await?;
            let mut transaction = database::begin(&state.database).await?;
            let before = repeated(&mut transaction, &new, &digest, author).await?;
            let before = before.ok_or(CreateError::Database(error))?;
            Ok(list::read(&mut transaction, before).await?)
        }
        Err(error) => Err(error),
    }
}

fn is_key_used(error: &sqlx::Error) -> bool {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    constraint == Some("campaign_idempotency_key_unique")
}

async fn repeated(
    connection: &mut PgConnection,
    new: &NewCampaign,
    digest: &[u8],
    author: &Author,
) -> Result<Option<Uuid>, CreateError> {
    let Some(key) = &new.idempotency_key else {
        return Ok(None);
    };
    let before = sqlx::query!(
        "SELECT id, request_digest FROM ocpp.campaign WHERE created_by = $1 AND idempotency_key = $2",
        author.to_string(),
        key,
    )
    .fetch_optional(connection)
    .await?;
    match before {
        Some(before) if before.request_digest != digest => Err(CreateError::KeyReused),
        before => Ok(before.map(|before| before.id)),
    }
}

/// The charge points, and the firmware's file where it is about one; or all that is wrong with them.
async fn look_up(
    connection: &mut PgConnection,
    state: &State,
    new: &NewCampaign,
) -> Result<(Vec<Uuid>, Option<Uuid>), CreateError> {
    let mut violations = Vec::new();
    let mut file = None;
    if let What::Firmware(firmware) = &new.what {
        let url = state.transfers.public_url.as_ref().ok_or(CreateError::NoPublicUrl)?;
        violations.extend(firmware.check(url, state.clock.now()));
        file = firmware_named(connection, &firmware.order.firmware).await?;
        if file.is_none() {
            violations.push(FieldViolation::new("updateFirmware.firmware", NO_FIRMWARE));
        }
    }
    match new.addressed.resolve(connection).await {
        Ok(charge_points) if violations.is_empty() => Ok((charge_points, file)),
        Ok(_) => Err(CreateError::Invalid(violations)),
        Err(ResolveError::Invalid(problems)) => {
            violations.extend(problems);
            Err(CreateError::Invalid(violations))
        }
        Err(ResolveError::Database(error)) => Err(error.into()),
    }
}

async fn store(
    connection: &mut PgConnection,
    state: &State,
    new: &NewCampaign,
    digest: &[u8],
    charge_points: &[Uuid],
    file: Option<Uuid>,
    author: &Author,
) -> Result<Versioned<Campaign>, CreateError> {
    let (id, now) = (Uuid::now_v7(), state.clock.now());
    // No more are found than are allowed.
    let number = i32::try_from(charge_points.len()).unwrap_or(i32::MAX);
    let waves = new.pace.wave_of(number);
    insert(connection, (id, now), new, digest, (number, waves), file, author).await?;
    let places: Vec<i32> = (1..=number).collect();
    let waves_of: Vec<i32> = places.iter().map(|place| new.pace.wave_of(*place)).collect();
    sqlx::query!(
        "INSERT INTO ocpp.campaign_target (campaign_id, position, charge_point_id, wave)
         SELECT $1, position, charge_point_id, wave
         FROM unnest($2::integer[], $3::uuid[], $4::integer[]) AS target (position, charge_point_id, wave)",
        id,
        &places,
        charge_points,
        &waves_of,
    )
    .execute(&mut *connection)
    .await?;
    let stage = if new.start_paused {
        Stage::Paused
    } else {
        Stage::Running
    };
    let first = Position {
        wave: 1,
        waves,
        canary_confirmed: false,
        forgiven: 0,
    };
    enter(connection, id, stage, new.paused(), first, now).await?;
    // The payload stays with the campaign.
    let entry = Entry::new(Action::CampaignCreated, now, author)
        .with("campaign", Some(id.to_string()))
        .with("name", Some(new.name.as_str()))
        .with("action", Some(new.what.action().as_str()))
        .with("targets", Some(number))
        .with("waves", Some(waves));
    audit::record(connection, entry).await?;
    tell(connection, &[Notice::Campaign { campaign: id }]).await?;
    Ok(list::read(connection, id).await?)
}

async fn insert(
    connection: &mut PgConnection,
    (id, now): (Uuid, DateTime<Utc>),
    new: &NewCampaign,
    digest: &[u8],
    (targets, waves): (i32, i32),
    file: Option<Uuid>,
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
    let paused = new.paused();
    sqlx::query!(
        "INSERT INTO ocpp.campaign (id, name, action, payload, firmware, file_id, selection, canary_size,
             pause_after_canary, wave_size, max_failures, max_failure_percent, failures_of, expires_in_seconds,
             installation_seconds, installation_from, state, pause_reason, waves, targets, created_by, actor_id,
             idempotency_key, request_digest, created_at, changed_at)
         VALUES ($1, $2, $3, $4::text::json, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
             $21, $22, $23, $24, $25, $25)",
        id,
        new.name,
        new.what.action().as_str(),
        payload,
        firmware.map(|firmware| Json(&firmware.order)) as _,
        file,
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
        if paused.is_some() {
            Stage::Paused
        } else {
            Stage::Running
        }
        .as_str(),
        paused.map(|(reason, _)| reason.as_str()),
        waves,
        targets,
        author.to_string(),
        author.account(),
        new.idempotency_key,
        digest,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use voltgate_proto::ocpp::v1::create_campaign_request::{What as Sent, Whom};
    use voltgate_proto::ocpp::v1::{CampaignChargePoints, CampaignCommand};

    use super::*;

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let wrong = CreateCampaignRequest {
            name: " ".to_owned(),
            what: Some(Sent::Command(CampaignCommand {
                action: "Reset".to_owned(),
                payload: "{}".to_owned(),
            })),
            whom: Some(Whom::ChargePoints(CampaignChargePoints::default())),
            canary_size: -1,
            ..Default::default()
        };
        let refused = NewCampaign::parse(wrong, None, DateTime::UNIX_EPOCH).expect_err("all is wrong");
        let fields: Vec<_> = refused.into_iter().map(|violation| violation.field).collect();
        assert_eq!(
            fields,
            ["name", "canarySize", "command.payload.type", "chargePoints.identities"]
        );
        let nothing = NewCampaign::parse(CreateCampaignRequest::default(), None, DateTime::UNIX_EPOCH);
        let fields: Vec<_> = nothing
            .expect_err("there is nothing")
            .into_iter()
            .map(|violation| violation.field)
            .collect();
        assert_eq!(fields, ["name", "command", "chargePoints"]);
    }
}
