//! Puts another device in the place of a charge point. What operators have decided about the place stays; what the old device has
//! said of itself is forgotten, and nothing that let it in is good any more.

use service_kit::database;
use service_kit::reason::{self, FieldViolation};
use service_kit::version::{IfMatch, Versioned};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ChargePoint, ReplaceChargePointRequest};

use super::credentials::{Credentials, Given};
use super::find::FindError;
use super::hold::{Held, HoldError, hold};
use super::identity::Identity;
use super::open_transactions::{self, StillOpen};
use super::password::Password;
use super::{create, device, list, retire};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::boot::Registration;
use crate::session::ending;

/// Stands with what was closed or called off for it.
const WHY: &str = "The charge point was replaced";

/// A request that breaks no rule by itself.
#[derive(Debug)]
pub(super) struct Replacement {
    identity: String,
    registration: Registration,
    /// The one that the place has where it is None.
    security_profile: Option<i16>,
    password: Option<Password>,
    certificate_name: Option<String>,
    close_transactions: bool,
}

#[derive(Debug, Error)]
pub(super) enum ReplaceError {
    #[error("the charge point is retired")]
    Retired,
    #[error("a property does not go with the rest")]
    Misfit(FieldViolation),
    #[error(transparent)]
    Hold(#[from] HoldError),
    #[error(transparent)]
    StillOpen(#[from] StillOpen),
}

impl From<sqlx::Error> for ReplaceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Hold(error.into())
    }
}

impl From<FindError> for ReplaceError {
    fn from(error: FindError) -> Self {
        Self::Hold(error.into())
    }
}

impl From<ReplaceError> for Status {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Retired => retire::retired(),
            ReplaceError::Misfit(violation) => reason::invalid(vec![violation]),
            ReplaceError::Hold(error) => error.into(),
            ReplaceError::StillOpen(error) => error.into(),
        }
    }
}

impl Replacement {
    /// Collects what is wrong with every field before it refuses.
    pub(super) fn parse(
        request: ReplaceChargePointRequest,
        allow_unsecured: bool,
    ) -> Result<Self, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        let mut note = |field: &str, problem: String| violations.push(FieldViolation::new(field, problem));
        let registration = match request.registration_status.as_deref() {
            None => Some(Registration::Accepted),
            Some(told) => create::registration(told)
                .map_err(|problem| note("registrationStatus", problem.to_owned()))
                .ok(),
        };
        let security_profile = request.security_profile.and_then(|profile| {
            create::security_profile(profile, allow_unsecured)
                .map_err(|problem| note("securityProfile", problem.to_owned()))
                .ok()
        });
        let password = request.password.as_deref().and_then(|password| {
            Password::parse(password)
                .map_err(|error| note("password", error.to_string()))
                .ok()
        });
        if let Some(Err(problem)) = request.certificate_name.as_deref().map(create::check_certificate_name) {
            note("certificateName", problem);
        }
        match registration {
            Some(registration) if violations.is_empty() => Ok(Self {
                identity: request.identity,
                registration,
                security_profile,
                password,
                certificate_name: request.certificate_name,
                close_transactions: request.close_transactions,
            }),
            _ => Err(violations),
        }
    }
}

/// Replaces it in the version that the caller has seen, and returns it as it is then.
pub(super) async fn replace(
    state: &State,
    replacement: Replacement,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<ChargePoint>, ReplaceError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let held = hold(&mut transaction, &replacement.identity, if_match).await?;
    if held.is_retired {
        return Err(ReplaceError::Retired);
    }
    let profile = replacement.security_profile.unwrap_or(held.security_profile);
    let credentials = check_fit(&replacement, profile)?;
    let close_them = replacement.close_transactions;
    let closed = open_transactions::settle(&mut transaction, held.id, close_them, WHY, now, author).await?;
    ending::end(&mut transaction, held.id, now).await?;
    device::call_off(&mut transaction, held.id, "the charge point was replaced", now).await?;
    device::forget(&mut transaction, held.id, now).await?;
    let Given { hash, made, is_short } = credentials.give(&state.passwords, held.id);
    store(&mut transaction, held.id, &replacement, profile, hash).await?;
    audit::record_all(
        &mut transaction,
        entries(&replacement, &held, closed, made.is_some(), now, author),
    )
    .await?;
    let mut charge_point = list::read(&mut transaction, &replacement.identity).await?;
    transaction.commit().await?;
    tracing::info!(charge_point = %held.id, "Another device takes the place of a charge point");
    if is_short {
        tracing::warn!(charge_point = %held.id, "A charge point has a password so short that it can be guessed");
    }
    charge_point.resource.password = made;
    Ok(charge_point)
}

