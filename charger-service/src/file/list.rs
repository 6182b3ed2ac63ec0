//! Files as operators see them, newest first, a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{File, ListFilesRequest, ListFilesResponse};

use crate::charge_point::find::{FindError, find};
use crate::job::Kind;

#[derive(Debug)]
pub struct Page {
    kind: Option<Kind>,
    identity: Option<String>,
    size: PageSize,
    /// The last id seen.
    before: Option<Uuid>,
}

impl TryFrom<ListFilesRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListFilesRequest) -> Result<Self, Self::Error> {
        let (page, mut violations) = match page::parse(request.page_size, &request.page_token) {
            Ok(page) => (Some(page), Vec::new()),
            Err(violations) => (None, violations),
        };
        let kind = request.kind.as_deref().map(Kind::parse);
        if kind == Some(None) {
            let problem = "must be firmware, diagnostics or log";
            violations.push(FieldViolation::new("kind", problem));
        }
        match page {
            Some((size, before)) if violations.is_empty() => Ok(Self {
                kind: kind.flatten(),
                identity: request.identity,
                size,
                before,
            }),
            _ => Err(violations),
        }
    }
}

/// A row of `ocpp.file` that is complete, with its charge point's identity.
pub struct Row {
    pub id: Uuid,
    pub kind: String,
    pub name: String,
    pub size: i32,
    pub sha256: Vec<u8>,
    pub completed_at: DateTime<Utc>,
    pub identity: Option<String>,
}

#[derive(Debug, Error)]
#[error("the files could not be read")]
pub struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

pub async fn list(database: &PgPool, page: Page) -> Result<ListFilesResponse, ListError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let charge_point = match &page.identity {
        None => None,
        Some(identity) => match find(&mut connection, identity).await {
            Ok(charge_point) => Some(charge_point),
            // It has none.
            Err(FindError::Unknown) => return Ok(ListFilesResponse::default()),
            Err(FindError::Database(error)) => return Err(error.into()),
        },
    };
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT file.id, kind, name, size, sha256 AS "sha256!", completed_at AS "completed_at!", identity AS "identity?"
           FROM ocpp.file LEFT JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           WHERE completed_at IS NOT NULL AND file.id < $1
             AND ($2::text IS NULL OR kind = $2) AND ($3::uuid IS NULL OR charge_point_id = $3)
           ORDER BY file.id DESC LIMIT $4"#,
        page.before.unwrap_or(Uuid::max()),
        page.kind.map(Kind::as_str),
        charge_point,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.id);
    Ok(ListFilesResponse {
        files: rows.into_iter().map(File::from).collect(),
        next_page_token,
    })
}

pub async fn read(connection: &mut PgConnection, id: Uuid) -> Result<Option<File>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT file.id, kind, name, size, sha256 AS "sha256!", completed_at AS "completed_at!", identity AS "identity?"
           FROM ocpp.file LEFT JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           WHERE completed_at IS NOT NULL AND file.id = $1"#,
        id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(File::from))
}

/// What these commands brought.
pub async fn of_commands(connection: &mut PgConnection, commands: &[Uuid]) -> Result<Vec<(Uuid, File)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT command_id AS "command_id!", file.id, kind, name, size, sha256 AS "sha256!",
                  completed_at AS "completed_at!", identity
           FROM ocpp.file JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           WHERE command_id = ANY($1) AND completed_at IS NOT NULL"#,
        commands,
    )
    .fetch_all(connection)
    .await?;
    let of_command = rows.into_iter().map(|row| {
        let file = Row {
            id: row.id,
            kind: row.kind,
            name: row.name,
            size: row.size,
            sha256: row.sha256,
            completed_at: row.completed_at,
            identity: Some(row.identity),
        };
        (row.command_id, file.into())
    });
    Ok(of_command.collect())
}

impl From<Row> for File {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            kind: row.kind,
            name: row.name,
            size: row.size,
            sha256: hex(&row.sha256),
            received_at: Some(timestamp(row.completed_at)),
            identity: row.identity,
        }
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
