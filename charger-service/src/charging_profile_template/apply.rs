//! Sends a template to connectors: a command for each, all of them or none.

mod request;

use std::collections::{HashMap, HashSet};

use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ApplyChargingProfileTemplateResponse, ChargingProfileCommand};

pub use self::request::Application;
use self::request::Place;
use super::Row;
use super::list::{self, GetError};
use super::place::{self, Sent, profile_id};
use super::profile::Purpose;
use crate::State;
use crate::audit::{self, Action, Entry};
use crate::command::several::{self, Several};
use crate::v1_6;

#[derive(Debug, Error)]
pub enum ApplyError {
    #[error("the template cannot be applied there")]
    Misfit(Vec<FieldViolation>),
    #[error("the idempotency key came with another request")]
    KeyReused,
    #[error("the key is being used at this very moment")]
    KeyUsed,
    #[error(transparent)]
    Get(#[from] GetError),
    #[error("the payload could not be written")]
    Unwritable(#[from] serde_json::Error),
    #[error("the commands could not be stored")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("charging_profile_application_key_unique") => Self::KeyUsed,
            _ => Self::Database(error),
        }
    }
}

impl From<ApplyError> for Status {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Misfit(violations) => reason::invalid(violations),
            ApplyError::KeyReused | ApplyError::KeyUsed => {
                Reason::IdempotencyKeyReused.status("This Idempotency-Key came with another application before")
            }
            ApplyError::Get(error) => error.into(),
            ApplyError::Unwritable(error) => reason::internal(&error),
            ApplyError::Database(error) => database::failed(&error),
        }
    }
}

/// Queues the commands, or tells of those that the same key made before.
pub async fn apply(
    state: &State,
    application: &Application,
) -> Result<ApplyChargingProfileTemplateResponse, ApplyError> {
    match queue(state, application).await {
        // Somebody else's transaction was the first, and is committed.
        Err(ApplyError::KeyUsed) => {
            let mut connection = database::begin(&state.database).await?;
            repeated(&mut connection, state, application)
                .await?
                .ok_or(ApplyError::KeyUsed)
        }
        outcome => outcome,
    }
}

async fn queue(state: &State, application: &Application) -> Result<ApplyChargingProfileTemplateResponse, ApplyError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let template = list::hold(&mut transaction, list::parse_id(&application.template)?).await?;
    if let Some(before) = repeated(&mut transaction, state, application).await? {
        return Ok(before);
    }
    let charge_points = resolve(&mut transaction, &template, &application.places).await?;
    let (sent, commands) = word(&template, &application.places, &charge_points)?;
    let expires_at = now + application.expires_in;
    several::of_request(&mut transaction, &commands, &application.author, now, expires_at).await?;
    store(&mut transaction, state, application, &template, &sent).await?;
    place::applied(&mut transaction, template.id, template.version, &sent, now).await?;
    let entry = Entry::new(Action::ChargingProfileTemplateApplied, now, &application.author)
        .with("places", Some(application.places.len()));
    audit::record(&mut transaction, template.told(entry)).await?;
    transaction.commit().await?;
    let commands = commands
        .iter()
        .zip(&sent)
        .map(|(command, sent)| ChargingProfileCommand {
            identity: command.identity.to_owned(),
            connector_id: sent.connector_id,
            charging_profile_id: sent.charging_profile_id,
            command_id: sent.command.to_string(),
        });
    Ok(ApplyChargingProfileTemplateResponse {
        version: template.version,
        commands: commands.collect(),
    })
}

/// The charge points of the places, by identity.
async fn resolve(
    connection: &mut PgConnection,
    template: &Row,
    places: &[Place],
) -> Result<HashMap<String, Uuid>, ApplyError> {
    let identities: Vec<&str> = places.iter().map(|place| place.identity.as_str()).collect();
    let known = sqlx::query!(
        r#"SELECT identity, id, retired_at IS NOT NULL AS "is_retired!" FROM ocpp.charge_point WHERE identity = ANY($1)
           ORDER BY id FOR KEY SHARE"#,
        &identities as &[&str],
    )
    .fetch_all(connection)
    .await?;
    let retired: HashSet<_> = known
        .iter()
        .filter(|row| row.is_retired)
        .map(|row| row.identity.clone())
        .collect();
    let known: HashMap<_, _> = known.into_iter().map(|row| (row.identity, row.id)).collect();
    let mut misfits = Vec::new();
    for (index, place) in places.iter().enumerate() {
        if !known.contains_key(&place.identity) {
            let problem = "is of no registered charge point";
            misfits.push(FieldViolation::new(format!("places[{index}].identity"), problem));
        } else if retired.contains(&place.identity) {
            let problem = "is of a charge point that is retired";
            misfits.push(FieldViolation::new(format!("places[{index}].identity"), problem));
        }
        // 3.13.1
        if template.profile.purpose == Purpose::ChargePointMaxProfile && place.connector_id != 0 {
            let problem = "must be 0, as the template limits whole charge points";
            misfits.push(FieldViolation::new(format!("places[{index}].connectorId"), problem));
        }
    }
    if misfits.is_empty() {
        Ok(known)
    } else {
        Err(ApplyError::Misfit(misfits))
    }
}

