//! Whether everything that was answered is in the database.

use std::collections::BTreeMap;

use anyhow::Result;
use simulator::report::Report;
use simulator::saying::Kind;
use simulator::version::Version;
use sqlx::PgPool;

/// Samples in each of the simulator's MeterValues.
const SAMPLES: u64 = 2;

/// What is counted besides messages.
const ENDED: &str = "transactions that have ended";
const METER_VALUES: &str = "meter values";
const STRAYS: &str = "strays";
const NOT_ACCEPTED: &str = "transactions that were not accepted";

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
        let counts: (i64, i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM ocpp.transaction),
                    (SELECT count(*) FROM ocpp.transaction WHERE status = 'completed'),
                    (SELECT count(*) FROM ocpp.meter_value),
                    (SELECT count(*) FROM ocpp.unmatched),
                    (SELECT count(*) FROM ocpp.transaction WHERE authorization_status <> 'Accepted')",
        )
        .fetch_one(database)
        .await?;
        let names = ["transactions", ENDED, METER_VALUES, STRAYS, NOT_ACCEPTED];
        for (name, count) in names
            .into_iter()
            .zip([counts.0, counts.1, counts.2, counts.3, counts.4])
        {
            found.insert(name.to_owned(), unsigned(count));
        }
        Ok(self.differences(&found))
    }

    /// A sentence for each count that is not what it should be.
    fn differences(&self, found: &BTreeMap<String, u64>) -> Vec<String> {
        let of = |kind| self.by_kind.get(&kind).copied().unwrap_or_default();
        let mut expected: Vec<_> = Kind::ALL
            .iter()
            .map(|kind| (Version::default().action(*kind).to_owned(), of(*kind)))
            .collect();
        expected.extend([
            ("transactions".to_owned(), of(Kind::Start)),
            (ENDED.to_owned(), of(Kind::Stop)),
            (METER_VALUES.to_owned(), of(Kind::Meter) * SAMPLES),
            (STRAYS.to_owned(), 0),
            (NOT_ACCEPTED.to_owned(), 0),
        ]);
        let differ = |(name, expected): (String, u64)| {
            let found = found.get(&name).copied().unwrap_or_default();
            // A CALL that failed may be there, but no failure excuses a charge that was not accepted.
            let may_be_more = !self.is_exact && name != NOT_ACCEPTED;
            let is_good = found == expected || (may_be_more && found > expected);
            (!is_good).then(|| format!("{name}: {expected} were answered, {found} are there"))
        };
        expected.into_iter().filter_map(differ).collect()
    }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two charges, and what is in the database of them.
    fn two_charges(is_exact: bool) -> (Answered, BTreeMap<String, u64>) {
        let by_kind = BTreeMap::from([(Kind::Start, 2), (Kind::Meter, 10), (Kind::Stop, 2)]);
        let answered = Answered {
            by_kind,
            is_exact,
            runs: 1,
        };
        let found = [
            ("StartTransaction", 2),
            ("MeterValues", 10),
            ("StopTransaction", 2),
            ("transactions", 2),
            (ENDED, 2),
            (METER_VALUES, 20),
        ];
        let found = found.map(|(name, count)| (name.to_owned(), count));
        (answered, BTreeMap::from(found))
    }

    #[test]
    fn nothing_is_said_where_every_row_is_there() {
        let (answered, found) = two_charges(true);
        assert_eq!(answered.differences(&found), Vec::<String>::new());
    }

    #[test]
    fn a_row_that_is_missing_is_told_whatever_has_failed() {
        for is_exact in [true, false] {
            let (answered, mut found) = two_charges(is_exact);
            found.insert(ENDED.to_owned(), 1);
            let expected = "transactions that have ended: 2 were answered, 1 are there";
            assert_eq!(answered.differences(&found), [expected]);
        }
    }

    #[test]
    fn after_a_failure_there_may_be_more_rows_but_no_charge_that_was_not_accepted() {
        let (answered, mut found) = two_charges(false);
        found.insert("MeterValues".to_owned(), 11);
        assert_eq!(answered.differences(&found), Vec::<String>::new());
        found.insert(NOT_ACCEPTED.to_owned(), 1);
        let expected = "transactions that were not accepted: 0 were answered, 1 are there";
        assert_eq!(answered.differences(&found), [expected]);
    }
}
