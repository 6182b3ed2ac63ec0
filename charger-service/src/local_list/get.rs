//! The list of one charge point, what it has beside what it should have, with its entries a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use service_kit::version::Versioned;
use sqlx::PgConnection;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{
    DesiredLocalList, DesiredLocalListEntry, GetLocalListRequest, LocalList, LocalListEntry,
};

use super::wanted;
use crate::State;
use crate::charge_point::find::{FindError, find};
use crate::v1_6::local_list::LONGEST_ID_TAG;

#[derive(Debug)]
pub struct Page {
    identity: String,
    size: PageSize,
    /// The last tag seen, in lower case.
    after: Option<String>,
}

impl Page {
    /// The first, of the usual size.
    pub fn first(identity: String) -> Self {
        Self {
            identity,
            size: PageSize::default(),
            after: None,
        }
    }
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

struct Desired {
    all_tokens: bool,
    automatic: bool,
    set_at: DateTime<Utc>,
    revision: i64,
    state: String,
    problem: Option<String>,
    command_id: Option<Uuid>,
    synchronized_at: Option<DateTime<Utc>>,
    id_tokens: i32,
}

/// What the charge point has of a tag, and what it should have; one of the two may be nothing.
struct Entry {
    id_tag: String,
    status: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    parent_id_tag: Option<String>,
    wanted_status: Option<String>,
    wanted_expires_at: Option<DateTime<Utc>>,
    wanted_parent_id_tag: Option<String>,
}

/// Entries by tag. Of a list that nobody ever asked for or sent, nothing is known. Before anybody states what it should
/// hold, the revision is 0.
pub async fn get(state: &State, page: Page) -> Result<Versioned<LocalList>, FindError> {
    let now = state.clock.now();
    let mut connection = database::begin(&state.database).await?;
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
    let desired = desired(&mut connection, charge_point).await?;
    let differences = match &desired {
        Some(_) => wanted::count_differences(&mut connection, charge_point, now).await?,
        None => 0,
    };
    let revision = desired.as_ref().map(|desired| desired.revision).unwrap_or_default();
    let is_desired = desired.is_some();
    let mut entries = entries(&mut connection, charge_point, page.after, page.size, now).await?;
    // In collation "C" lower() changes ASCII letters only.
    let next_page_token = page.size.cut(&mut entries, |entry| entry.id_tag.to_ascii_lowercase());
    let list = LocalList {
        drift: differences > 0
            || row.entries_version != row.reported_version
            || row
                .desired_version
                .is_some_and(|_| row.desired_version != row.reported_version),
        desired_version: row.desired_version,
        desired_status: row.desired_status,
        desired_at: row.desired_at.map(timestamp),
        reported_version: row.reported_version,
        reported_at: row.reported_at.map(timestamp),
        entries_version: row.entries_version,
        entries: entries.into_iter().map(|entry| entry.shown(is_desired)).collect(),
        next_page_token,
        desired: desired.map(|desired| desired.shown(differences)),
    };
    Ok(Versioned::with_reports(list, revision))
}

async fn desired(connection: &mut PgConnection, charge_point: Uuid) -> Result<Option<Desired>, sqlx::Error> {
    sqlx::query_as!(
        Desired,
        r#"SELECT all_tokens, automatic, set_at, revision, state, problem, command_id, synchronized_at,
               (SELECT count(*) FROM ocpp.desired_local_list_token AS token
                WHERE token.charge_point_id = list.charge_point_id)::integer AS "id_tokens!"
           FROM ocpp.desired_local_list AS list WHERE charge_point_id = $1"#,
        charge_point,
    )
    .fetch_optional(connection)
    .await
}

async fn entries(
    connection: &mut PgConnection,
    charge_point: Uuid,
    after: Option<String>,
    size: PageSize,
    now: DateTime<Utc>,
) -> Result<Vec<Entry>, sqlx::Error> {
    // What is among the first of both is among the first of each.
    sqlx::query_as!(
        Entry,
        r#"SELECT coalesce(entry.id_tag, wanted.id_tag) AS "id_tag!", entry.status AS "status?", entry.expires_at AS "expires_at?",
               entry.parent_id_tag AS "parent_id_tag?", wanted.status AS wanted_status,
               wanted.expires_at AS wanted_expires_at, wanted.parent_id_tag AS wanted_parent_id_tag
           FROM (SELECT * FROM ocpp.local_list_entry
                 WHERE charge_point_id = $1 AND lower(id_tag) > $2 COLLATE "C" ORDER BY lower(id_tag) LIMIT $3) AS entry
           FULL JOIN ocpp.wanted_local_list($1, $4, $5, $2, $3::bigint::integer) AS wanted
               ON lower(entry.id_tag) = lower(wanted.id_tag COLLATE "C")
           ORDER BY lower(coalesce(entry.id_tag, wanted.id_tag) COLLATE "C") LIMIT $3"#,
        charge_point,
        after.unwrap_or_default(),
        size.limit(),
        LONGEST_ID_TAG,
        now,
    )
    .fetch_all(connection)
    .await
}

impl Desired {
    fn shown(self, differences: i32) -> DesiredLocalList {
        DesiredLocalList {
            all_tokens: self.all_tokens,
            id_tokens: self.id_tokens,
            automatic: self.automatic,
            set_at: Some(timestamp(self.set_at)),
            differences,
            state: self.state,
            problem: self.problem,
            command_id: self.command_id.map(|id| id.to_string()),
            synchronized_at: self.synchronized_at.map(timestamp),
        }
    }
}

impl Entry {
    /// Whether it differs is only to be told where somebody has said what there should be.
    fn shown(self, is_desired: bool) -> LocalListEntry {
        let differs = self.status != self.wanted_status
            || self.expires_at != self.wanted_expires_at
            || self.parent_id_tag != self.wanted_parent_id_tag;
        LocalListEntry {
            drift: is_desired && differs,
            id_tag: self.id_tag,
            status: self.status,
            expires_at: self.expires_at.map(timestamp),
            parent_id_tag: self.parent_id_tag,
            desired: self.wanted_status.map(|status| DesiredLocalListEntry {
                status,
                expires_at: self.wanted_expires_at.map(timestamp),
                parent_id_tag: self.wanted_parent_id_tag,
            }),
        }
    }
}
