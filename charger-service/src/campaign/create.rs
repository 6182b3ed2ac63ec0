//! Creates a campaign: settles whom it is for, and in which waves.

use chrono::{DateTime, Utc};
use prost::Message;
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use service_kit::version::Versioned;
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{Campaign, CreateCampaignRequest};

use super::addressed::{Addressed, ResolveError};
use super::list::{self, GetError};
use super::pace::Pace;
use super::store::store;
use super::what::What;
use crate::State;
use crate::audit::Author;
use crate::file::firmware_named;
use crate::job::ask::no_public_url;
use crate::job::update_firmware::NO_FIRMWARE;
use crate::label::is_label;

const LONGEST_NAME: usize = 100;

/// A campaign that breaks no rule by itself.
#[derive(Debug)]
pub struct NewCampaign {
    pub name: String,
    pub what: What,
    pub addressed: Addressed,
    pub pace: Pace,
    pub start_paused: bool,
    pub idempotency_key: Option<String>,
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
}

/// The campaign, or the one that the same key made before.
pub async fn create(state: &State, new: NewCampaign, author: &Author) -> Result<Versioned<Campaign>, CreateError> {
    let digest = state.passwords.fingerprint(&[b"campaign", &new.said]);
    let mut transaction = database::begin(&state.database).await?;
    if let Some(before) = repeated(&mut transaction, &new, &digest, author).await? {
        return Ok(list::read(&mut transaction, before).await?);
    }
    let looked_up = look_up(&mut transaction, state, &new).await?;
    match store(&mut transaction, &new, &looked_up, &digest, author, state.clock.now()).await {
        Ok(id) => {
            let campaign = list::read(&mut transaction, id).await?;
            transaction.commit().await?;
            Ok(campaign)
        }
        // Somebody was faster with the same key.
        Err(error) if is_key_used(&error) => {
            transaction.rollback().await?;
            let mut transaction = database::begin(&state.database).await?;
            let before = repeated(&mut transaction, &new, &digest, author).await?;
            let before = before.ok_or(CreateError::Database(error))?;
            Ok(list::read(&mut transaction, before).await?)
        }
        Err(error) => Err(error.into()),
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

/// What it is about, by the ids that it has in the database.
#[derive(Debug)]
pub struct LookedUp {
    /// In the order in which they come.
    pub charge_points: Vec<Uuid>,
    /// Of the firmware, where it is about one.
    pub file: Option<Uuid>,
}

/// Or all that is wrong with it.
async fn look_up(connection: &mut PgConnection, state: &State, new: &NewCampaign) -> Result<LookedUp, CreateError> {
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
        Ok(charge_points) if violations.is_empty() => Ok(LookedUp { charge_points, file }),
        Ok(_) => Err(CreateError::Invalid(violations)),
        Err(ResolveError::Invalid(problems)) => {
            violations.extend(problems);
            Err(CreateError::Invalid(violations))
        }
        Err(ResolveError::Database(error)) => Err(error.into()),
    }
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
