//! The jobs of one charge point, one or a page of them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{File, GetJobRequest, Job, JobNotification, ListJobsRequest, ListJobsResponse};

use super::notification::MOST_NOTIFICATIONS;
use crate::charge_point::find::{FindError, find};
use crate::file::list::of_commands;

#[derive(Debug)]
pub struct Page {
    identity: String,
    size: PageSize,
    /// The last id seen.
    before: Option<Uuid>,
}

impl TryFrom<ListJobsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListJobsRequest) -> Result<Self, Self::Error> {
        let (size, before) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            identity: request.identity,
            size,
            before,
        })
    }
}

#[derive(Debug, Error)]
pub enum GetError {
    #[error(transparent)]
    ChargePoint(#[from] FindError),
    #[error("there is no such job")]
    NotFound,
    #[error("the job could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::ChargePoint(error) => error.into(),
            GetError::NotFound => Reason::NotFound.status("The charge point has no job of this id"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

struct Row {
    id: Uuid,
    kind: String,
    command_id: Option<Uuid>,
    request_id: Option<i32>,
    location: Option<String>,
    file_name: Option<String>,
    status: String,
    progress: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Newest first: ids are in the order of time.
pub async fn list(database: &PgPool, page: Page) -> Result<ListJobsResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &page.identity).await?;
    let mut rows = sqlx::query_as!(
        Row,
        "SELECT id, kind, command_id, request_id, location, file_name, status, progress, created_at, updated_at FROM ocpp.job
         WHERE charge_point_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        charge_point,
        page.before.unwrap_or(Uuid::max()),
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.id);
    let commands: Vec<Uuid> = rows.iter().filter_map(|row| row.command_id).collect();
    let mut files: HashMap<Uuid, File> = of_commands(&mut connection, &commands).await?.into_iter().collect();
    let with_file = |row: Row| {
        let file = row.command_id.and_then(|command| files.remove(&command));
        Job { file, ..row.into() }
    };
    Ok(ListJobsResponse {
        jobs: rows.into_iter().map(with_file).collect(),
        next_page_token,
    })
}

/// With its notifications. What is no UUID is the id of no job.
pub async fn get(database: &PgPool, request: GetJobRequest) -> Result<Job, GetError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &request.identity).await?;
    let id = Uuid::parse_str(&request.id).map_err(|_| GetError::NotFound)?;
    let row = sqlx::query_as!(
        Row,
        "SELECT id, kind, command_id, request_id, location, file_name, status, progress, created_at, updated_at FROM ocpp.job
         WHERE charge_point_id = $1 AND id = $2",
        charge_point,
        id,
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(GetError::NotFound)?;
    let commands: Vec<Uuid> = row.command_id.into_iter().collect();
    let brought = of_commands(&mut connection, &commands).await?.pop();
    Ok(Job {
        notifications: notifications(&mut connection, id).await?,
        file: brought.map(|(_, file)| file),
        ..row.into()
    })
}

/// The newest, in the order in which they came.
async fn notifications(connection: &mut PgConnection, job: Uuid) -> Result<Vec<JobNotification>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT status, received_at FROM ocpp.job_notification WHERE job_id = $1 ORDER BY id DESC LIMIT $2",
        job,
        MOST_NOTIFICATIONS,
    )
    .fetch_all(connection)
    .await?;
    let in_order = rows.into_iter().rev();
    Ok(in_order
        .map(|row| JobNotification {
            status: row.status,
            received_at: Some(timestamp(row.received_at)),
        })
        .collect())
}

impl From<Row> for Job {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            kind: row.kind,
            command_id: row.command_id.map(|id| id.to_string()),
            request_id: row.request_id,
            location: row.location,
            file_name: row.file_name,
            status: row.status,
            progress: row.progress,
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
            notifications: Vec::new(),
            file: None,
        }
    }
}
