//! The next charge points of a wave get their commands.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;

use super::change::Present;
use super::what;
use crate::State;
use crate::audit::Author;
use crate::command::ledger::bulk::{self, Common, One};
use crate::job::firmware_order::Order;
use crate::transfer::{self, grant_each};

/// Commands that are queued by one transaction. A wave that is larger takes several turns, a second apart, so that neither the
/// database nor the sessions have them all at once.
const AT_ONCE: i64 = 250;

/// Why no command was queued.
#[derive(Debug, Error)]
pub enum NotQueued {
    #[error("the firmware was deleted")]
    FirmwareGone,
    #[error("charge points cannot be told where to fetch firmware")]
    NoPublicUrl,
    #[error("the commands could not be queued")]
    Database(#[from] sqlx::Error),
}

/// A charge point that waits.
struct Waiting {
    position: i32,
    charge_point_id: Uuid,
    identity: String,
}

/// Queues commands for those of the wave that come next, and moves them on, by the transaction that has the campaign locked.
pub async fn queue(
    connection: &mut PgConnection,
    state: &State,
    present: &Present,
    now: DateTime<Utc>,
) -> Result<(), NotQueued> {
    skip_retired(connection, present, now).await?;
    // None of them is retired before its command is there to be called off.
    let waiting = sqlx::query_as!(
        Waiting,
        "SELECT position, charge_point_id, identity
         FROM ocpp.campaign_target JOIN ocpp.charge_point ON charge_point.id = charge_point_id
         WHERE campaign_id = $1 AND wave = $2 AND state = 'waiting' AND retired_at IS NULL
         ORDER BY position LIMIT $3
         FOR SHARE OF charge_point",
        present.id,
        present.position().wave,
        AT_ONCE,
    )
    .fetch_all(&mut *connection)
    .await?;
    if waiting.is_empty() {
        return Ok(());
    }
    let expires_at = now + TimeDelta::seconds(present.pace().expires_in_seconds.into());
    // Ids that are made one after the other are in that order.
    let ids: Vec<Uuid> = waiting.iter().map(|_| Uuid::now_v7()).collect();
    let positions: Vec<i32> = waiting.iter().map(|one| one.position).collect();
    let told = match (&present.firmware, present.file_id) {
        (Some(order), Some(file)) => Some(Told::of(connection, state, order, file, waiting.len(), now).await?),
        _ => None,
    };
    let payloads = told.as_ref().map_or(&[][..], |told| &told.payloads);
    let payloads = payloads.iter().cloned().map(Some).chain(std::iter::repeat(None));
    let each: Vec<One> = waiting
        .into_iter()
        .zip(&ids)
        .zip(payloads)
        .map(|((one, id), payload)| One {
            id: *id,
            charge_point: one.charge_point_id,
            identity: one.identity,
            payload,
        })
        .collect();
    let author = present
        .actor_id
        .map_or_else(|| Author::ourselves(crate::NAME), Author::on_behalf_of);
    let common = Common {
        campaign: present.id,
        action: &present.action,
        payload: present.payload.as_ref().map(|payload| payload.get()),
        requested_by: &present.created_by,
        author: &author,
        created_at: now,
        expires_at,
    };
    bulk::enqueue(connection, &common, &each).await?;
    sqlx::query!(
        "UPDATE ocpp.campaign_target SET state = 'queued', command_id = queued.id, changed_at = $4
         FROM unnest($2::integer[], $3::uuid[]) AS queued (position, id)
         WHERE campaign_id = $1 AND campaign_target.position = queued.position",
        present.id,
        &positions,
        &ids,
        now,
    )
    .execute(&mut *connection)
    .await?;
    if let Some(told) = told {
        told.grant(connection, state, &each, expires_at).await?;
    }
    Ok(())
}

/// Those that are out of use by now get nothing, and would keep the wave waiting.
async fn skip_retired(connection: &mut PgConnection, present: &Present, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.campaign_target SET state = 'skipped', changed_at = $3
         FROM ocpp.charge_point
         WHERE campaign_id = $1 AND wave = $2 AND state = 'waiting' AND charge_point.id = charge_point_id
           AND retired_at IS NOT NULL",
        present.id,
        present.position().wave,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What each charge point is told to fetch firmware: a payload, and leave to use the URL in it.
struct Told {
    payloads: Vec<String>,
    hashes: Vec<[u8; 32]>,
    file: Uuid,
    not_before: Option<DateTime<Utc>>,
}

impl Told {
    async fn of(
        connection: &mut PgConnection,
        state: &State,
        order: &Order,
        file: Uuid,
        number: usize,
        now: DateTime<Utc>,
    ) -> Result<Self, NotQueued> {
        let url = state.transfers.public_url.as_ref().ok_or(NotQueued::NoPublicUrl)?;
        // It is there until the leave is.
        sqlx::query_scalar!(
            "SELECT id FROM ocpp.file WHERE id = $1 AND completed_at IS NOT NULL FOR KEY SHARE",
            file
        )
        .fetch_optional(connection)
        .await?
        .ok_or(NotQueued::FirmwareGone)?;
        let told = std::iter::repeat_with(|| what::told(order, url, now)).take(number);
        let (hashes, payloads) = told.map(|(token, payload)| (token.hash(), payload)).unzip();
        Ok(Self {
            payloads,
            hashes,
            file,
            not_before: order.retrieve_at,
        })
    }

    async fn grant(
        self,
        connection: &mut PgConnection,
        state: &State,
        each: &[One],
        sent_by: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let validity = state.transfers.validity;
        let expires_at = transfer::good_until(self.not_before, sent_by, validity);
        let leaves = self.hashes.into_iter().zip(each);
        let leaves: Vec<_> = leaves.map(|(hash, one)| (hash, one.charge_point, one.id)).collect();
        grant_each(connection, self.file, &leaves, expires_at).await
    }
}
