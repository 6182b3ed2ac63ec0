//! Creates a tariff.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::PgConnection;
use sqlx::types::Json;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::CreateTariffRequest;

use super::list::{self, GetError};
use super::terms::Terms;
use super::{Row, read};
use crate::State;
use crate::audit::{self, Action, Author, Entry};

const LONGEST_GROUP: usize = 50;

/// A tariff that breaks no rule by itself.
#[derive(Debug)]
pub struct NewTariff {
    name: String,
    terms: Terms,
    /// None: from now on.
    valid_from: Option<DateTime<Utc>>,
    valid_until: Option<DateTime<Utc>>,
    place: Place,
}

/// Where a tariff holds, as it is told.
#[derive(Debug)]
enum Place {
    ChargePoint(String),
    Site(String),
    Group(String),
    Everywhere,
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("{0}")]
    Exists(&'static str),
    #[error("where it should hold is nowhere")]
    Nowhere(FieldViolation),
    #[error("it would end before it begins")]
    EndsBeforeItBegins,
    #[error("the tariff could not be stored")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("tariff_name_unique") => Self::Exists("There is a tariff of this name, perhaps in other letter case"),
            Some("tariff_beginning_unique") => {
                Self::Exists("Another tariff holds in that place since the very same moment")
            }
            Some("tariff_validity") => Self::EndsBeforeItBegins,
            _ => Self::Database(error),
        }
    }
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
            CreateError::Exists(detail) => Reason::TariffExists.status(detail),
            CreateError::Nowhere(violation) => reason::invalid(vec![violation]),
            CreateError::EndsBeforeItBegins => {
                let problem = "must be later than the moment from which it is valid";
                reason::invalid(vec![FieldViolation::new("validUntil", problem)])
            }
            CreateError::Database(error) => database::failed(&error),
        }
    }
}

impl TryFrom<CreateTariffRequest> for NewTariff {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: CreateTariffRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let name = read::name(request.name, &mut violations);
        let terms = read::terms(request.terms, &mut violations);
        let (valid_from, valid_until) = read::validity(request.valid_from, request.valid_until, &mut violations);
        let place = match (request.identity, request.site_id, request.site_group) {
            (None, None, None) => Place::Everywhere,
            (Some(identity), None, None) => Place::ChargePoint(identity),
            (None, Some(id), None) => Place::Site(id),
            (None, None, Some(group)) => {
                if !(1..=LONGEST_GROUP).contains(&group.chars().count()) {
                    violations.push(FieldViolation::new("siteGroup", "must have 1 to 50 characters"));
                }
                Place::Group(group)
            }
            (identity, site_id, _) => {
                let field = if identity.is_some() && site_id.is_some() {
                    "siteId"
                } else {
                    "siteGroup"
                };
                let problem = "must not be given with another place; a tariff holds in one";
                violations.push(FieldViolation::new(field, problem));
                Place::Everywhere
            }
        };
        match terms {
            Some(terms) if violations.is_empty() => Ok(Self {
                name,
                terms,
                valid_from,
                valid_until,
                place,
            }),
            _ => Err(violations),
        }
    }
}

pub async fn create(state: &State, new: NewTariff, author: &Author) -> Result<Row, CreateError> {
    let (now, id) = (state.clock.now(), Uuid::now_v7());
    let mut transaction = database::begin(&state.database).await?;
    let (charge_point, site, group) = resolve(&mut transaction, new.place).await?;
    sqlx::query!(
        "INSERT INTO ocpp.tariff (id, name, charge_point_id, site_id, site_group, valid_from, valid_until, version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8)",
        id,
        new.name,
        charge_point,
        site,
        group,
        new.valid_from.unwrap_or(now),
        new.valid_until,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    add_version(&mut transaction, id, 1, &new.name, &new.terms, now).await?;
    let created = list::read(&mut transaction, id).await?;
    let entry = created.told(Entry::new(Action::TariffCreated, now, author));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(created)
}

/// Charge point, site, group.
type Resolved = (Option<Uuid>, Option<Uuid>, Option<String>);

async fn resolve(connection: &mut PgConnection, place: Place) -> Result<Resolved, CreateError> {
    let unknown = |field: &str, problem: &str| CreateError::Nowhere(FieldViolation::new(field, problem));
    match place {
        Place::Everywhere => Ok((None, None, None)),
        Place::Group(group) => Ok((None, None, Some(group))),
        Place::ChargePoint(identity) => {
            let id = sqlx::query_scalar!("SELECT id FROM ocpp.charge_point WHERE identity = $1", identity)
                .fetch_optional(connection)
                .await?;
            let id = id.ok_or_else(|| unknown("identity", "is no charge point's"))?;
            Ok((Some(id), None, None))
        }
        Place::Site(id) => {
            let id = Uuid::try_parse(&id).map_err(|_| unknown("siteId", "is no site's"))?;
            // It is there until the tariff is.
            let known = sqlx::query_scalar!("SELECT id FROM ocpp.site WHERE id = $1 FOR KEY SHARE", id)
                .fetch_optional(connection)
                .await?;
            let id = known.ok_or_else(|| unknown("siteId", "is no site's"))?;
            Ok((None, Some(id), None))
        }
    }
}

pub(super) async fn add_version(
    connection: &mut PgConnection,
    tariff: Uuid,
    version: i32,
    name: &str,
    terms: &Terms,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO ocpp.tariff_version (tariff_id, version, name, terms, created_at) VALUES ($1, $2, $3, $4, $5)",
        tariff,
        version,
        name,
        Json(terms) as _,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
