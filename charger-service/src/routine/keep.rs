//! Keeps what many charge points have said, in one transaction.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use service_kit::clock::SharedClock;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use uuid::Uuid;

use super::{Effect, Said, Values};
use crate::message::routine::{self, Message};
use crate::meter_values::{self, Samples};
use crate::session::fence::Via;
use crate::status::{self, Status};
use crate::transaction::owned::{Owned, all_owned};

/// Waits for no one for long: whatever is about one charge point must not hold up the others.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '200ms'";

/// Why nothing is known to be kept.
#[derive(Debug, Error)]
pub(super) enum NotKept {
    #[error("the database is away or busy")]
    Away(#[source] sqlx::Error),
    #[error("the database does not take them")]
    Refused(#[from] sqlx::Error),
    /// They may be kept, or not.
    #[error("the database has not said whether they are committed")]
    Unknown(#[source] sqlx::Error),
}

/// Of each whether it is kept. Tables are locked in the order in which a transaction for one message locks them.
pub(super) async fn together(database: &PgPool, clock: &SharedClock, said: Vec<Said>) -> Result<Vec<bool>, NotKept> {
    let mut transaction = database.begin_with(BEGIN).await.map_err(NotKept::Away)?;
    let ordinary = ordinary(&mut transaction, &said).await?;
    let mut seen = HashSet::new();
    let transactions = measured_transactions(&mut transaction, &said, &ordinary).await?;
    let mut batch = Batch::default();
    let kept: Vec<bool> = said
        .into_iter()
        .map(|said| {
            let via = said.message.via;
            ordinary.contains(&via) && seen.insert(via.charge_point) && batch.add(said, &transactions)
        })
        .collect();
    if batch.store(&mut transaction, clock.now()).await? {
        transaction.commit().await.map_err(NotKept::Unknown)?;
        Ok(kept)
    } else {
        // Some connection was superseded in between. Each message finds out by itself.
        transaction.rollback().await?;
        Ok(vec![false; kept.len()])
    }
}

/// The present connections of charge points that were accepted.
async fn ordinary(connection: &mut PgConnection, said: &[Said]) -> Result<HashSet<Via>, sqlx::Error> {
    let (mut charge_points, mut epochs, mut streams) = (Vec::new(), Vec::new(), Vec::new());
    for via in said.iter().map(|said| said.message.via) {
        charge_points.push(via.charge_point);
        epochs.push(via.epoch);
        streams.push(via.stream);
    }
    let ordinary = sqlx::query_as!(
        Via,
        r#"SELECT charge_point_id AS "charge_point!", epoch AS "epoch!", stream AS "stream!"
           FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS told (charge_point_id, epoch, stream)
               JOIN ocpp.session USING (charge_point_id, epoch, stream)
               JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           WHERE boot_answer = 'Accepted' AND session.charge_point_id = ANY($1) AND charge_point.id = ANY($1)"#,
        &charge_points,
        &epochs,
        &streams,
    )
    .fetch_all(connection)
    .await?;
    Ok(ordinary.into_iter().collect())
}

/// The transactions that meter values are of, by their charge points and ids. From here on nobody else stores values of these charge
/// points.
async fn measured_transactions(
    connection: &mut PgConnection,
    said: &[Said],
    ordinary: &HashSet<Via>,
) -> Result<HashMap<(Uuid, i32), Owned>, sqlx::Error> {
    let (mut charge_points, mut named) = (Vec::new(), Vec::new());
    for said in said {
        let via = said.message.via;
        let charge_point = via.charge_point;
        if let (Effect::MeterValues(values), true) = (&said.effect, ordinary.contains(&via)) {
            charge_points.push(charge_point);
            named.extend(values.transaction_id.map(|id| (charge_point, id)));
        }
    }
    if charge_points.is_empty() {
        return Ok(HashMap::new());
    }
    meter_values::take_turns(connection, &charge_points).await?;
    all_owned(connection, &named).await
}

/// What is kept together.
#[derive(Default)]
struct Batch {
    messages: Vec<Message>,
    statuses: Vec<Status>,
    samples: Vec<Samples>,
    /// The places of the messages that brought them.
    sampled: Vec<usize>,
}

impl Batch {
    /// False where its meter values are of no transaction that its charge point has.
    fn add(&mut self, said: Said, transactions: &HashMap<(Uuid, i32), Owned>) -> bool {
        let Said { message, effect } = said;
        match effect {
            Effect::None => {}
            Effect::Status(status) => self.statuses.push(status),
            Effect::MeterValues(values) => {
                let samples = values.placed(message.via.charge_point, transactions, message.requested_at);
                let Some(samples) = samples else {
                    return false;
                };
                self.samples.push(samples);
                self.sampled.push(self.messages.len());
            }
        }
        self.messages.push(message);
        true
    }

    /// False where a charge point is not heard on its present connection any more; then nothing of it may be committed.
    async fn store(mut self, connection: &mut PgConnection, now: DateTime<Utc>) -> Result<bool, sqlx::Error> {
        if !self.samples.is_empty() {
            let known_before = meter_values::store(connection, &self.samples).await?;
            let repetitions = meter_values::repetitions(&self.samples, &known_before);
            for (&place, repetition) in self.sampled.iter().zip(repetitions) {
                self.messages[place].flags.extend(repetition);
            }
        }
        if !self.statuses.is_empty() {
            status::store(connection, &self.statuses).await?;
        }
        routine::record(connection, &self.messages, now).await
    }
}

impl Values {
    fn placed(
        self,
        charge_point: Uuid,
        transactions: &HashMap<(Uuid, i32), Owned>,
        received_at: DateTime<Utc>,
    ) -> Option<Samples> {
        let transaction = match self.transaction_id {
            Some(id) => Some(transactions.get(&(charge_point, id))?),
            None => None,
        };
        Some(Samples {
            charge_point,
            connector_id: self
                .connector_id
                .or(transaction.map(|transaction| transaction.connector_id)),
            transaction_id: transaction.map(|transaction| transaction.id),
            samples: self.samples,
            received_at,
        })
    }
}