fn word<'a>(
    template: &Row,
    places: &'a [Place],
    charge_points: &HashMap<String, Uuid>,
) -> Result<(Vec<Sent>, Vec<Several<'a>>), serde_json::Error> {
    let (mut sent, mut commands) = (Vec::new(), Vec::new());
    for place in places {
        let Some(charge_point) = charge_points.get(&place.identity).copied() else {
            continue;
        };
        let charging_profile_id = profile_id(template.number, place.connector_id);
        // Ids that are made one after the other are in that order.
        let id = Uuid::now_v7();
        sent.push(Sent {
            charge_point,
            connector_id: place.connector_id,
            charging_profile_id,
            command: id,
        });
        commands.push(Several {
            id,
            charge_point,
            identity: &place.identity,
            action: "SetChargingProfile",
            payload: v1_6::template::worded(&template.profile, place.connector_id, charging_profile_id)?,
        });
    }
    Ok((sent, commands))
}

async fn store(
    connection: &mut PgConnection,
    state: &State,
    application: &Application,
    template: &Row,
    sent: &[Sent],
) -> Result<(), sqlx::Error> {
    let (id, digest) = (Uuid::now_v7(), digest(state, application));
    sqlx::query!(
        "INSERT INTO ocpp.charging_profile_application (id, template_id, version, requested_by, idempotency_key,
             request_digest, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        id,
        template.id,
        template.version,
        application.author.to_string(),
        application.idempotency_key,
        digest.as_slice(),
        state.clock.now(),
    )
    .execute(&mut *connection)
    .await?;
    let commands: Vec<Uuid> = sent.iter().map(|sent| sent.command).collect();
    let connectors: Vec<i32> = sent.iter().map(|sent| sent.connector_id).collect();
    sqlx::query!(
        "INSERT INTO ocpp.charging_profile_application_command (command_id, application_id, connector_id)
         SELECT command_id, $1, connector_id
         FROM unnest($2::uuid[], $3::integer[]) AS sent (command_id, connector_id)",
        id,
        &commands,
        &connectors,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn digest(state: &State, application: &Application) -> [u8; 32] {
    let parts = [b"charging profile template".as_slice(), &application.said];
    state.passwords.fingerprint(&parts)
}

/// What was answered before to a request with this key.
async fn repeated(
    connection: &mut PgConnection,
    state: &State,
    application: &Application,
) -> Result<Option<ApplyChargingProfileTemplateResponse>, ApplyError> {
    let Some(key) = &application.idempotency_key else {
        return Ok(None);
    };
    let before = sqlx::query!(
        "SELECT application.id, number, application.version, request_digest
         FROM ocpp.charging_profile_application AS application
         JOIN ocpp.charging_profile_template AS template ON template.id = template_id
         WHERE requested_by = $1 AND idempotency_key = $2",
        application.author.to_string(),
        key,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(before) = before else {
        return Ok(None);
    };
    if before.request_digest != digest(state, application) {
        return Err(ApplyError::KeyReused);
    }
    let commands = sqlx::query!(
        "SELECT identity, connector_id, command_id
         FROM ocpp.charging_profile_application_command
         JOIN ocpp.command ON command.id = command_id
         JOIN ocpp.charge_point ON charge_point.id = charge_point_id
         WHERE application_id = $1 ORDER BY command_id",
        before.id,
    )
    .fetch_all(connection)
    .await?;
    let commands = commands.into_iter().map(|command| ChargingProfileCommand {
        identity: command.identity,
        connector_id: command.connector_id,
        charging_profile_id: profile_id(before.number, command.connector_id),
        command_id: command.command_id.to_string(),
    });
    Ok(Some(ApplyChargingProfileTemplateResponse {
        version: before.version,
        commands: commands.collect(),
    }))
}
