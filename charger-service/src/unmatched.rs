//! What named a transaction and could not be applied to it, kept as it came until an operator reconciles it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::event;
use crate::transaction::owned::Mismatch;

#[derive(Debug)]
pub struct Unmatched<'a> {
    pub charge_point: Uuid,
    pub kind: Kind,
    /// As the station told it; None where that was no number.
    pub reported_transaction_id: Option<i32>,
    pub mismatch: Mismatch,
    /// The CALL's payload.
    pub payload: &'a str,
    pub received_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stop,
    MeterValues,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Stop, Self::MeterValues];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::MeterValues => "meter_values",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Now,
    /// The same is there already.
    Before,
}

impl Kept {
    /// For the message log: nothing that matches nothing goes by unseen, and be it the repetition of what came months ago.
    pub fn sentence(self, mismatch: Mismatch) -> String {
        let sentence = mismatch.sentence();
        match self {
            Self::Now => sentence.to_owned(),
            Self::Before => format!("{sentence}, where the same is there already"),
        }
    }
}

/// Keeps it. A station repeats what was not answered, on two sockets at once even, so the same payload is kept once.
pub async fn keep(connection: &mut PgConnection, unmatched: &Unmatched<'_>) -> Result<Kept, sqlx::Error> {
    let inserted = sqlx::query!(
        "WITH kept AS (
             INSERT INTO ocpp.unmatched (id, charge_point_id, kind, reported_transaction_id, reason, payload, received_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (charge_point_id, kind, md5(payload)) DO NOTHING
             RETURNING id, kind, reason)
         INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $7, $8, identity, site_id, json_build_object('strayId', kept.id, 'kind', kind, 'reason', reason)
         FROM kept JOIN ocpp.charge_point ON charge_point.id = $2",
        Uuid::now_v7(),
        unmatched.charge_point,
        unmatched.kind.as_str(),
        unmatched.reported_transaction_id,
        unmatched.mismatch.as_str(),
        unmatched.payload,
        unmatched.received_at,
        event::Kind::StrayKept.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(if inserted.rows_affected() > 0 {
        Kept::Now
    } else {
        Kept::Before
    })
}
