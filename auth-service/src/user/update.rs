//! An administrator changes roles, or disables or enables an account.

use std::collections::BTreeSet;

use service_kit::access::{Client, Role};
use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use service_kit::version::{self, IfMatch};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::UpdateUserRequest;

use super::{Row, UserError, lock, read, roles, site_groups};
use crate::State;
use crate::administrator;
use crate::api_key;
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::email_code::{self, WAYS_IN};
use crate::session::end::{self, Which};

/// A change that breaks no rule. What it does not have stays.
pub struct Change {
    roles: Option<Vec<Role>>,
    disabled: Option<bool>,
    /// Inside: none takes the limit away.
    site_groups: Option<Option<Vec<String>>>,
}

impl TryFrom<UpdateUserRequest> for Change {
    type Error = Vec<FieldViolation>;

    fn try_from(request: UpdateUserRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let roles = roles(&request.roles)
            .map_err(|unknown| violations.extend(unknown))
            .unwrap_or_default();
        let groups = site_groups::parse(request.site_groups)
            .map_err(|wrong| violations.extend(wrong))
            .unwrap_or_default();
        let everywhere = request.everywhere == Some(true);
        if everywhere && groups.is_some() {
            violations.push(FieldViolation::new("everywhere", "contradicts siteGroups"));
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        Ok(Self {
            roles: (!roles.is_empty()).then_some(roles),
            disabled: request.disabled,
            site_groups: (everywhere || groups.is_some()).then_some(groups),
        })
    }
}

#[derive(Debug, Error)]
pub enum UpdateError {
    #[error("the account has been changed meanwhile")]
    Changed,
    #[error("nobody else is an administrator")]
    LastAdministrator,
    #[error(transparent)]
    User(#[from] UserError),
    #[error("the account could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<UpdateError> for Status {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Changed => version::changed(),
            UpdateError::LastAdministrator => {
                Reason::LastAdministrator.status("This is the last administrator; make somebody else one first")
            }
            UpdateError::User(error) => error.into(),
            UpdateError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn update(
    state: &State,
    caller: &LoggedInAs,
    client: &Client,
    account: Uuid,
    change: Change,
    if_match: &IfMatch,
) -> Result<Row, UpdateError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    // Asked first, because it takes the lock that comes before those of rows.
    let is_last = administrator::is_last(&mut transaction, account).await?;
    let before = lock(&mut transaction, account).await?;
    let names: Option<Vec<String>> = change
        .roles
        .map(|roles| roles.iter().map(|role| role.as_str().to_owned()).collect());
    let loses_admin = names
        .as_ref()
        .is_some_and(|names| !names.iter().any(|name| name == "admin"));
    if is_last && (loses_admin || change.disabled == Some(true)) {
        return Err(UpdateError::LastAdministrator);
    }
    let updated = sqlx::query!(
        "UPDATE authentication.account
         SET roles = coalesce($2, roles),
             disabled_at = CASE WHEN $3 THEN coalesce(disabled_at, $4) WHEN NOT $3 THEN NULL ELSE disabled_at END,
             site_groups = CASE WHEN $6 THEN $7 ELSE site_groups END, revision = revision + 1
         WHERE id = $1 AND ($5::bigint[] IS NULL OR revision = ANY ($5))",
        account,
        names.as_deref(),
        change.disabled,
        now,
        if_match.revisions(),
        change.site_groups.is_some(),
        change.site_groups.flatten() as Option<Vec<String>>,
    )
    .execute(&mut *transaction)
    .await?;
    if updated.rows_affected() == 0 {
        return Err(UpdateError::Changed);
    }
    let updated = read(&mut transaction, account).await?;
    let entry = |action| Entry::new(action, now, client).by(caller.account).on(account);
    if updated.disabled_at.is_some() && before.disabled_at.is_none() {
        email_code::withdraw(&mut transaction, account, &WAYS_IN).await?;
        end::end(&mut transaction, state, account, Which::All).await?;
        api_key::revoke::renew_access_tokens(&mut transaction, state, account).await?;
        audit::record(&mut transaction, entry(Action::Disabled)).await?;
    }
    if updated.disabled_at.is_none() && before.disabled_at.is_some() {
        audit::record(&mut transaction, entry(Action::Enabled)).await?;
    }
    let as_set = |roles: &[String]| roles.iter().cloned().collect::<BTreeSet<_>>();
    if as_set(&updated.roles) != as_set(&before.roles) {
        end::renew_access_tokens(&mut transaction, state, account).await?;
        api_key::revoke::renew_access_tokens(&mut transaction, state, account).await?;
        let entry = entry(Action::RolesChanged).with("roles", updated.roles.clone());
        audit::record(&mut transaction, entry).await?;
    }
    if updated.site_groups != before.site_groups {
        end::renew_access_tokens(&mut transaction, state, account).await?;
        api_key::revoke::renew_access_tokens(&mut transaction, state, account).await?;
        let groups = updated.site_groups.clone().unwrap_or_default();
        let entry = entry(Action::SiteGroupsChanged).with("siteGroups", groups);
        audit::record(&mut transaction, entry).await?;
    }
    transaction.commit().await?;
    Ok(updated)
}
