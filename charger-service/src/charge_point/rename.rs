//! Gives a charge point another identity. Everything but what was written by name refers to its id, so all that it did stays its
//! own, and its password stays good.

use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use service_kit::version::{IfMatch, Versioned};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ChargePoint, RenameChargePointRequest};

use super::find::FindError;
use super::hold::{HoldError, hold};
use super::identity::Identity;
use super::list;
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::session::ending;
use crate::unknown;

/// Identities that it had, and by which its certificates may still call it.
const MOST_FORMER: i32 = 10;

/// A request that breaks no rule by itself.
#[derive(Debug)]
pub(super) struct Renaming {
    identity: String,
    new: Identity,
}

#[derive(Debug, Error)]
pub(super) enum RenameError {
    #[error("the new identity is registered")]
    Taken,
    #[error("the new identity does not go with the rest")]
    Misfit(FieldViolation),
    #[error(transparent)]
    Hold(#[from] HoldError),
    #[error("the charge point could not be renamed")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for RenameError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("charge_point_identity_unique") => Self::Taken,
            _ => Self::Database(error),
        }
    }
}

impl From<FindError> for RenameError {
    fn from(error: FindError) -> Self {
        Self::Hold(error.into())
    }
}

impl From<RenameError> for Status {
    fn from(error: RenameError) -> Self {
        match error {
            RenameError::Taken => {
                Reason::ChargePointExists.status("Another charge point of this identity is registered")
            }
            RenameError::Misfit(violation) => reason::invalid(vec![violation]),
            RenameError::Hold(error) => error.into(),
            RenameError::Database(error) => database::failed(&error),
        }
    }
}

impl TryFrom<RenameChargePointRequest> for Renaming {
    type Error = Vec<FieldViolation>;

    fn try_from(request: RenameChargePointRequest) -> Result<Self, Self::Error> {
        let problem = match Identity::parse(&request.new_identity) {
            Ok(new) if new.as_str() != request.identity => {
                return Ok(Self {
                    identity: request.identity,
                    new,
                });
            }
            Ok(_) => "is its identity already".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(vec![FieldViolation::new("newIdentity", problem)])
    }
}

/// Renames it in the version that the caller has seen, and returns it as it is then.
pub(super) async fn rename(
    state: &State,
    renaming: Renaming,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<ChargePoint>, RenameError> {
    let now = state.clock.now();
    let Renaming { identity, new } = renaming;
    let mut transaction = database::begin(&state.database).await?;
    // First, as a registration does: neither waits for the other while it is waited for.
    unknown::forget(&mut transaction, new.as_str()).await?;
    let held = hold(&mut transaction, &identity, if_match).await?;
    if matches!(held.highest_security_profile, 1 | 2) && !new.fits_basic_authentication() {
        let problem = "must not contain a colon where Basic authentication is used";
        return Err(RenameError::Misfit(FieldViolation::new("newIdentity", problem)));
    }
    // While it has the name by which its session is known.
    ending::end(&mut transaction, held.id, now).await?;
    store(&mut transaction, held.id, &new).await?;
    // Whoever looks for either finds it.
    let renamed = || Entry::new(Action::ChargePointRenamed, now, author);
    let entries = [
        renamed()
            .on_charge_point(&identity)
            .with("newIdentity", Some(new.as_str())),
        renamed()
            .on_charge_point(new.as_str())
            .with("formerIdentity", Some(identity.as_str())),
    ];
    audit::record_all(&mut transaction, entries).await?;
    let charge_point = list::read(&mut transaction, new.as_str()).await?;
    transaction.commit().await?;
    tracing::info!(charge_point = %held.id, %identity, new = %new, "A charge point was renamed");
    Ok(charge_point)
}

/// A name for people that was the identity goes along.
async fn store(connection: &mut PgConnection, charge_point: Uuid, new: &Identity) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.charge_point
         SET identity = $2, display_name = CASE display_name WHEN identity THEN $2 ELSE display_name END,
             former_identities = (array_prepend(identity, array_remove(former_identities, $2)))[:$3],
             installation = installation + 1, revision = nextval('ocpp.revision')
         WHERE id = $1",
        charge_point,
        new.as_str(),
        MOST_FORMER,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(new_identity: &str) -> Option<String> {
        let request = RenameChargePointRequest {
            identity: "CP1".to_owned(),
            new_identity: new_identity.to_owned(),
        };
        let violations = Renaming::try_from(request).err()?;
        assert_eq!(violations[0].field, "newIdentity");
        Some(violations[0].message.clone())
    }

    #[test]
    fn a_new_identity_is_one_that_could_be_registered_and_another_than_before() {
        assert_eq!(problem("CP:2"), None, "a colon is a matter of the profile");
        assert_eq!(problem("CP1").as_deref(), Some("is its identity already"));
        assert_eq!(
            problem("transactions").as_deref(),
            Some("is the path of something else")
        );
        assert_eq!(problem("").as_deref(), Some("must have 1 to 48 characters"));
    }
}
