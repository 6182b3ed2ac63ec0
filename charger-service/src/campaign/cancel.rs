//! An operator ends a campaign before it is through.

use service_kit::database;
use service_kit::version::{IfMatch, Versioned};
use voltgate_proto::ocpp::v1::Campaign;

use super::change::{self, ChangeError};
use super::list;
use super::stage::Stage;
use crate::State;
use crate::audit::{self, Action, Author};
use crate::command::ledger::bulk;

/// What has not been sent yet never is. One that was canceled stays so.
pub async fn cancel(
    state: &State,
    id: &str,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<Campaign>, ChangeError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let present = change::lock(&mut transaction, id, if_match).await?;
    match present.stage() {
        Some(Stage::Running | Stage::Paused) => {
            let why = "the campaign was canceled before it could be sent";
            let withdrawn = bulk::withdraw(&mut transaction, present.id, present.firmware.is_some(), why, now).await?;
            sqlx::query!(
                "UPDATE ocpp.campaign_target SET state = 'skipped', changed_at = $3
                 WHERE campaign_id = $1 AND (state = 'waiting' OR command_id = ANY($2))",
                present.id,
                &withdrawn,
                now,
            )
            .execute(&mut *transaction)
            .await?;
            change::enter(
                &mut transaction,
                present.id,
                Stage::Canceled,
                None,
                present.position(),
                now,
            )
            .await?;
            audit::record(&mut transaction, present.entry(Action::CampaignCanceled, now, author)).await?;
        }
        Some(Stage::Canceled) => {}
        Some(Stage::Completed) | None => return Err(ChangeError::Over),
    }
    let campaign = list::read(&mut transaction, present.id).await?;
    transaction.commit().await?;
    Ok(campaign)
}
