//! Registers many id tokens at once, from a file.

use serde::Deserialize;
use service_kit::database;
use sqlx::PgConnection;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{CreateIdTokenRequest, IdTokenLocation, ImportIdTokensResponse};

use super::create::{self, NewIdToken, properties};
use super::{key_code, location, owner};
use crate::State;
use crate::audit::{self, Action, Entry};
use crate::import::row::{Reader, Row};
use crate::import::{self, Faults, Fields, Import, StoreError};

const KIND: &str = "id-token";

pub(super) const FIELDS: Fields = Fields {
    of: "an id token",
    required: "idToken",
    others: &[
        "type",
        "groupId",
        "expiresAt",
        "blocked",
        "maxConcurrentTransactions",
        "allowedLocations",
        "accountId",
    ],
    ignored: &["createdAt"],
};

const NO_PLACES: &str = r#"must be a list such as [{"identity": "CP-1", "connectorId": 1}]"#;

/// A place as JSON has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Place {
    identity: String,
    connector_id: Option<i32>,
}

/// Registers all of them, or tells what is wrong with any.
pub(super) async fn import(state: &State, mut import: Import) -> Result<ImportIdTokensResponse, StoreError> {
    let new = parse(&import.rows, &mut import.faults);
    let mut transaction = database::begin(&state.database).await?;
    if let Some(done) = import::earlier(&mut transaction, &import, KIND).await? {
        return Ok(answer(done.rows, done.rows));
    }
    check(&mut transaction, &import.rows, &new, &mut import.faults).await?;
    let rows = match import.check() {
        Ok(rows) => rows,
        // The same file may have come in meanwhile, under the same key: then all of it is there already.
        Err(faults) => {
            let done = import::earlier(&mut transaction, &import, KIND).await?;
            return done.map(|done| answer(done.rows, done.rows)).ok_or(faults);
        }
    };
    if import.dry_run {
        return Ok(answer(rows, 0));
    }
    let now = state.clock.now();
    if !import::keep(&mut transaction, &import, KIND, now).await? {
        let done = import::earlier(&mut transaction, &import, KIND).await?;
        let done = done.ok_or(StoreError::Meanwhile)?;
        return Ok(answer(done.rows, done.rows));
    }
    let new: Vec<(Uuid, NewIdToken)> = new.into_iter().map(|(_, new)| (Uuid::now_v7(), new)).collect();
    create::store(&mut transaction, &new, now).await?;
    location::store(
        &mut transaction,
        new.iter().map(|(id, new)| (*id, new.allowed_locations.as_slice())),
    )
    .await?;
    let created: Vec<_> = new.into_iter().map(|(_, new)| new.into_row(now)).collect();
    let shown: Vec<_> = created
        .iter()
        .map(|row| key_code::shown(&state.passwords, &row.value, [row.r#type.as_str()]))
        .collect();
    let entries = created.iter().zip(&shown).map(|(row, shown)| {
        let entry = Entry::new(Action::IdTokenCreated, now, &import.author).on_id_token(shown);
        properties(entry, row).with("import", Some(import.id.to_string()))
    });
    audit::record_all(&mut transaction, entries).await?;
    transaction.commit().await?;
    tracing::info!(import = %import.id, rows, "Id tokens were imported");
    Ok(answer(rows, rows))
}

fn answer(rows: i32, created: i32) -> ImportIdTokensResponse {
    ImportIdTokensResponse { rows, created }
}

/// Those that break no rule by themselves, with their lines.
fn parse(rows: &[Row], faults: &mut Faults) -> Vec<(i32, NewIdToken)> {
    let mut new = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| row.is_readable()) {
        let request = request(&mut Reader { row, faults });
        match NewIdToken::try_from(request) {
            Ok(parsed) => new.push((row.line(), parsed)),
            Err(violations) => faults.note_all(row.line, violations),
        }
    }
    new
}

fn request(row: &mut Reader<'_>) -> CreateIdTokenRequest {
    let places: Vec<Place> = row.json("allowedLocations", NO_PLACES).unwrap_or_default();
    let places = places.into_iter().map(|place| IdTokenLocation {
        identity: place.identity,
        connector_id: place.connector_id,
    });
    CreateIdTokenRequest {
        id_token: row.text("idToken").unwrap_or_default(),
        r#type: row.text("type"),
        group_id: row.text("groupId"),
        expires_at: row.time("expiresAt"),
        blocked: row.flag("blocked").unwrap_or_default(),
        max_concurrent_transactions: row.number("maxConcurrentTransactions"),
        allowed_locations: places.collect(),
        account_id: row.text("accountId"),
    }
}

/// What the rows cannot be by each other, and by what is there.
async fn check(
    connection: &mut PgConnection,
    rows: &[Row],
    new: &[(i32, NewIdToken)],
    faults: &mut Faults,
) -> Result<(), sqlx::Error> {
    let keys = import::keys(rows, "idToken", str::to_ascii_lowercase, faults);
    let registered = sqlx::query_scalar!(
        r#"SELECT line AS "line!" FROM unnest($1::integer[], $2::text[]) AS told (line, value)
           JOIN ocpp.id_token ON lower(id_token.value) = told.value ORDER BY line"#,
        &keys.lines,
        &keys.values,
    )
    .fetch_all(&mut *connection)
    .await?;
    faults.note_lines(
        &registered,
        "idToken",
        "is registered already, perhaps in other letter case",
    );
    let accounts: Vec<_> = new.iter().filter_map(|(_, new)| new.account_id).collect();
    let deleted = owner::deleted(&mut *connection, &accounts).await?;
    let of_deleted = new
        .iter()
        .filter(|(_, new)| new.account_id.is_some_and(|account| deleted.contains(&account)));
    let lines: Vec<_> = of_deleted.map(|(line, _)| *line).collect();
    faults.note_lines(&lines, "accountId", owner::DELETED);
    let places = new.iter().map(|(line, new)| (*line, new.allowed_locations.as_slice()));
    for (line, index) in location::unknown(connection, places).await? {
        let field = location::field(index, "identity");
        faults.note_lines(&[line], &field, location::UNKNOWN);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_what_a_registration_has_and_what_an_export_has() {
        import::tests::covers(FIELDS, "CreateIdTokenRequest", "IdToken");
    }
}
