//! Keeps what many charge points have said, in one transaction.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Effect, Said, Values};
use crate::message::routine::{self, Message};
use crate::meter_values::{self, Samples};
use crate::status::{self, Status};
use crate::transaction::owned::{Owned, all_owned};

/// Of each whether it is kept. Rows are locked in the order in which a transaction for one message locks them.
pub(super) async fn together(database: &PgPool, said: Vec<Said>) -> Result<Vec<bool>, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let mut ordinary = ordinary(&mut transaction, &said).await?;
    let transactions = measured_transactions(&mut transaction, &said, &ordinary).await?;
    let mut batch = Batch::default();
    let kept: Vec<bool> = said
        .into_iter()
        // Of a charge point that has a second session for a moment one message is enough for one statement.
        .map(|said| ordinary.remove(&said.message.via.charge_point) && batch.add(said, &transactions))
        .collect();
    if batch.store(&mut transaction).await? {
        transaction.commit().await?;
        Ok(kept)
    } else {
        // Some connection was superseded in between. Each message finds out by itself.
        transaction.rollback().await?;
        Ok(vec![false; kept.len()])
    }
}

/// The charge points that were accepted, and are heard on their present connections.
async fn ordinary(connection: &mut PgConnection, said: &[Said]) -> Result<HashSet<Uuid>, sqlx::Error> {
    let (mut charge_points, mut epochs, mut streams) = (Vec::new(), Vec::new(), Vec::new());
    for via in said.iter().map(|said| said.message.via) {
        charge_points.push(via.charge_point);
        epochs.push(via.epoch);
        streams.push(via.stream);
    }
    let ordinary = sqlx::query_scalar!(
        r#"SELECT charge_point_id AS "charge_point_id!"
           FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS told (charge_point_id, epoch, stream)
               JOIN ocpp.session USING (charge_point_id, epoch, stream)
               JOIN ocpp.charge_point ON charge_point.id = charge_point_id
           WHERE boot_answer = 'Accepted' AND session.charge_point_id = ANY($1)"#,
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
    ordinary: &HashSet<Uuid>,
) -> Result<HashMap<(Uuid, i32), Owned>, sqlx::Error> {
    let (mut charge_points, mut named) = (Vec::new(), Vec::new());
    for said in said {
        let charge_point = said.message.via.charge_point;
        if let (Effect::MeterValues(values), true) = (&said.effect, ordinary.contains(&charge_point)) {
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
    async fn store(mut self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
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
        routine::record(connection, &self.messages).await
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
