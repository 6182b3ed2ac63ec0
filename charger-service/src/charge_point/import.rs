//! Registers many charge points at once, from a file.

use service_kit::database;
use sqlx::PgConnection;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{CreateChargePointRequest, ImportChargePointsResponse, ImportedChargePoint};

use super::create::{NO_SITE, NewChargePoint};
use super::registered::{self, Registered};
use crate::State;
use crate::audit;
use crate::import::row::{Reader, Row};
use crate::import::{self, Faults, Fields, Import, StoreError};
use crate::unknown;

const KIND: &str = "charge-point";

pub(super) const FIELDS: Fields = Fields {
    of: "a charge point",
    required: "identity",
    others: &[
        "displayName",
        "registrationStatus",
        "securityProfile",
        "password",
        "certificateName",
        "siteId",
        "subprotocol",
        "tags",
    ],
    ignored: &[
        "id",
        "online",
        "protocol",
        "vendor",
        "model",
        "serialNumber",
        "firmwareVersion",
        "lastSeenAt",
        "lastBootAt",
        "createdAt",
        "connectors",
        "numberOfConnectors",
        "nextSecurityProfile",
        "clockOffsetSeconds",
        "retiredAt",
    ],
};

/// Registers all of them, or tells what is wrong with any.
pub(super) async fn import(state: &State, mut import: Import) -> Result<ImportChargePointsResponse, StoreError> {
    let new = parse(&import.rows, state.allow_unsecured, &mut import.faults);
    let mut transaction = database::begin(&state.database).await?;
    if let Some(done) = import::earlier(&mut transaction, &import, KIND).await? {
        return Ok(answer(done.rows, done.rows, Vec::new()));
    }
    check(&mut transaction, &import.rows, &mut import.faults).await?;
    let rows = match import.check() {
        Ok(rows) => rows,
        // The same file may have come in meanwhile, under the same key: then all of it is there already.
        Err(faults) => {
            let done = import::earlier(&mut transaction, &import, KIND).await?;
            return done.map(|done| answer(done.rows, done.rows, Vec::new())).ok_or(faults);
        }
    };
    if import.dry_run {
        return Ok(answer(rows, 0, Vec::new()));
    }
    let now = state.clock.now();
    if !import::keep(&mut transaction, &import, KIND, now).await? {
        let done = import::earlier(&mut transaction, &import, KIND).await?;
        let done = done.ok_or(StoreError::Meanwhile)?;
        return Ok(answer(done.rows, done.rows, Vec::new()));
    }
    let (lines, registered): (Vec<i32>, Vec<Registered>) = new
        .into_iter()
        .map(|(line, new)| (line, new.given(&state.passwords)))
        .unzip();
    let identities: Vec<String> = registered.iter().map(|new| new.identity.to_string()).collect();
    unknown::forget_all(&mut transaction, &identities).await?;
    registered::store(&mut transaction, &registered, now).await?;
    let entries = registered
        .iter()
        .map(|new| registered::entry(new, now, &import.author).with("import", Some(import.id.to_string())));
    audit::record_all(&mut transaction, entries).await?;
    transaction.commit().await?;
    tracing::info!(import = %import.id, rows, "Charge points were imported");
    let passwords = lines.into_iter().zip(registered).filter_map(|(line, new)| {
        Some(ImportedChargePoint {
            line,
            identity: new.identity.to_string(),
            password: new.made?,
        })
    });
    Ok(answer(rows, rows, passwords.collect()))
}

fn answer(rows: i32, created: i32, passwords: Vec<ImportedChargePoint>) -> ImportChargePointsResponse {
    ImportChargePointsResponse {
        rows,
        created,
        passwords,
    }
}

/// Those that break no rule by themselves, with their lines.
fn parse(rows: &[Row], allow_unsecured: bool, faults: &mut Faults) -> Vec<(i32, NewChargePoint)> {
    let mut new = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| row.is_readable()) {
        let request = request(&mut Reader { row, faults });
        match NewChargePoint::parse(request, allow_unsecured) {
            Ok(parsed) => new.push((row.line(), parsed)),
            Err(violations) => faults.note_all(row.line, violations),
        }
    }
    new
}

fn request(row: &mut Reader<'_>) -> CreateChargePointRequest {
    CreateChargePointRequest {
        identity: row.text("identity").unwrap_or_default(),
        display_name: row.text("displayName").unwrap_or_default(),
        registration_status: row.text("registrationStatus"),
        security_profile: row.number("securityProfile"),
        password: row.text("password"),
        certificate_name: row.text("certificateName"),
        site_id: row.text("siteId"),
        subprotocol: row.text("subprotocol"),
        tags: row.texts("tags"),
    }
}

/// What the rows cannot be by each other, and by what is there.
async fn check(connection: &mut PgConnection, rows: &[Row], faults: &mut Faults) -> Result<(), sqlx::Error> {
    let keys = import::keys(rows, "identity", str::to_owned, faults);
    let registered = sqlx::query_scalar!(
        r#"SELECT line AS "line!" FROM unnest($1::integer[], $2::text[]) AS told (line, identity)
           JOIN ocpp.charge_point USING (identity) ORDER BY line"#,
        &keys.lines,
        &keys.values,
    )
    .fetch_all(&mut *connection)
    .await?;
    faults.note_lines(&registered, "identity", "is registered already");
    let sites: Vec<(i32, Uuid)> = rows
        .iter()
        .filter_map(|row| Some((row.line(), Uuid::try_parse(&row.text("siteId")?).ok()?)))
        .collect();
    let (lines, sites): (Vec<i32>, Vec<Uuid>) = sites.into_iter().unzip();
    let unknown = sqlx::query_scalar!(
        r#"SELECT line AS "line!" FROM unnest($1::integer[], $2::uuid[]) AS told (line, site)
           WHERE NOT EXISTS (SELECT FROM ocpp.site WHERE id = site) ORDER BY line"#,
        &lines,
        &sites,
    )
    .fetch_all(connection)
    .await?;
    faults.note_lines(&unknown, "siteId", NO_SITE);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_what_a_registration_has_and_what_an_export_has() {
        import::tests::covers(FIELDS, "CreateChargePointRequest", "ChargePoint");
    }
}
