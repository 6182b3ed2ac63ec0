//! Whom a campaign is for, and what has become of each.

use chrono::{DateTime, Utc};
use ocpp::v1_6::StatusOnly;
use serde_json::value::RawValue;
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{CampaignTarget, ListCampaignTargetsRequest, ListCampaignTargetsResponse};

use super::list::{GetError, parse_id};
use super::stage::TargetState;

#[derive(Debug)]
pub struct Page {
    campaign: String,
    state: Option<TargetState>,
    size: PageSize,
    /// The last position seen.
    after: Option<i32>,
}

impl TryFrom<ListCampaignTargetsRequest> for Page {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ListCampaignTargetsRequest) -> Result<Self, Self::Error> {
        let state = request.state.as_deref().map(TargetState::parse);
        let unknown = (state == Some(None)).then(|| {
            let states = TargetState::ALL.map(TargetState::as_str).join(", ");
            FieldViolation::new("state", format!("must be one of {states}"))
        });
        match (page::parse(request.page_size, &request.page_token), unknown) {
            (Ok((size, after)), None) => Ok(Self {
                campaign: request.id,
                state: state.flatten(),
                size,
                after,
            }),
            (page, unknown) => Err(page.err().into_iter().flatten().chain(unknown).collect()),
        }
    }
}

struct Row {
    position: i32,
    identity: String,
    wave: i32,
    state: String,
    command_id: Option<Uuid>,
    changed_at: Option<DateTime<Utc>>,
    error_code: Option<String>,
    error_description: Option<String>,
    response: Option<String>,
    progress: Option<String>,
}

/// Answers with a status are shorter. Others may be very long, and a page has many.
const LONGEST_RESPONSE: i32 = 1000;

/// In the order of their waves.
pub async fn list(database: &PgPool, page: Page) -> Result<ListCampaignTargetsResponse, GetError> {
    let campaign = parse_id(&page.campaign)?;
    let mut connection = database::begin(database).await?;
    sqlx::query_scalar!("SELECT id FROM ocpp.campaign WHERE id = $1", campaign)
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(GetError::NotFound)?;
    database::plan_for_values(&mut connection).await?;
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT position, identity, wave, state, target.command_id, target.changed_at, error_code AS "error_code?",
               error_description AS "error_description?",
               CASE WHEN length(response) <= $5 THEN response END AS response, progress AS "progress?"
           FROM ocpp.campaign_target AS target
           JOIN ocpp.charge_point ON charge_point.id = target.charge_point_id
           LEFT JOIN ocpp.command ON command.id = target.command_id
           LEFT JOIN ocpp.job ON job.command_id = target.command_id
           WHERE target.campaign_id = $1 AND position > $2 AND ($3::text IS NULL OR state = $3)
           ORDER BY position LIMIT $4"#,
        campaign,
        page.after.unwrap_or(0),
        page.state.map(TargetState::as_str),
        page.size.limit(),
        LONGEST_RESPONSE,
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.position);
    Ok(ListCampaignTargetsResponse {
        targets: rows.into_iter().map(CampaignTarget::from).collect(),
        next_page_token,
    })
}

impl From<Row> for CampaignTarget {
    fn from(row: Row) -> Self {
        let reason = reason(&row);
        Self {
            identity: row.identity,
            wave: row.wave,
            state: row.state,
            command_id: row.command_id.map(|id| id.to_string()),
            reason,
            progress: row.progress,
            changed_at: row.changed_at.map(timestamp),
        }
    }
}

/// What the charge point answered, in OCPP's spelling.
fn status(row: &Row) -> Option<String> {
    let response: Box<RawValue> = serde_json::from_str(row.response.as_deref()?).ok()?;
    Some(StatusOnly::read(&response).ok()?.status)
}

/// Why it is in its state, where that says not all.
fn reason(row: &Row) -> Option<String> {
    match TargetState::parse(&row.state)? {
        TargetState::Waiting | TargetState::Queued | TargetState::Sent | TargetState::Installing => None,
        // `RebootRequired` and its like.
        TargetState::Accepted => status(row).filter(|status| status != "Accepted"),
        TargetState::Rejected => status(row),
        TargetState::Error => match (&row.error_code, &row.error_description) {
            (Some(code), Some(description)) if !description.is_empty() => Some(format!("{code}: {description}")),
            (Some(code), _) => Some(code.clone()),
            (None, description) => description.clone(),
        },
        // Where its command was accepted, nothing was heard of the installation.
        TargetState::Timeout => row
            .error_description
            .clone()
            .or_else(|| Some("the charge point did not tell in time that it has installed the firmware".to_owned())),
        TargetState::Failed => row.progress.clone(),
        // Or it was retired or replaced meanwhile.
        TargetState::Expired => row
            .error_description
            .clone()
            .or_else(|| Some("the charge point was not connected in time".to_owned())),
        TargetState::Skipped => {
            Some("the campaign was canceled, or the charge point retired, before its turn".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(state: TargetState, code: Option<&str>, description: Option<&str>, status: Option<&str>) -> Option<String> {
        reason(&Row {
            position: 1,
            identity: "CP1".to_owned(),
            wave: 1,
            state: state.as_str().to_owned(),
            command_id: None,
            changed_at: None,
            error_code: code.map(str::to_owned),
            error_description: description.map(str::to_owned),
            response: status.map(|status| format!(r#"{{"status":"{status}"}}"#)),
            progress: None,
        })
    }

    #[test]
    fn a_reason_says_what_the_state_does_not() {
        let reason = |state, code, description, status| of(state, code, description, status).unwrap_or_default();
        assert_eq!(reason(TargetState::Accepted, None, None, Some("Accepted")), "");
        assert_eq!(
            reason(TargetState::Accepted, None, None, Some("RebootRequired")),
            "RebootRequired"
        );
        assert_eq!(
            reason(TargetState::Rejected, None, None, Some("NotSupported")),
            "NotSupported"
        );
        assert_eq!(
            reason(TargetState::Error, Some("InternalError"), Some(""), None),
            "InternalError"
        );
        assert_eq!(reason(TargetState::Error, Some("A"), Some("b"), None), "A: b");
        assert_eq!(reason(TargetState::Timeout, None, Some("no answer"), None), "no answer");
        assert!(reason(TargetState::Timeout, None, None, None).contains("installed"));
    }
}
