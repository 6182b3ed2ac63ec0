//! Registers many sites at once, from a file.

use service_kit::database;
use sqlx::PgConnection;
use voltgate_proto::ocpp::v1::{CreateSiteRequest, ImportSitesResponse, ImportedSite};

use super::Row as Site;
use super::create::{self, NewSite};
use super::properties::properties;
use crate::State;
use crate::audit::{self, Action, Entry};
use crate::import::row::{Reader, Row};
use crate::import::{self, Faults, Fields, Import, StoreError};

const KIND: &str = "site";

pub(super) const FIELDS: Fields = Fields {
    of: "a site",
    required: "name",
    others: &["timeZone", "gridLimitWatts", "address", "groups"],
    ignored: &["id", "createdAt"],
};

/// Registers all of them, or tells what is wrong with any.
pub(super) async fn import(state: &State, mut import: Import) -> Result<ImportSitesResponse, StoreError> {
    let new = parse(&import.rows, &mut import.faults);
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
    let (lines, new): (Vec<i32>, Vec<NewSite>) = new.into_iter().unzip();
    let created = create::store(&mut transaction, &new, now).await?;
    let entries = created.iter().map(|site| {
        let entry = Entry::new(Action::SiteCreated, now, &import.author);
        properties(entry, site).with("import", Some(import.id.to_string()))
    });
    audit::record_all(&mut transaction, entries).await?;
    transaction.commit().await?;
    tracing::info!(import = %import.id, rows, "Sites were imported");
    let sites = lines
        .into_iter()
        .zip(created)
        .map(|(line, site): (i32, Site)| ImportedSite {
            line,
            id: site.id.to_string(),
            name: site.name,
        });
    Ok(answer(rows, rows, sites.collect()))
}

fn answer(rows: i32, created: i32, sites: Vec<ImportedSite>) -> ImportSitesResponse {
    ImportSitesResponse { rows, created, sites }
}

/// Those that break no rule by themselves, with their lines.
fn parse(rows: &[Row], faults: &mut Faults) -> Vec<(i32, NewSite)> {
    let mut new = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| row.is_readable()) {
        let request = request(&mut Reader { row, faults });
        match NewSite::try_from(request) {
            Ok(parsed) => new.push((row.line(), parsed)),
            Err(violations) => faults.note_all(row.line, violations),
        }
    }
    new
}

fn request(row: &mut Reader<'_>) -> CreateSiteRequest {
    CreateSiteRequest {
        name: row.text("name").unwrap_or_default(),
        time_zone: row.text("timeZone"),
        grid_limit_watts: row.number("gridLimitWatts"),
        address: row.text("address"),
        groups: row.texts("groups"),
    }
}

/// What the rows cannot be by each other, and by what is there.
async fn check(connection: &mut PgConnection, rows: &[Row], faults: &mut Faults) -> Result<(), sqlx::Error> {
    let keys = import::keys(rows, "name", str::to_ascii_lowercase, faults);
    let registered = sqlx::query_scalar!(
        r#"SELECT line AS "line!" FROM unnest($1::integer[], $2::text[]) AS told (line, name)
           JOIN ocpp.site ON lower(site.name) = told.name ORDER BY line"#,
        &keys.lines,
        &keys.values,
    )
    .fetch_all(connection)
    .await?;
    faults.note_lines(
        &registered,
        "name",
        "is that of a site that is there, perhaps in other letter case",
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_what_a_registration_has_and_what_an_export_has() {
        import::tests::covers(FIELDS, "CreateSiteRequest", "Site");
    }
}
