//! Moves campaigns on, at any replica that looks: a timer and the notices of others wake it, and the lock on a campaign's row keeps
//! two from doing the same. A look is one transaction, and does one thing.

use std::error::Error;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::time::sleep;
use uuid::Uuid;

use super::change::{self, Present, enter, halt};
use super::decision::{self, Counts, Next, Position};
use super::pace::Scope;
use super::queue::{NotQueued, queue};
use super::stage::{PauseReason, Stage};
use crate::State;
use crate::audit::{self, Action, Author};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Campaigns that go on at once; the others begin when those before are through or paused.
const AT_ONCE: i64 = 1000;

/// Until it is dropped.
pub async fn keep_going(state: &State) {
    loop {
        if let Err(error) = advance(state).await {
            tracing::error!(
                error = &error as &dyn Error,
                "Campaigns cannot be looked up; trying again"
            );
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = state.campaigns.notified() => {}
        }
    }
}

async fn advance(state: &State) -> Result<(), sqlx::Error> {
    for campaign in running(&state.database).await? {
        // One that fails keeps no other from going on.
        if let Err(error) = move_on(state, campaign).await {
            tracing::error!(
                error = &error as &dyn Error,
                %campaign,
                "A campaign could not be moved on; it is tried again at its next turn"
            );
        }
    }
    Ok(())
}

async fn running(database: &PgPool) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM ocpp.campaign WHERE state = 'running' ORDER BY id LIMIT $1",
        AT_ONCE
    )
    .fetch_all(database)
    .await
}

/// A wave that begins has its first commands queued at once.
async fn move_on(state: &State, campaign: Uuid) -> Result<(), sqlx::Error> {
    while look(state, campaign).await? {}
    Ok(())
}

/// Does what comes next, if anything does. True where another wave has begun.
async fn look(state: &State, campaign: Uuid) -> Result<bool, sqlx::Error> {
    let now = state.clock.now();
    let mut transaction = state.database.begin().await?;
    let Some(present) = change::lock_running(&mut transaction, campaign).await? else {
        return Ok(false);
    };
    let (pace, position) = (present.pace(), present.position());
    let counts = count(&mut transaction, &present).await?;
    let has_begun = match decision::next(&pace, position, counts) {
        Next::Wait => return Ok(false),
        Next::Queue => {
            match queue(&mut transaction, state, &present, now).await {
                Ok(()) => {}
                Err(NotQueued::FirmwareGone) => {
                    pause(&mut transaction, state, &present, PauseReason::FirmwareGone, None).await?
                }
                Err(NotQueued::NoPublicUrl) => {
                    pause(&mut transaction, state, &present, PauseReason::NoPublicUrl, None).await?
                }
                Err(NotQueued::Database(error)) => return Err(error),
            }
            false
        }
        Next::Begin(wave) => {
            let forgiven = match pace.scope {
                Scope::Wave => 0,
                Scope::Campaign => position.forgiven,
            };
            let next = Position {
                wave,
                forgiven,
                ..position
            };
            enter(&mut transaction, present.id, Stage::Running, None, next, now).await?;
            true
        }
        Next::PauseAfterCanary => {
            pause(&mut transaction, state, &present, PauseReason::Canary, None).await?;
            false
        }
        Next::PauseForFailures(words) => {
            pause(&mut transaction, state, &present, PauseReason::Failures, Some(&words)).await?;
            false
        }
        Next::Complete => {
            enter(&mut transaction, present.id, Stage::Completed, None, position, now).await?;
            false
        }
    };
    transaction.commit().await?;
    Ok(has_begun)
}

/// Nobody has asked for it, so the audit log has it as our own.
async fn pause(
    connection: &mut PgConnection,
    state: &State,
    present: &Present,
    reason: PauseReason,
    note: Option<&str>,
) -> Result<(), sqlx::Error> {
    let now = state.clock.now();
    halt(connection, present, (reason, note), now).await?;
    let author = Author::ourselves(crate::NAME);
    let entry = present
        .entry(Action::CampaignPaused, now, &author)
        .with("reason", Some(reason.as_str()))
        .with("note", note);
    audit::record(connection, entry).await?;
    tracing::info!(campaign = %present.id, reason = reason.as_str(), note, "A campaign is paused");
    Ok(())
}

/// How its targets are. Those of other waves are counted only where the limit of failures is for all.
pub async fn count(connection: &mut PgConnection, present: &Present) -> Result<Counts, sqlx::Error> {
    let pace = present.pace();
    let counts_all = pace.limit.is_some() && pace.scope == Scope::Campaign;
    sqlx::query_as!(
        Counts,
        r#"SELECT count(*) FILTER (WHERE wave = $2 AND state = 'waiting') AS "waiting!",
               count(*) FILTER (WHERE wave = $2 AND state IN ('queued', 'sent', 'installing')) AS "outstanding!",
               count(*) FILTER (WHERE state IN ('rejected', 'error', 'timeout', 'failed')) AS "failures!",
               count(*) AS "size!"
           FROM ocpp.campaign_target WHERE campaign_id = $1 AND ($3 OR wave = $2)"#,
        present.id,
        present.position().wave,
        counts_all,
    )
    .fetch_one(connection)
    .await
}
