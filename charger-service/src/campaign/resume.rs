//! An operator has a campaign go on.

use service_kit::database;
use service_kit::version::{IfMatch, Versioned};
use voltgate_proto::ocpp::v1::Campaign;

use super::change::{self, ChangeError, Present};
use super::decision::Position;
use super::stage::{PauseReason, Stage};
use super::{advance, list};
use crate::State;
use crate::audit::{self, Action, Author};
use crate::notice::{Notice, tell};

/// One that goes on does so.
pub async fn resume(
    state: &State,
    id: &str,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<Campaign>, ChangeError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let present = change::lock(&mut transaction, id, if_match).await?;
    match present.stage() {
        Some(Stage::Paused) => {
            let counts = advance::count(&mut transaction, &present).await?;
            let position = in_spite_of(&present, counts.failures);
            change::enter(&mut transaction, present.id, Stage::Running, None, position, now).await?;
            let entry = present
                .entry(Action::CampaignResumed, now, author)
                .with("pausedBecauseOf", present.pause_reason().map(PauseReason::as_str));
            audit::record(&mut transaction, entry).await?;
            let notice = Notice::Campaign { campaign: present.id };
            tell(&mut transaction, &[notice]).await?;
        }
        Some(Stage::Running) => {}
        Some(Stage::Completed | Stage::Canceled) | None => return Err(ChangeError::Over),
    }
    let campaign = list::read(&mut transaction, present.id).await?;
    transaction.commit().await?;
    Ok(campaign)
}

/// What it was paused for does not pause it again.
fn in_spite_of(present: &Present, failures: i64) -> Position {
    let position = present.position();
    match present.pause_reason() {
        Some(PauseReason::Canary) => Position {
            canary_confirmed: true,
            ..position
        },
        Some(PauseReason::Failures) => Position {
            forgiven: failures,
            ..position
        },
        Some(PauseReason::Created | PauseReason::Operator | PauseReason::FirmwareGone | PauseReason::NoPublicUrl)
        | None => position,
    }
}