/// What only the profile can tell, which may be the one that the place has.
fn check_fit(replacement: &Replacement, profile: i16) -> Result<Credentials, ReplaceError> {
    let misfit = |field: &str, problem: String| ReplaceError::Misfit(FieldViolation::new(field, problem));
    let fits_basic = Identity::parse(&replacement.identity).is_ok_and(|identity| identity.fits_basic_authentication());
    if matches!(profile, 1 | 2) && !fits_basic {
        return Err(misfit(
            "securityProfile",
            "needs an identity without a colon".to_owned(),
        ));
    }
    if replacement.certificate_name.is_some() && profile != 3 {
        return Err(misfit(
            "certificateName",
            "has a use with security profile 3 only".to_owned(),
        ));
    }
    Credentials::of(profile, replacement.password.clone()).map_err(|problem| misfit("password", problem))
}

async fn store(
    connection: &mut PgConnection,
    charge_point: Uuid,
    replacement: &Replacement,
    profile: i16,
    hash: Option<[u8; 32]>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.charge_point
         SET registration_status = $2, security_profile = $3, password_hash = $4, certificate_name = $5,
             installation = installation + 1, device = device + 1, revision = nextval('ocpp.revision')
         WHERE id = $1",
        charge_point,
        replacement.registration.as_str(),
        profile,
        hash.as_ref().map(<[u8; 32]>::as_slice),
        replacement.certificate_name,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What there was, too: nothing else tells of the old device from now on.
fn entries<'a>(
    replacement: &'a Replacement,
    held: &Held,
    closed: Vec<i32>,
    is_password_made: bool,
    now: chrono::DateTime<chrono::Utc>,
    author: &'a Author,
) -> Vec<Entry<'a>> {
    let replaced = Entry::new(Action::ChargePointReplaced, now, author)
        .on_charge_point(&replacement.identity)
        .with("registrationStatus", Some(replacement.registration.as_str()))
        .with("securityProfile", replacement.security_profile)
        .with("certificateName", replacement.certificate_name.as_deref())
        .with("formerVendor", held.vendor.as_deref())
        .with("formerModel", held.model.as_deref())
        .with("formerSerialNumber", held.serial_number.as_deref())
        .with("formerFirmwareVersion", held.firmware_version.as_deref())
        .with("closedTransactions", Some(closed).filter(|closed| !closed.is_empty()));
    let made =
        is_password_made.then(|| Entry::new(Action::PasswordMade, now, author).on_charge_point(&replacement.identity));
    [replaced].into_iter().chain(made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = ReplaceChargePointRequest {
            identity: "CP1".to_owned(),
            registration_status: Some("accepted".to_owned()),
            security_profile: Some(0),
            password: Some(String::new()),
            certificate_name: Some(String::new()),
            close_transactions: false,
        };
        let violations = Replacement::parse(wrong, false).expect_err("all are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(
            fields,
            ["registrationStatus", "securityProfile", "password", "certificateName"]
        );
    }

    #[test]
    fn what_the_new_device_proves_itself_with_follows_from_the_profile() {
        let with = |identity: &str, password: Option<&str>, certificate_name: Option<&str>| {
            let request = ReplaceChargePointRequest {
                identity: identity.to_owned(),
                password: password.map(str::to_owned),
                certificate_name: certificate_name.map(str::to_owned),
                ..Default::default()
            };
            Replacement::parse(request, false).expect("it is well-formed")
        };
        let misfit = |replacement: &Replacement, profile| match check_fit(replacement, profile) {
            Err(ReplaceError::Misfit(violation)) => Some(violation.field),
            _ => None,
        };
        assert_eq!(misfit(&with("CP1", None, None), 1), None);
        assert_eq!(
            misfit(&with("CP1", Some("a password"), None), 3).as_deref(),
            Some("password")
        );
        assert_eq!(
            misfit(&with("CP1", None, Some("SN-1")), 2).as_deref(),
            Some("certificateName")
        );
        assert_eq!(misfit(&with("CP1", None, Some("SN-1")), 3), None);
        assert_eq!(misfit(&with("CP:1", None, None), 1).as_deref(), Some("securityProfile"));
    }
}
