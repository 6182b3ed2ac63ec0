//! Registers a charge point. Where no password is set, one is made and shown this once.

use ocpp::Version;
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ChargePoint, CreateChargePointRequest};

use super::credentials::{Credentials, Given};
use super::find::FindError;
use super::identity::Identity;
use super::list;
use super::password::{Password, PasswordKey};
use super::registered::{self, Registered};
use super::tags;
use crate::State;
use crate::audit::{self, Author};
use crate::boot::Registration;
use crate::unknown;
use service_kit::version::Versioned;

const LONGEST_NAME: usize = 100;

/// As long as X.509 lets a common name be.
const LONGEST_CERTIFICATE_NAME: usize = 64;

/// A charge point that breaks no rule.
#[derive(Debug)]
pub struct NewChargePoint {
    identity: Identity,
    display_name: String,
    registration: Registration,
    /// 0 to 3.
    security_profile: i16,
    credentials: Credentials,
    certificate_name: Option<String>,
    /// The only version that it is to speak.
    subprotocol: Option<Version>,
    site: Option<Uuid>,
    tags: Vec<String>,
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("the identity is registered")]
    Exists,
    #[error("the site is none")]
    NoSite,
    #[error("the charge point could not be stored")]
    Database(#[source] sqlx::Error),
    #[error("the charge point could not be read again")]
    Read(#[from] FindError),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("charge_point_identity_unique") => Self::Exists,
            Some("charge_point_site") => Self::NoSite,
            _ => Self::Database(error),
        }
    }
}

impl From<CreateError> for Status {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Exists => Reason::ChargePointExists.status("A charge point of this identity is registered"),
            CreateError::NoSite => reason::invalid(vec![FieldViolation::new("siteId", NO_SITE)]),
            CreateError::Database(error) => database::failed(&error),
            CreateError::Read(error) => error.into(),
        }
    }
}

impl NewChargePoint {
    pub fn identity(&self) -> &str {
        self.identity.as_str()
    }

    /// Collects what is wrong with every field before it refuses.
    pub fn parse(mut request: CreateChargePointRequest, allow_unsecured: bool) -> Result<Self, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        let mut note = |field: &str, problem: String| violations.push(FieldViolation::new(field, problem));
        let identity = Identity::parse(&request.identity)
            .map_err(|error| note("identity", error.to_string()))
            .ok();
        let registration = match request.registration_status.as_deref() {
            None => Some(Registration::Accepted),
            Some(told) => registration(told)
                .map_err(|problem| note("registrationStatus", problem.to_owned()))
                .ok(),
        };
        let credentials = credentials(&request, allow_unsecured)
            .map_err(|(field, problem)| note(field, problem))
            .ok();
        let subprotocol = request.subprotocol.as_deref().and_then(|name| {
            subprotocol(name)
                .map_err(|problem| note("subprotocol", problem.to_owned()))
                .ok()
        });
        let site = request.site_id.as_deref().and_then(|id| {
            site(id)
                .map_err(|problem| note("siteId", problem.to_owned()))
                .ok()
                .flatten()
        });
        let tags = tags::parse(std::mem::take(&mut request.tags))
            .map_err(|wrong| wrong.into_iter().for_each(|wrong| note(&wrong.field, wrong.message)))
            .unwrap_or_default();
        if let Some(problem) = certificate_name_problem(&request) {
            note("certificateName", problem);
        }
        if let (Some(identity), Some((_, Credentials::Chosen(_) | Credentials::Made))) = (&identity, &credentials)
            && !identity.fits_basic_authentication()
        {
            note(
                "identity",
                "must not contain a colon where Basic authentication is used".to_owned(),
            );
        }
        let display_name = display_name(&request.display_name)
            .map_err(|problem| note("displayName", problem))
            .ok();
        match (identity, display_name, registration, credentials) {
            (Some(identity), Some(display_name), Some(registration), Some((security_profile, credentials)))
                if violations.is_empty() =>
            {
                let display_name = match display_name {
                    "" => identity.as_str().to_owned(),
                    name => name.to_owned(),
                };
                Ok(Self {
                    identity,
                    display_name,
                    registration,
                    security_profile,
                    credentials,
                    certificate_name: request.certificate_name,
                    subprotocol: subprotocol.flatten(),
                    site,
                    tags,
                })
            }
            _ => Err(violations),
        }
    }
}

