//! Changes what operators decide about a charge point.

use ocpp::Version;
use service_kit::database;
use service_kit::reason::{self, FieldViolation};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ChargePoint, UpdateChargePointRequest};

use super::find::{self, FindError};
use super::identity::Identity;
use super::password::Password;
use super::{create, list, tags};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::boot::Registration;
use service_kit::version::{self, IfMatch, Versioned};

/// The fields that can be changed.
const FIELDS: [&str; 7] = [
    "display_name",
    "registration_status",
    "security_profile",
    "certificate_name",
    "site_id",
    "subprotocol",
    "tags",
];

/// A change that breaks no rule. What it does not have stays.
#[derive(Debug)]
pub struct Change {
    identity: String,
    display_name: Option<String>,
    registration: Option<Registration>,
    /// 0 to 3.
    security_profile: Option<i16>,
    /// Inside: none takes it away.
    certificate_name: Option<Option<String>>,
    subprotocol: Option<Option<Version>>,
    site: Option<Option<Uuid>>,
    tags: Option<Vec<String>>,
}

#[derive(Debug, Error)]
pub enum UpdateError {
    #[error("the charge point has been changed meanwhile")]
    Changed,
    #[error("a property does not go with the rest")]
    Misfit(FieldViolation),
    #[error("the charge point could not be changed")]
    Database(#[source] sqlx::Error),
    #[error(transparent)]
    Find(#[from] FindError),
}

impl From<sqlx::Error> for UpdateError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("charge_point_site") => Self::Misfit(FieldViolation::new("siteId", create::NO_SITE)),
            _ => Self::Database(error),
        }
    }
}

impl From<UpdateError> for Status {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Changed => version::changed(),
            UpdateError::Misfit(violation) => reason::invalid(vec![violation]),
            UpdateError::Database(error) => database::failed(&error),
            UpdateError::Find(error) => error.into(),
        }
    }
}

impl Change {
    /// Collects what is wrong with every field before it refuses, in those too that the mask does not name.
    pub fn parse(request: UpdateChargePointRequest, allow_unsecured: bool) -> Result<Self, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        // A mask of no fields is none.
        let mask = request
            .update_mask
            .map(|mask| mask.paths)
            .filter(|paths| !paths.is_empty());
        if let Some(unknown) = mask.iter().flatten().find(|path| !FIELDS.contains(&path.as_str())) {
            let problem = format!("names `{unknown}`, which cannot be changed");
            violations.push(FieldViolation::new("updateMask", problem));
        }
        let is_changed = |field: &str, given: bool| match &mask {
            Some(paths) => paths.iter().any(|path| path == field),
            None => given,
        };
        let changes_name = is_changed("display_name", request.display_name.is_some());
        let changes_registration = is_changed("registration_status", request.registration_status.is_some());
        let changes_profile = is_changed("security_profile", request.security_profile.is_some());
        let changes_certificate = is_changed("certificate_name", request.certificate_name.is_some());
        let changes_subprotocol = is_changed("subprotocol", request.subprotocol.is_some());
        let changes_site = is_changed("site_id", request.site_id.is_some());
        let changes_tags = is_changed("tags", !request.tags.is_empty());
        let mut note = |field: &str, problem: String| violations.push(FieldViolation::new(field, problem));
        let display_name = request.display_name.and_then(|name| match create::display_name(&name) {
            Ok("") => {
                note("displayName", "must not be empty".to_owned());
                None
            }
            Ok(name) => Some(name.to_owned()),
            Err(problem) => {
                note("displayName", problem);
                None
            }
        });
        let registration = request.registration_status.and_then(|status| {
            create::registration(&status)
                .map_err(|problem| note("registrationStatus", problem.to_owned()))
                .ok()
        });
        let security_profile = request.security_profile.and_then(|profile| {
            create::security_profile(profile, allow_unsecured)
                .map_err(|problem| note("securityProfile", problem.to_owned()))
                .ok()
        });
        if let Some(Err(problem)) = request.certificate_name.as_deref().map(create::check_certificate_name) {
            note("certificateName", problem);
        }
        let subprotocol = request.subprotocol.and_then(|name| {
            create::subprotocol(&name)
                .map_err(|problem| note("subprotocol", problem.to_owned()))
                .ok()
        });
        let site = request.site_id.and_then(|id| {
            create::site(&id)
                .map_err(|problem| note("siteId", problem.to_owned()))
                .ok()
        });
        let tags = tags::parse(request.tags)
            .map_err(|wrong| wrong.into_iter().for_each(|wrong| note(&wrong.field, wrong.message)))
            .ok();
        if violations.is_empty() {
            Ok(Self {
                identity: request.identity,
                // There is no charge point without the first three.
                display_name: display_name.filter(|_| changes_name),
                registration: registration.filter(|_| changes_registration),
                security_profile: security_profile.filter(|_| changes_profile),
                certificate_name: changes_certificate.then_some(request.certificate_name),
                subprotocol: changes_subprotocol.then_some(subprotocol.flatten()),
                site: changes_site.then_some(site.flatten()),
                tags: tags.filter(|_| changes_tags),
            })
        } else {
            Err(violations)
        }
    }
}

