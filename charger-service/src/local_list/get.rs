//! The list of one charge point, with its entries a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{GetLocalListRequest, LocalList, LocalListEntry};

use crate::charge_point::find::{FindError, find};

#[derive(Debug)]
pub struct Page {
    identity: String,
    size: PageSize,
    /// The last tag seen, in lower case.
    after: Option<String>,
}

impl TryFrom<GetLocalListRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: GetLocalListRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            identity: request.identity,
            size,
            after,
        })
    }
}

#[derive(Default)]
struct Row {
    desired_version: Option<i32>,
    desired_status: Option<String>,
    desired_at: Option<DateTime<Utc>>,
    reported_version: Option<i32>,
    reported_at: Option<DateTime<Utc>>,
    entries_version: Option<i32>,
}

struct Entry {
    id_tag: String,
    status: String,
    expires_at: Option<DateTime<Utc>>,
    parent_id_tag: Option<String>,
}

/// Entries by tag. Of a list that nobody ever asked for or sent, nothing is known.
pub async fn get(database: &PgPool, page: Page) -> Result<LocalList, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &page.identity).await?;
    let row = sqlx::query_as!(
        Row,
        "SELECT desired_version, desired_status, desired_at, reported_version, reported_at, entries_version
         FROM ocpp.local_list WHERE charge_point_id = $1",
        charge_point,
    )
    .fetch_optional(&mut *connection)
    .await?
    .unwrap_or_default();
    let mut entries = entries(&mut connection, charge_point, page.after, page.size).await?;
    // In collation "C" lower() changes ASCII letters only.
    let next_page_token = page.size.cut(&mut entries, |entry| entry.id_tag.to_ascii_lowercase());
    Ok(LocalList {
        drift: row.entries_version != row.reported_version
            || row
                .desired_version
                .is_some_and(|_| row.desired_version != row.reported_version),
        desired_version: row.desired_version,
        desired_status: row.desired_status,
        desired_at: row.desired_at.map(timestamp),
        reported_version: row.reported_version,
        reported_at: row.reported_at.map(timestamp),
        entries_version: row.entries_version,
        entries: entries.into_iter().map(LocalListEntry::from).collect(),
        next_page_token,
    })
}

async fn entries(
    connection: &mut PgConnection,
    charge_point: Uuid,
    after: Option<String>,
    size: PageSize,
) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        r#"SELECT id_tag, status, expires_at, parent_id_tag FROM ocpp.local_list_entry
           WHERE charge_point_id = $1 AND lower(id_tag) > $2 COLLATE "C" ORDER BY lower(id_tag) LIMIT $3"#,
        charge_point,
        after.unwrap_or_default(),
        size.limit(),
    )
    .fetch_all(connection)
    .await
}

impl From<Entry> for LocalListEntry {
    fn from(entry: Entry) -> Self {
        Self {
            id_tag: entry.id_tag,
            status: entry.status,
            expires_at: entry.expires_at.map(timestamp),
            parent_id_tag: entry.parent_id_tag,
        }
    }
}
