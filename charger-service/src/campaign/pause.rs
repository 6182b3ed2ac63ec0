//! An operator halts a campaign.

use service_kit::database;
use service_kit::reason::FieldViolation;
use service_kit::version::{IfMatch, Versioned};
use voltgate_proto::ocpp::v1::{Campaign, PauseCampaignRequest};

use super::change::{self, ChangeError};
use super::list;
use super::stage::{PauseReason, Stage};
use crate::State;
use crate::audit::{self, Action, Author};
use crate::remark;

#[derive(Debug)]
pub struct Pause {
    id: String,
    note: Option<String>,
}

impl TryFrom<PauseCampaignRequest> for Pause {
    type Error = Vec<FieldViolation>;

    fn try_from(request: PauseCampaignRequest) -> Result<Self, Self::Error> {
        let note = request.note.as_deref().map(remark::parse).transpose();
        let note = note.map_err(|problem| vec![FieldViolation::new("note", problem)])?;
        Ok(Self { id: request.id, note })
    }
}

/// One that is paused stays so, for the reason that it has.
pub async fn pause(
    state: &State,
    pause: Pause,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<Campaign>, ChangeError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let present = change::lock(&mut transaction, &pause.id, if_match).await?;
    match present.stage() {
        Some(Stage::Running) => {
            let paused = (PauseReason::Operator, pause.note.as_deref());
            change::halt(&mut transaction, &present, paused, now).await?;
            let entry = present
                .entry(Action::CampaignPaused, now, author)
                .with("reason", Some(PauseReason::Operator.as_str()))
                .with("note", pause.note.as_deref());
            audit::record(&mut transaction, entry).await?;
        }
        Some(Stage::Paused) => {}
        Some(Stage::Completed | Stage::Canceled) | None => return Err(ChangeError::Over),
    }
    let campaign = list::read(&mut transaction, present.id).await?;
    transaction.commit().await?;
    Ok(campaign)
}
