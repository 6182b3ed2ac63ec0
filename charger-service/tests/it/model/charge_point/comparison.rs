//! What happened to a charge point, and what is in the database.

use std::collections::{BTreeSet, HashSet};

use super::Life;
use crate::model::fleet::Fleet;

/// Id, connector, both readings of the meter, and the status of a transaction.
type Stored = (i32, i32, Option<i64>, Option<i64>, String);

impl Life {
    pub async fn compare(&self, fleet: &Fleet) {
        self.compare_transactions(fleet).await;
        self.compare_strays(fleet).await;
        self.compare_commands(fleet).await;
    }

    /// What counts as accepted the charge point has answered, what has not been sent it has not seen, and an answer that was taken
    /// in counts.
    async fn compare_commands(&self, fleet: &Fleet) {
        let commands: Vec<(String, String)> = sqlx::query_as(
            "SELECT command.id::text, status FROM ocpp.command
             JOIN ocpp.charge_point ON charge_point.id = charge_point_id WHERE identity = $1",
        )
        .bind(&self.identity)
        .fetch_all(&fleet.pool)
        .await
        .unwrap();
        let of = |wanted: &str| -> BTreeSet<&str> {
            let wanted = commands.iter().filter(|(_, status)| status == wanted);
            wanted.map(|(id, _)| id.as_str()).collect()
        };
        let (accepted, queued) = (of("accepted"), of("queued"));
        assert!(
            accepted.iter().all(|id| self.answered.contains(*id)),
            "case {}: {accepted:?} are accepted, and it answered {:?}",
            self.seed,
            self.answered
        );
        assert!(
            self.settled.iter().all(|id| accepted.contains(id.as_str())),
            "case {}: {accepted:?} are accepted, and its answers to {:?} were taken in",
            self.seed,
            self.settled
        );
        assert!(
            queued.iter().all(|id| !self.called.contains(*id)),
            "case {}: {queued:?} are queued, and it was asked {:?}",
            self.seed,
            self.called
        );
    }

    async fn compare_transactions(&self, fleet: &Fleet) {
        // What is still on its way on old sockets has no time left to do harm.
        let seed = self.seed;
        let stored: Vec<Stored> = sqlx::query_as(
            "SELECT transaction.id, connector_id, meter_start_wh, meter_stop_wh, status FROM ocpp.transaction
             JOIN ocpp.charge_point ON charge_point.id = charge_point_id WHERE identity = $1 ORDER BY transaction.id",
        )
        .bind(&self.identity)
        .fetch_all(&fleet.pool)
        .await
        .unwrap();
        let mut expected: Vec<_> = self
            .charges
            .iter()
            .map(|charge| {
                let id = i32::try_from(charge.id.unwrap()).unwrap();
                let (start, stop) = (Some(charge.meter_start), Some(charge.register));
                (id, charge.connector, start, stop, "completed".to_owned())
            })
            .collect();
        expected.sort();
        assert_eq!(stored, expected, "case {seed} of {}", self.identity);

        let samples: Vec<(i32, i64)> = sqlx::query_as(
            "SELECT transaction_id, count(*) FROM ocpp.meter_value
             WHERE transaction_id = ANY($1) GROUP BY transaction_id ORDER BY transaction_id",
        )
        .bind(expected.iter().map(|row| row.0).collect::<Vec<_>>())
        .fetch_all(&fleet.pool)
        .await
        .unwrap();
        let mut measured: Vec<_> = self.charges.iter().filter(|charge| charge.samples > 0).collect();
        measured.sort_by_key(|charge| charge.id);
        let measured: Vec<_> = measured
            .into_iter()
            .map(|charge| {
                (
                    i32::try_from(charge.id.unwrap()).unwrap(),
                    i64::try_from(charge.samples).unwrap(),
                )
            })
            .collect();
        assert_eq!(samples, measured, "case {seed} of {}", self.identity);
    }

    async fn compare_strays(&self, fleet: &Fleet) {
        let seed = self.seed;
        let unmatched: Vec<Option<i32>> = sqlx::query_scalar(
            "SELECT reported_transaction_id FROM ocpp.unmatched
             JOIN ocpp.charge_point ON charge_point.id = charge_point_id WHERE identity = $1",
        )
        .bind(&self.identity)
        .fetch_all(&fleet.pool)
        .await
        .unwrap();
        let stray: HashSet<_> = unmatched.iter().flatten().map(|&id| i64::from(id)).collect();
        assert_eq!(
            (&stray, unmatched.len()),
            (&self.strays, self.strays.len()),
            "case {seed} of {}",
            self.identity
        );
    }
}
