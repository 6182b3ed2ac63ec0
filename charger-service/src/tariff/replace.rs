//! Puts other terms in place of those of a tariff.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::reason::FieldViolation;
use service_kit::version::{self, IfMatch};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::ReplaceTariffRequest;

use super::create::{CreateError, add_version};
use super::list::{self, GetError};
use super::terms::Terms;
use super::{Row, read};
use crate::State;
use crate::audit::{self, Action, Author, Entry};

#[derive(Debug)]
pub struct Replacement {
    id: String,
    name: String,
    terms: Terms,
    /// None: as before.
    valid_from: Option<DateTime<Utc>>,
    valid_until: Option<DateTime<Utc>>,
}

#[derive(Debug, Error)]
pub enum ReplaceError {
    #[error("the tariff has been changed meanwhile")]
    Changed,
    #[error(transparent)]
    Write(#[from] CreateError),
    #[error(transparent)]
    Get(#[from] GetError),
}

impl From<sqlx::Error> for ReplaceError {
    fn from(error: sqlx::Error) -> Self {
        CreateError::from(error).into()
    }
}

impl From<ReplaceError> for Status {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Changed => version::changed(),
            ReplaceError::Write(error) => error.into(),
            ReplaceError::Get(error) => error.into(),
        }
    }
}

impl TryFrom<ReplaceTariffRequest> for Replacement {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ReplaceTariffRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let name = read::name(request.name, &mut violations);
        let terms = read::terms(request.terms, &mut violations);
        let (valid_from, valid_until) = read::validity(request.valid_from, request.valid_until, &mut violations);
        match terms {
            Some(terms) if violations.is_empty() => Ok(Self {
                id: request.id,
                name,
                terms,
                valid_from,
                valid_until,
            }),
            _ => Err(violations),
        }
    }
}

/// Replaces it in the version that the caller has seen, and returns it as it is then.
pub async fn replace(
    state: &State,
    replacement: Replacement,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Row, ReplaceError> {
    let (id, now) = (list::parse_id(&replacement.id)?, state.clock.now());
    let mut transaction = database::begin(&state.database).await?;
    let next = sqlx::query_scalar!(
        "UPDATE ocpp.tariff
         SET name = $2, valid_from = coalesce($3, valid_from), valid_until = $4, version = version + 1,
             revision = nextval('ocpp.revision')
         WHERE id = $1 AND ($5::bigint[] IS NULL OR revision = ANY($5))
         RETURNING version",
        id,
        replacement.name,
        replacement.valid_from,
        replacement.valid_until,
        if_match.revisions(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(next) = next else {
        list::read(&mut transaction, id).await?;
        return Err(ReplaceError::Changed);
    };
    add_version(&mut transaction, id, next, &replacement.name, &replacement.terms, now).await?;
    let replaced = list::read(&mut transaction, id).await?;
    let entry = replaced.told(Entry::new(Action::TariffReplaced, now, author));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(replaced)
}
