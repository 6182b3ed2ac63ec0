//! A key is made. Its text leaves in the answer; what stays is a hash.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::access::{ApiKey, Client, Role, Scope};
use service_kit::database;
use service_kit::event::{instant, timestamp};
use service_kit::reason::{self, FieldViolation, Reason};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::auth::v1::{self as proto, CreateApiKeyRequest, CreatedApiKey};

use super::MOST_OF_ONE_ACCOUNT;
use crate::State;
use crate::caller::LoggedInAs;
use crate::credential::notice::{self, Change, NoticeError};
use crate::credential::proof::{Proof, ProofError};
use crate::name::Name;
use crate::user::roles;

/// Where its owner does not say how long it is good for.
const USUAL_LIFETIME: TimeDelta = TimeDelta::days(90);

/// A year, and a day to replace it.
const LONGEST_LIFETIME: TimeDelta = TimeDelta::days(366);

/// A key as somebody wants it.
pub struct NewKey {
    name: Name,
    scopes: Vec<String>,
    /// All that the account has, where there is none.
    roles: Vec<Role>,
    expires_at: DateTime<Utc>,
    proof: Proof,
}

impl NewKey {
    /// # Errors
    /// What is wrong with the request.
    pub fn parse(
        request: CreateApiKeyRequest,
        known: &BTreeSet<Scope>,
        now: DateTime<Utc>,
    ) -> Result<Self, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        let name = Name::parse(&request.name).map_err(|violation| violations.push(violation));
        let scopes = scopes(&request.scopes, known).map_err(|wrong| violations.extend(wrong));
        let roles = roles(&request.roles).map_err(|unknown| violations.extend(unknown));
        let expires_at = match request.expires_at {
            Some(at) => expiry(at, now).map_err(|violation| violations.push(violation)),
            None => Ok(now + USUAL_LIFETIME),
        };
        let proof = Proof::new(request.password, request.code).map_err(|wrong| violations.extend(wrong));
        match (name, scopes, roles, expires_at, proof) {
            (Ok(name), Ok(scopes), Ok(roles), Ok(expires_at), Ok(proof)) => Ok(Self {
                name,
                scopes,
                roles,
                expires_at,
                proof,
            }),
            _ => Err(violations),
        }
    }
}

/// The scopes of a request, each once.
fn scopes(names: &[String], known: &BTreeSet<Scope>) -> Result<Vec<String>, Vec<FieldViolation>> {
    if names.is_empty() {
        return Err(vec![FieldViolation::new("scopes", "is required")]);
    }
    let is_known = |name: &str| Scope::parse(name).is_some_and(|scope| known.contains(&scope));
    let all = || known.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>();
    let unknown = names.iter().enumerate().filter(|(_, name)| !is_known(name));
    let violations: Vec<_> = unknown
        .map(|(index, _)| {
            let message = format!("must be one of {}", all().join(", "));
            FieldViolation::new(format!("scopes[{index}]"), message)
        })
        .collect();
    if violations.is_empty() {
        let each_once: BTreeSet<_> = names.iter().cloned().collect();
        Ok(each_once.into_iter().collect())
    } else {
        Err(violations)
    }
}

fn expiry(at: prost_types::Timestamp, now: DateTime<Utc>) -> Result<DateTime<Utc>, FieldViolation> {
    instant(at)
        .filter(|at| (now..=now + LONGEST_LIFETIME).contains(at))
        .ok_or_else(|| FieldViolation::new("expiresAt", "must be in the future, and at most 366 days from now"))
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("the account does not have the role {0}")]
    NotTheirs(Role),
    #[error("the account has as many keys as it may have")]
    TooMany,
    #[error(transparent)]
    Notice(#[from] NoticeError),
    #[error("the key could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<CreateError> for Status {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Proof(error) => error.into(),
            CreateError::NotTheirs(role) => reason::invalid(vec![FieldViolation::new(
                "roles",
                format!("must be roles of yours, and you are no `{role}`"),
            )]),
            CreateError::TooMany => Reason::TooManyApiKeys.status(format!(
                "You have {MOST_OF_ONE_ACCOUNT} API keys; revoke one that is not used any more"
            )),
            CreateError::Notice(error) => error.into(),
            CreateError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn create(
    state: &State,
    caller: &LoggedInAs,
    client: &Client,
    new: NewKey,
    now: DateTime<Utc>,
) -> Result<CreatedApiKey, CreateError> {
    let (mut transaction, owner) = new.proof.check(state, caller.account, client, now).await?;
    let account = sqlx::query!(
        r#"SELECT roles, (SELECT count(*) FROM authentication.api_key WHERE account_id = $1) AS "keys!"
           FROM authentication.account WHERE id = $1"#,
        owner.id
    )
    .fetch_one(&mut *transaction)
    .await?;
    if account.keys >= MOST_OF_ONE_ACCOUNT {
        return Err(CreateError::TooMany);
    }
    let is_theirs = |role: &Role| account.roles.iter().any(|name| name == role.as_str());
    if let Some(role) = new.roles.iter().find(|role| !is_theirs(role)) {
        return Err(CreateError::NotTheirs(*role));
    }
    let roles = match new.roles.as_slice() {
        [] => account.roles,
        some => some.iter().map(|role| role.as_str().to_owned()).collect(),
    };
    let key = ApiKey::generate();
    sqlx::query!(
        "INSERT INTO authentication.api_key (id, account_id, name, secret_hash, scopes, roles, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        key.id,
        owner.id,
        new.name.as_str(),
        &key.secret_hash()[..],
        &new.scopes,
        &roles,
        now,
        new.expires_at
    )
    .execute(&mut *transaction)
    .await?;
    notice::tell(&mut transaction, &owner, Change::ApiKeyCreated(key.id), client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %owner.id, api_key = %key.id, "An account has a new API key");
    Ok(CreatedApiKey {
        key: key.write(),
        api_key: Some(proto::ApiKey {
            id: key.id.to_string(),
            name: new.name.as_str().to_owned(),
            scopes: new.scopes,
            roles,
            created_at: Some(timestamp(now)),
            expires_at: Some(timestamp(new.expires_at)),
            last_used_at: None,
        }),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use service_kit::access::Rules;
    use voltgate_proto::api::v1 as api;

    #[test]
    fn the_documentation_lists_every_scope_there_is() {
        let pool = voltgate_proto::pool();
        let request = pool
            .get_message_by_name("voltgate.auth.v1.CreateApiKeyRequest")
            .unwrap();
        let option = pool.get_extension_by_name("voltgate.api.v1.field").unwrap();
        let options = request.get_field_by_name("scopes").unwrap().options();
        let listed: api::Field = options
            .get_extension(&option)
            .as_message()
            .unwrap()
            .transcode_to()
            .unwrap();
        let known = Rules::from_descriptors(pool).unwrap().scopes();
        let known: Vec<_> = known.iter().map(ToString::to_string).collect();
        assert_eq!(listed.one_of, known);
    }
}