pub(super) fn registration(status: &str) -> Result<Registration, &'static str> {
    Registration::parse(status).ok_or("must be Accepted, Pending or Rejected")
}

/// The version to insist on; an empty name insists on none.
pub(super) fn subprotocol(name: &str) -> Result<Option<Version>, &'static str> {
    match Version::from_subprotocol(name) {
        None if !name.is_empty() => Err("must be ocpp1.6, or empty for any"),
        version => Ok(version),
    }
}

pub(super) const NO_SITE: &str = "is no site's";

/// The site that an id stands for; an empty one for none.
pub(super) fn site(id: &str) -> Result<Option<Uuid>, &'static str> {
    match id {
        "" => Ok(None),
        id => Uuid::try_parse(id).map(Some).map_err(|_| NO_SITE),
    }
}

/// A name for people, as it is kept.
pub(super) fn display_name(name: &str) -> Result<&str, String> {
    if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(format!("must have at most {LONGEST_NAME} printable characters"));
    }
    Ok(name.trim())
}

/// The security profile, and what goes with it.
fn credentials(
    request: &CreateChargePointRequest,
    allow_unsecured: bool,
) -> Result<(i16, Credentials), (&'static str, String)> {
    let profile = security_profile(request.security_profile.unwrap_or(1), allow_unsecured)
        .map_err(|problem| ("securityProfile", problem.to_owned()))?;
    let password = request.password.as_deref().map(Password::parse).transpose();
    let password = password.map_err(|error| ("password", error.to_string()));
    let credentials =
        password.and_then(|password| Credentials::of(profile, password).map_err(|problem| ("password", problem)))?;
    Ok((profile, credentials))
}

/// A security profile that this installation knows.
pub(super) fn security_profile(profile: i32, allow_unsecured: bool) -> Result<i16, &'static str> {
    match profile {
        0 if !allow_unsecured => Err("is 0, and this installation lets nobody in without credentials"),
        0..=3 => Ok(profile as i16),
        _ => Err("must be 0, 1, 2 or 3"),
    }
}

fn certificate_name_problem(request: &CreateChargePointRequest) -> Option<String> {
    let name = request.certificate_name.as_deref()?;
    if request.security_profile != Some(3) {
        return Some("has a use with security profile 3 only".to_owned());
    }
    check_certificate_name(name).err()
}

pub(super) fn check_certificate_name(name: &str) -> Result<(), String> {
    let length = name.chars().count();
    let printable = !name.chars().any(char::is_control);
    if (1..=LONGEST_CERTIFICATE_NAME).contains(&length) && printable {
        Ok(())
    } else {
        Err(format!(
            "must have 1 to {LONGEST_CERTIFICATE_NAME} printable characters"
        ))
    }
}

pub async fn create(
    state: &State,
    new: NewChargePoint,
    author: &Author,
) -> Result<Versioned<ChargePoint>, CreateError> {
    let mut transaction = database::begin(&state.database).await?;
    unknown::forget(&mut transaction, new.identity.as_str()).await?;
    let created = register(state, &mut transaction, new, author).await?;
    transaction.commit().await?;
    Ok(created)
}

/// Registers it in a transaction that is under way.
pub async fn register(
    state: &State,
    connection: &mut PgConnection,
    new: NewChargePoint,
    author: &Author,
) -> Result<Versioned<ChargePoint>, CreateError> {
    let now = state.clock.now();
    let new = new.given(&state.passwords);
    registered::store(connection, std::slice::from_ref(&new), now).await?;
    audit::record(connection, registered::entry(&new, now, author)).await?;
    let mut created = list::read(connection, new.identity.as_str()).await?;
    tracing::info!(charge_point = %new.id, identity = %new.identity, "A charge point was registered");
    if new.has_short_password {
        tracing::warn!(charge_point = %new.id, "A charge point was registered with a password so short that it can be guessed");
    }
    created.resource.password = new.made;
    Ok(created)
}

