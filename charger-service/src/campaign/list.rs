//! Campaigns, one with its report or a page of them.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use service_kit::version::Versioned;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::campaign::What;
use voltgate_proto::ocpp::v1::{
    Campaign, CampaignCommand, CampaignReport, ChargePointSelection, ListCampaignsRequest, ListCampaignsResponse,
};

use super::addressed::Told;
use super::stage::{Stage, TargetState};
use super::what::shown;
use crate::job::firmware_order::Order;

#[derive(Debug)]
pub struct Page {
    stage: Option<Stage>,
    size: PageSize,
    /// The last id seen.
    before: Option<Uuid>,
}

impl TryFrom<ListCampaignsRequest> for Page {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ListCampaignsRequest) -> Result<Self, Self::Error> {
        let stage = request.state.as_deref().map(Stage::parse);
        let unknown = (stage == Some(None))
            .then(|| FieldViolation::new("state", "must be running, paused, completed or canceled"));
        match (page::parse(request.page_size, &request.page_token), unknown) {
            (Ok((size, before)), None) => Ok(Self {
                stage: stage.flatten(),
                size,
                before,
            }),
            (page, unknown) => Err(page.err().into_iter().flatten().chain(unknown).collect()),
        }
    }
}

#[derive(Debug, Error)]
pub enum GetError {
    #[error("there is no such campaign")]
    NotFound,
    #[error("the campaign could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Reason::NotFound.status("There is no campaign of this id"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

#[derive(Debug, Error)]
#[error("the campaigns could not be read")]
pub struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

/// A row of `ocpp.campaign`.
struct Row {
    id: Uuid,
    name: String,
    action: String,
    payload: Option<Json<Box<RawValue>>>,
    firmware: Option<Json<Order>>,
    selection: Option<Json<Told>>,
    canary_size: i32,
    pause_after_canary: bool,
    wave_size: i32,
    max_failures: Option<i32>,
    max_failure_percent: Option<i32>,
    failures_of: String,
    expires_in_seconds: i32,
    installation_seconds: Option<i32>,
    state: String,
    pause_reason: Option<String>,
    pause_note: Option<String>,
    wave: i32,
    waves: i32,
    targets: i32,
    created_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    revision: i64,
}

/// One text for both look-ups.
macro_rules! select {
    ($condition:tt $(, $argument:expr)+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT id, name, action, payload AS "payload: Json<Box<RawValue>>", firmware AS "firmware: Json<Order>",
                   selection AS "selection: Json<Told>", canary_size, pause_after_canary, wave_size, max_failures,
                   max_failure_percent, failures_of, expires_in_seconds, installation_seconds, state, pause_reason,
                   pause_note, wave, waves, targets, created_at, changed_at, finished_at, revision
               FROM ocpp.campaign "# + $condition
            $(, $argument)+
        )
    };
}

/// Newest first: ids are in the order of time.
pub async fn list(database: &PgPool, page: Page) -> Result<ListCampaignsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let mut rows = select!(
        "WHERE id < $1 AND ($2::text IS NULL OR state = $2) ORDER BY id DESC LIMIT $3",
        page.before.unwrap_or(Uuid::max()),
        page.stage.map(Stage::as_str),
        page.size.limit()
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.id);
    Ok(ListCampaignsResponse {
        campaigns: rows.into_iter().map(Campaign::from).collect(),
        next_page_token,
    })
}

pub async fn get(database: &PgPool, id: &str) -> Result<Versioned<Campaign>, GetError> {
    read(&mut *database::begin(database).await?, parse_id(id)?).await
}

/// What is no UUID is no campaign's.
pub fn parse_id(id: &str) -> Result<Uuid, GetError> {
    Uuid::try_parse(id).map_err(|_| GetError::NotFound)
}

/// With its report, as the transaction sees it that the connection is in.
pub async fn read(connection: &mut PgConnection, id: Uuid) -> Result<Versioned<Campaign>, GetError> {
    let row = select!("WHERE id = $1", id)
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(GetError::NotFound)?;
    let (revision, wave) = (row.revision, row.wave);
    let counts = sqlx::query!(
        r#"SELECT state, count(*) AS "all!", count(*) FILTER (WHERE wave = $2) AS "of_wave!"
           FROM ocpp.campaign_target WHERE campaign_id = $1 GROUP BY state"#,
        id,
        wave,
    )
    .fetch_all(connection)
    .await?;
    let (mut all, mut of_wave) = (CampaignReport::default(), CampaignReport::default());
    for count in counts {
        let Some(state) = TargetState::parse(&count.state) else {
            continue;
        };
        *place(&mut all, state) = number(count.all);
        *place(&mut of_wave, state) = number(count.of_wave);
    }
    let campaign = Campaign {
        report: Some(all),
        wave_report: Some(of_wave),
        ..row.into()
    };
    Ok(Versioned::with_reports(campaign, revision))
}

/// A campaign has not as many targets.
fn number(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn place(report: &mut CampaignReport, state: TargetState) -> &mut i32 {
    match state {
        TargetState::Waiting => &mut report.waiting,
        TargetState::Queued => &mut report.queued,
        TargetState::Sent => &mut report.sent,
        TargetState::Installing => &mut report.installing,
        TargetState::Accepted => &mut report.accepted,
        TargetState::Rejected => &mut report.rejected,
        TargetState::Error => &mut report.error,
        TargetState::Timeout => &mut report.timeout,
        TargetState::Failed => &mut report.failed,
        TargetState::Expired => &mut report.expired,
        TargetState::Skipped => &mut report.skipped,
    }
}

impl From<Row> for Campaign {
    fn from(row: Row) -> Self {
        let command = row.payload.map(|payload| {
            What::Command(CampaignCommand {
                action: row.action,
                payload: payload.get().to_owned(),
            })
        });
        let firmware = row
            .firmware
            .map(|order| What::UpdateFirmware(shown(order.0, row.installation_seconds)));
        Self {
            id: row.id.to_string(),
            name: row.name,
            what: command.or(firmware),
            selection: row.selection.map(|told| ChargePointSelection::from(told.0)),
            canary_size: row.canary_size,
            pause_after_canary: row.pause_after_canary,
            wave_size: row.wave_size,
            max_failures: row.max_failures,
            max_failure_percent: row.max_failure_percent,
            failures_of: row.failures_of,
            expires_in_seconds: row.expires_in_seconds,
            state: row.state,
            pause_reason: row.pause_reason,
            pause_note: row.pause_note,
            wave: row.wave,
            waves: row.waves,
            targets: row.targets,
            created_at: Some(timestamp(row.created_at)),
            changed_at: Some(timestamp(row.changed_at)),
            finished_at: row.finished_at.map(timestamp),
            report: None,
            wave_report: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_a_place_of_its_own_in_the_report() {
        let mut report = CampaignReport::default();
        for state in TargetState::ALL {
            assert_eq!(TargetState::parse(state.as_str()), Some(state));
            *place(&mut report, state) += 1;
        }
        for state in TargetState::ALL {
            assert_eq!(*place(&mut report, state), 1, "{state:?}");
        }
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = ListCampaignsRequest {
            page_size: -1,
            page_token: String::new(),
            state: Some("Running".to_owned()),
        };
        let violations = Page::try_from(wrong).expect_err("both are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["pageSize", "state"]);
    }
}
