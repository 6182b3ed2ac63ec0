//! Whether everything that was answered is in the database.

use std::collections::BTreeMap;

use anyhow::Result;
use simulator::report::Report;
use simulator::saying::Kind;
use simulator::version::Version;
use sqlx::PgPool;

/// Samples in each of the simulator's MeterValues.
const SAMPLES: u64 = 2;

/// What charge points were told is done, of all runs together.
#[derive(Debug, Default)]
pub struct Answered {
    by_kind: BTreeMap<Kind, u64>,
    /// CALLs that failed may have been done all the same.
    is_exact: bool,
    runs: u32,
}

impl Answered {
    pub fn add(&mut self, report: &Report) {
        self.is_exact = report.errors.is_empty() && (self.is_exact || self.runs == 0);
        self.runs += 1;
        for (kind, count) in &report.answered {
            *self.by_kind.entry(*kind).or_default() += count;
        }
    }

    /// What is missing in the database, or too much in it: none if all is well.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn compare(&self, database: &PgPool) -> Result<Vec<String>> {
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        let messages: Vec<(String, i64)> = sqlx::query_as(
            "SELECT action, count(*) FROM ocpp.message
             WHERE origin = 'station' AND action IS NOT NULL AND error_code IS NULL GROUP BY action",
        )
        .fetch_all(database)
        .await?;
        found.extend(messages.into_iter().map(|(action, count)| (action, unsigned(count))));
        let counts: (i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM ocpp.transaction),
                    (SELECT count(*) FROM ocpp.transaction WHERE status = 'completed'),
                    (SELECT count(*) FROM ocpp.meter_value),
                    (SELECT count(*) FROM ocpp.unmatched)",
        )
        .fetch_one(database)
        .await?;
        let of = |kind| self.by_kind.get(&kind).copied().unwrap_or_default();
        let mut expected: Vec<_> = Kind::ALL
            .iter()
            .map(|kind| (Version::default().action(*kind).to_owned(), of(*kind)))
            .collect();
        expected.extend([
            ("transactions".to_owned(), of(Kind::Start)),
            ("transactions that have ended".to_owned(), of(Kind::Stop)),
            ("meter values".to_owned(), of(Kind::Meter) * SAMPLES),
            ("strays".to_owned(), 0),
        ]);
        let names = ["transactions", "transactions that have ended", "meter values", "strays"];
        for (name, count) in names.into_iter().zip([counts.0, counts.1, counts.2, counts.3]) {
            found.insert(name.to_owned(), unsigned(count));
        }
        let differ = |(name, expected): (String, u64)| {
            let found = found.get(&name).copied().unwrap_or_default();
            let is_good = found == expected || (!self.is_exact && found > expected);
            (!is_good).then(|| format!("{name}: {expected} were answered, {found} are there"))
        };
        Ok(expected.into_iter().filter_map(differ).collect())
    }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
