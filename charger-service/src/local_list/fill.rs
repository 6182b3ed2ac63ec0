//! Fills a command that brings a list, at the moment when it leaves.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::wanted::{self, Limits, Wanted};
use crate::charge_point::password::PasswordKey;
use crate::id_token::key_code;
use crate::redact;
use crate::v1_6::local_list::{Update, worded};

/// What a command says, and what a log may keep of it.
#[derive(Debug)]
pub struct Filled {
    pub payload: Box<RawValue>,
    /// Where codes are in it that people type in.
    pub masked: Option<Box<RawValue>>,
}

/// None for a command that brings no list.
pub async fn fill(
    connection: &mut PgConnection,
    key: &PasswordKey,
    command: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Filled>, sqlx::Error> {
    let Some((charge_point, known)) = known(connection, command).await? else {
        return Ok(None);
    };
    let limits = wanted::limits(connection, charge_point).await?;
    let (update, entries) = entries(connection, charge_point, known, limits, now).await?;
    let (version, update) = known.next(update);
    let payload = worded(update, version, &entries).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let masked = holds_code(connection, &entries)
        .await?
        .then(|| redact::id_tags(&payload, |tag| key_code::fingerprint(key, tag)))
        .flatten()
        .map(|tags| tags.masked);
    keep(connection, command, version, &payload, masked.as_deref()).await?;
    let raw = |text| RawValue::from_string(text).map_err(|error| sqlx::Error::Encode(error.into()));
    Ok(Some(Filled {
        payload: raw(payload)?,
        masked: masked.map(raw).transpose()?,
    }))
}

/// What is known of the list that the charge point has.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Its entries, for sure.
    is_sure: bool,
    /// The highest version that was heard of or sent.
    version: i32,
}

impl Known {
    /// Versions go up. After the last there is, a whole list begins anew.
    fn next(self, update: Update) -> (i32, Update) {
        match self.version.max(0).checked_add(1) {
            Some(version) => (version, update),
            None => (1, Update::Full),
        }
    }
}

async fn known(connection: &mut PgConnection, command: Uuid) -> Result<Option<(Uuid, Known)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT list.charge_point_id,
               NOT full_next AND coalesce(entries_version = reported_version AND entries_version > 0, false) AS "is_sure!",
               coalesce(greatest(sent_version, desired_version, reported_version, entries_version), 0) AS "version!"
           FROM ocpp.desired_local_list AS list
           LEFT JOIN ocpp.local_list ON local_list.charge_point_id = list.charge_point_id
           WHERE command_id = $1"#,
        command,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let known = Known {
            is_sure: row.is_sure && row.version < i32::MAX,
            version: row.version,
        };
        (row.charge_point_id, known)
    }))
}

/// Changes where it is known what the charge point has, unless the whole list takes fewer messages.
async fn entries(
    connection: &mut PgConnection,
    charge_point: Uuid,
    known: Known,
    limits: Limits,
    now: DateTime<Utc>,
) -> Result<(Update, Vec<Wanted>), sqlx::Error> {
    let at_once = limits.at_once;
    if known.is_sure {
        let changes = wanted::differences(connection, charge_point, now, at_once + 1).await?;
        let are_too_many = i32::try_from(changes.len()).is_ok_and(|count| count > at_once);
        if !are_too_many || wanted::count(connection, charge_point, now, at_once + 1).await? > at_once {
            let changes = changes.into_iter().take(usize::try_from(at_once).unwrap_or(usize::MAX));
            return Ok((Update::Differential, changes.collect()));
        }
    }
    let first = wanted::entries(connection, charge_point, now, at_once).await?;
    Ok((Update::Full, first))
}

/// A group may be called like a code.
async fn holds_code(connection: &mut PgConnection, entries: &[Wanted]) -> Result<bool, sqlx::Error> {
    if entries.iter().any(|entry| entry.is_code) {
        return Ok(true);
    }
    let groups: Vec<String> = entries
        .iter()
        .filter_map(|entry| Some(entry.parent_id_tag.as_ref()?.to_ascii_lowercase()))
        .collect();
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ocpp.id_token WHERE type = 'KeyCode' AND lower(value) = ANY($1)) AS "holds!""#,
        &groups,
    )
    .fetch_one(connection)
    .await
}

/// The ledger has what is sent, since it may have to be sent again; and what it is to have in the end.
async fn keep(
    connection: &mut PgConnection,
    command: Uuid,
    version: i32,
    payload: &str,
    masked: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH masked AS (
             INSERT INTO ocpp.masked_payload (command_id, payload) SELECT $1, $3::text::json WHERE $3::text IS NOT NULL),
         counted AS (
             UPDATE ocpp.desired_local_list SET sent_version = $4 WHERE command_id = $1)
         UPDATE ocpp.command SET payload = $2::text::json WHERE id = $1",
        command,
        payload,
        masked,
        version,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_go_up_and_are_never_0() {
        let next = |version| {
            let known = Known { is_sure: true, version };
            known.next(Update::Differential)
        };
        assert_eq!(next(-1), (1, Update::Differential));
        assert_eq!(next(0), (1, Update::Differential));
        assert_eq!(next(7), (8, Update::Differential));
        assert_eq!(next(i32::MAX), (1, Update::Full));
    }
}
