//! Everything that is kept about an account, for its owner to take along. Hashes and sealed secrets are left out: they say
//! nothing to anybody.

use serde_json::{Value, json};
use service_kit::database;
use sqlx::types::Json;
use uuid::Uuid;

use super::{ProfileError, read};
use crate::State;

/// The newest entries of the audit log that an export has.
const MOST_ENTRIES: i64 = 10_000;

pub async fn export(state: &State, account: Uuid) -> Result<Value, ProfileError> {
    let mut transaction = database::begin(&state.database).await?;
    let row = read(&mut transaction, account).await?;
    let sessions = sqlx::query_scalar!(
        r#"SELECT coalesce(json_agg(json_build_object(
               'id', id, 'device', device, 'address', address,
               'startedAt', started_at, 'lastUsedAt', last_used_at, 'expiresAt', expires_at
           ) ORDER BY started_at), '[]') AS "sessions!: Json<Value>"
           FROM authentication.session WHERE account_id = $1"#,
        account
    )
    .fetch_one(&mut *transaction)
    .await?;
    let api_keys = sqlx::query_scalar!(
        r#"SELECT coalesce(json_agg(json_build_object(
               'id', id, 'name', name, 'scopes', scopes, 'roles', roles,
               'createdAt', created_at, 'expiresAt', expires_at, 'lastUsedAt', last_used_at
           ) ORDER BY created_at), '[]') AS "api_keys!: Json<Value>"
           FROM authentication.api_key WHERE account_id = $1"#,
        account
    )
    .fetch_one(&mut *transaction)
    .await?;
    let passkeys = sqlx::query_scalar!(
        r#"SELECT coalesce(json_agg(json_build_object(
               'id', id, 'name', name, 'createdAt', created_at, 'lastUsedAt', last_used_at
           ) ORDER BY created_at), '[]') AS "passkeys!: Json<Value>"
           FROM authentication.passkey WHERE account_id = $1"#,
        account
    )
    .fetch_one(&mut *transaction)
    .await?;
    let second_factor = sqlx::query_scalar!(
        r#"SELECT json_build_object(
               'totpSince', (SELECT confirmed_at FROM authentication.totp WHERE account_id = $1),
               'recoveryCodesLeft', (SELECT count(*) FROM authentication.recovery_code WHERE account_id = $1)
           ) AS "second_factor!: Json<Value>""#,
        account
    )
    .fetch_one(&mut *transaction)
    .await?;
    let devices = sqlx::query_scalar!(
        r#"SELECT coalesce(json_agg(json_build_object(
               'device', device, 'network', network, 'firstUsedAt', first_used_at, 'lastUsedAt', last_used_at
           ) ORDER BY first_used_at), '[]') AS "devices!: Json<Value>"
           FROM authentication.known_device WHERE account_id = $1"#,
        account
    )
    .fetch_one(&mut *transaction)
    .await?;
    let familiar_addresses = sqlx::query_scalar!(
        r#"SELECT coalesce(json_agg(json_build_object('network', network, 'lastUsedAt', last_used_at) ORDER BY last_used_at),
               '[]') AS "familiar_addresses!: Json<Value>"
           FROM authentication.familiar_address WHERE account_id = $1"#,
        account
    )
    .fetch_one(&mut *transaction)
    .await?;
    // Where an administrator was when they did something to the account is theirs to know.
    let audit = sqlx::query_scalar!(
        r#"SELECT coalesce(json_agg(json_build_object(
               'at', at, 'action', action, 'byYou', actor_id = $1, 'details', details,
               'address', CASE WHEN coalesce(actor_id, $1) = $1 THEN address END,
               'device', CASE WHEN coalesce(actor_id, $1) = $1 THEN device END
           ) ORDER BY at), '[]') AS "audit!: Json<Value>"
           FROM (
               SELECT * FROM authentication.audit WHERE account_id = $1 OR (actor_id = $1 AND account_id IS NULL)
               ORDER BY at DESC, id DESC LIMIT $2
           ) AS newest"#,
        account,
        MOST_ENTRIES
    )
    .fetch_one(&mut *transaction)
    .await?;
    Ok(json!({
        "account": {
            "id": row.id,
            "username": row.username,
            "email": row.email,
            "emailVerifiedAt": row.email_verified_at,
            "roles": row.roles,
            "language": row.language,
            "createdAt": row.created_at,
        },
        "secondFactor": second_factor.0,
        "passkeys": passkeys.0,
        "sessions": sessions.0,
        "apiKeys": api_keys.0,
        "knownDevices": devices.0,
        "familiarAddresses": familiar_addresses.0,
        "audit": audit.0,
    }))
}
