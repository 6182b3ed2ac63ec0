//! Finds the transaction that a station means by a number. A station can only mean its own.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

/// A transaction of the charge point that named it.
#[derive(Debug)]
pub struct Owned {
    pub id: i32,
    pub connector_id: i32,
}

/// Why what names a transaction was not applied to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    UnknownTransaction,
    OtherChargePoint,
    /// It was stopped before, with other facts.
    AlreadyStopped,
}

impl Mismatch {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownTransaction => "unknown_transaction",
            Self::OtherChargePoint => "other_charge_point",
            Self::AlreadyStopped => "already_stopped",
        }
    }

    /// For the message log.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::UnknownTransaction => "transactionId: there is no such transaction; kept for reconciliation",
            Self::OtherChargePoint => "transactionId: belongs to another charge point; kept for reconciliation",
            Self::AlreadyStopped => "transactionId: was stopped before with other values; kept for reconciliation",
        }
    }
}

/// Of the transactions that several charge points have named, those that are their own.
pub async fn all_owned(
    connection: &mut PgConnection,
    named: &[(Uuid, i32)],
) -> Result<HashMap<(Uuid, i32), Owned>, sqlx::Error> {
    let (charge_points, ids): (Vec<Uuid>, Vec<i32>) = named.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"SELECT charge_point_id AS "charge_point_id!", id AS "id!", connector_id
           FROM unnest($1::uuid[], $2::integer[]) AS named (charge_point_id, id)
               -- With a limit, each is looked up by its index, however few rows PostgreSQL believes the table to have.
               CROSS JOIN LATERAL (
                   SELECT connector_id FROM ocpp.transaction
                   WHERE transaction.id = named.id AND transaction.charge_point_id = named.charge_point_id
                   LIMIT 1) AS own"#,
        &charge_points,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    let owned = rows.into_iter().map(|row| {
        let owned = Owned {
            id: row.id,
            connector_id: row.connector_id,
        };
        ((row.charge_point_id, row.id), owned)
    });
    Ok(owned.collect())
}

pub async fn owned(
    connection: &mut PgConnection,
    charge_point: Uuid,
    transaction_id: i32,
) -> Result<Result<Owned, Mismatch>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT charge_point_id, connector_id FROM ocpp.transaction WHERE id = $1",
        transaction_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(match row {
        None => Err(Mismatch::UnknownTransaction),
        Some(row) if row.charge_point_id != charge_point => Err(Mismatch::OtherChargePoint),
        Some(row) => Ok(Owned {
            id: transaction_id,
            connector_id: row.connector_id,
        }),
    })
}