impl NewChargePoint {
    /// Gives it an id, and what it proves itself with.
    pub(super) fn given(self, key: &PasswordKey) -> Registered {
        let id = Uuid::now_v7();
        let Given { hash, made, is_short } = self.credentials.give(key, id);
        Registered {
            id,
            identity: self.identity,
            made,
            display_name: self.display_name,
            registration: self.registration,
            security_profile: self.security_profile,
            hash,
            has_short_password: is_short,
            certificate_name: self.certificate_name,
            subprotocol: self.subprotocol,
            site: self.site,
            tags: self.tags,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(identity: &str) -> CreateChargePointRequest {
        CreateChargePointRequest {
            identity: identity.to_owned(),
            ..CreateChargePointRequest::default()
        }
    }

    fn fields(request: CreateChargePointRequest) -> Vec<String> {
        match NewChargePoint::parse(request, false) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn an_identity_is_enough() {
        let new = NewChargePoint::parse(request("CP1"), false).unwrap();
        assert_eq!(new.display_name, "CP1");
        assert_eq!(new.registration, Registration::Accepted);
        assert!(matches!(new.credentials, Credentials::Made));
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = CreateChargePointRequest {
            identity: "commands".to_owned(),
            display_name: "a\nb".to_owned(),
            registration_status: Some("accepted".to_owned()),
            security_profile: Some(4),
            password: None,
            certificate_name: Some("CP1".to_owned()),
            subprotocol: Some("ocpp1.5".to_owned()),
            site_id: Some("here".to_owned()),
            tags: vec!["a b".to_owned()],
        };
        assert_eq!(
            fields(wrong),
            [
                "identity",
                "registrationStatus",
                "securityProfile",
                "subprotocol",
                "siteId",
                "tags[0]",
                "certificateName",
                "displayName"
            ]
        );
    }

    /// Row "URL" of the decisions on framing.
    #[test]
    fn a_colon_and_basic_authentication_do_not_go_together() {
        assert_eq!(fields(request("CP:1")), ["identity"]);
        let unsecured = CreateChargePointRequest {
            security_profile: Some(0),
            ..request("CP:1")
        };
        assert!(NewChargePoint::parse(unsecured, true).is_ok());
    }

    #[test]
    fn a_charge_point_without_credentials_needs_an_installation_that_allows_it() {
        let unsecured = CreateChargePointRequest {
            security_profile: Some(0),
            ..request("CP1")
        };
        assert_eq!(fields(unsecured), ["securityProfile"]);
    }

    #[test]
    fn a_certificate_takes_the_place_of_a_password() {
        let with_certificate = CreateChargePointRequest {
            security_profile: Some(3),
            certificate_name: Some("SN-0815".to_owned()),
            ..request("CP:1")
        };
        let new = NewChargePoint::parse(with_certificate.clone(), false).unwrap();
        assert!(matches!(new.credentials, Credentials::None));
        let with_both = CreateChargePointRequest {
            password: Some("a password of one's own".to_owned()),
            ..with_certificate
        };
        assert_eq!(fields(with_both), ["password"]);
        let with_tls = CreateChargePointRequest {
            security_profile: Some(2),
            ..request("CP1")
        };
        let new = NewChargePoint::parse(with_tls, false).unwrap();
        assert!(matches!(new.credentials, Credentials::Made));
    }

    /// Rule 11.
    #[test]
    fn a_short_password_is_accepted_and_an_empty_one_refused() {
        let with = |password: &str| CreateChargePointRequest {
            password: Some(password.to_owned()),
            ..request("CP1")
        };
        assert_eq!(fields(with("1234")), [""; 0]);
        assert_eq!(fields(with("")), ["password"]);
    }
}