/// Changes it in the version that the caller has seen, and returns it as it is then.
pub async fn update(
    state: &State,
    change: Change,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<ChargePoint>, UpdateError> {
    let mut transaction = database::begin(&state.database).await?;
    let updated = sqlx::query!(
        r#"UPDATE ocpp.charge_point
         SET display_name = coalesce($2, display_name), registration_status = coalesce($3, registration_status),
             next_security_profile = CASE WHEN $5::smallint IS NULL THEN next_security_profile END,
             offered_security_profile = CASE WHEN $5 IS NULL THEN offered_security_profile END,
             security_profile = coalesce($5, security_profile),
             certificate_name = CASE WHEN $11 THEN $6 ELSE certificate_name END,
             subprotocol = CASE WHEN $7 THEN $8 ELSE subprotocol END,
             site_id = CASE WHEN $9 THEN $10 ELSE site_id END, tags = coalesce($12, tags), revision = nextval('ocpp.revision')
         WHERE identity = $1 AND ($4::bigint[] IS NULL OR revision = ANY($4))
         RETURNING id, security_profile, password_hash IS NOT NULL AS "has_password!""#,
        change.identity,
        change.display_name,
        change.registration.map(Registration::as_str),
        if_match.revisions(),
        change.security_profile,
        change.certificate_name.as_ref().and_then(Option::as_deref),
        change.subprotocol.is_some(),
        change.subprotocol.flatten().map(Version::subprotocol),
        change.site.is_some(),
        change.site.flatten(),
        change.certificate_name.is_some(),
        change.tags.as_deref(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(updated) = updated else {
        find::find(&mut transaction, &change.identity).await?;
        return Err(UpdateError::Changed);
    };
    check_fit(&change, updated.security_profile)?;
    let made = match updated.security_profile {
        1 | 2 if !updated.has_password => Some(make_password(state, &mut transaction, updated.id).await?),
        _ => None,
    };
    let now = state.clock.now();
    let entry = Entry::new(Action::ChargePointUpdated, now, author)
        .on_charge_point(&change.identity)
        .with("displayName", change.display_name.as_deref())
        .with("registrationStatus", change.registration.map(Registration::as_str))
        .with("securityProfile", change.security_profile)
        .with(
            "certificateName",
            change
                .certificate_name
                .as_ref()
                .map(|name| name.as_deref().unwrap_or_default()),
        )
        .with(
            "siteId",
            change
                .site
                .map(|site| site.map(|site| site.to_string()).unwrap_or_default()),
        )
        .with(
            "subprotocol",
            change
                .subprotocol
                .map(|version| version.map_or("", Version::subprotocol)),
        )
        .with("tags", change.tags.clone());
    audit::record(&mut transaction, entry).await?;
    if made.is_some() {
        let entry = Entry::new(Action::PasswordMade, now, author).on_charge_point(&change.identity);
        audit::record(&mut transaction, entry).await?;
    }
    let mut charge_point = list::read(&mut transaction, &change.identity).await?;
    transaction.commit().await?;
    charge_point.resource.password = made;
    Ok(charge_point)
}

/// What only the charge point's other properties can tell.
fn check_fit(change: &Change, profile: i16) -> Result<(), UpdateError> {
    let misfit = |field, problem| Err(UpdateError::Misfit(FieldViolation::new(field, problem)));
    let basic = change.security_profile.is_some() && matches!(profile, 1 | 2);
    if basic && !Identity::parse(&change.identity).is_ok_and(|identity| identity.fits_basic_authentication()) {
        return misfit("securityProfile", "needs an identity without a colon");
    }
    if matches!(change.certificate_name, Some(Some(_))) && profile != 3 {
        return misfit("certificateName", "has a use with security profile 3 only");
    }
    Ok(())
}

async fn make_password(
    state: &State,
    connection: &mut PgConnection,
    charge_point: Uuid,
) -> Result<String, sqlx::Error> {
    let password = Password::generate();
    let hash = state.passwords.hash(charge_point, password.as_str().as_bytes());
    sqlx::query!(
        "UPDATE ocpp.charge_point SET password_hash = $2 WHERE id = $1",
        charge_point,
        hash.as_slice()
    )
    .execute(connection)
    .await?;
    Ok(password.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = UpdateChargePointRequest {
            identity: "CP1".to_owned(),
            display_name: Some(" ".to_owned()),
            registration_status: Some(String::new()),
            security_profile: Some(0),
            certificate_name: Some(String::new()),
            subprotocol: Some("ocpp1.5".to_owned()),
            site_id: Some("here".to_owned()),
            tags: vec!["a b".to_owned()],
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["identity".to_owned()],
            }),
        };
        let violations = Change::parse(wrong, false).expect_err("all are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(
            fields,
            [
                "updateMask",
                "displayName",
                "registrationStatus",
                "securityProfile",
                "certificateName",
                "subprotocol",
                "siteId",
                "tags[0]"
            ]
        );
    }
}
