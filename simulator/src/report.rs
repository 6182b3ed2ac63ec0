//! What a run has shown, as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::fleet::Orders;
use crate::saying::Kind;
use crate::scenario::Scenario;
use crate::statistics::Seen;

/// A message is a CALL and its answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub scenario: Scenario,
    pub stations: usize,
    /// Messages that were due in a second; none with closed loop.
    pub rate: Option<f64>,
    /// How long what counts took: with a storm, until the last charge point was there.
    pub seconds: f64,
    /// Charge points that were online at the end, or had been when all began.
    pub online: usize,
    /// Messages that count. With open loop some of them may have been answered after the end.
    pub messages: u64,
    /// Of those that were answered before the end.
    pub messages_per_second: f64,
    /// Messages that were due and never answered, with open loop.
    pub missed: u64,
    /// From when a message was due to its answer.
    pub latency: Latency,
    pub by_kind: BTreeMap<Kind, Of>,
    /// All that was answered, what does not count included: as many rows there are in the central system.
    pub answered: BTreeMap<Kind, u64>,
    pub errors: BTreeMap<String, u64>,
}

/// Messages of one kind.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Of {
    pub messages: u64,
    pub latency: Latency,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        Self {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: milliseconds(histogram.max()),
        }
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

impl Report {
    /// `in_time` messages were answered in the time that `elapsed`; `planned` is what was due, with open loop.
    pub fn new(orders: &Orders, seen: &Seen, in_time: u64, elapsed: Duration, planned: Option<u64>) -> Self {
        let mut all = seen
            .latencies
            .first()
            .map(|(_, histogram)| Histogram::new_from(histogram));
        let mut by_kind = BTreeMap::new();
        for (kind, histogram) in &seen.latencies {
            if let Some(all) = &mut all {
                // Both have the same bounds.
                let _ = all.add(histogram);
            }
            if !histogram.is_empty() {
                let of = Of {
                    messages: histogram.len(),
                    latency: Latency::of(histogram),
                };
                by_kind.insert(*kind, of);
            }
        }
        let messages = by_kind.values().map(|of| of.messages).sum();
        Self {
            scenario: orders.scenario,
            stations: orders.stations,
            rate: orders.rate,
            seconds: elapsed.as_secs_f64(),
            online: seen.online,
            messages,
            messages_per_second: in_time as f64 / elapsed.as_secs_f64().max(f64::EPSILON),
            missed: planned.unwrap_or(0).saturating_sub(messages),
            latency: all.as_ref().map(Latency::of).unwrap_or_default(),
            by_kind,
            answered: seen.answered.clone(),
            errors: seen.errors.clone(),
        }
    }

    /// Whether nothing went wrong.
    pub fn is_good(&self) -> bool {
        self.errors.is_empty() && self.missed == 0
    }

    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:?}: {} of {} charge points online, {:.1} s, {:.0} messages a second{}",
            self.scenario,
            self.online,
            self.stations,
            self.seconds,
            self.messages_per_second,
            self.rate.map(|rate| format!(" of {rate} due")).unwrap_or_default()
        );
        let _ = writeln!(
            text,
            "\n{:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "latency, ms", "messages", "p50", "p95", "p99", "p99.9", "max"
        );
        let mut row = |name: &str, messages: u64, latency: &Latency| {
            let Latency {
                p50,
                p95,
                p99,
                p999,
                max,
            } = latency;
            let _ = writeln!(
                text,
                "{name:<12}{messages:>10}{p50:>10.2}{p95:>10.2}{p99:>10.2}{p999:>10.2}{max:>10.2}"
            );
        };
        for (kind, of) in &self.by_kind {
            row(&format!("{kind:?}"), of.messages, &of.latency);
        }
        row("all", self.messages, &self.latency);
        if self.missed > 0 {
            let _ = writeln!(text, "\n{} messages were due and never answered", self.missed);
        }
        for (error, count) in &self.errors {
            let _ = writeln!(text, "{count} × {error}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Statistics;

    fn orders() -> Orders {
        Orders {
            scenario: Scenario::Charge,
            stations: 2,
            prefix: "SIM-".into(),
            rate: Some(60.0),
            heartbeat: Duration::from_secs(300),
            warm_up: Duration::ZERO,
            length: Duration::from_secs(10),
            connecting: 1,
        }
    }

    fn report() -> Report {
        let statistics = Statistics::new().expect("bounds are good");
        for milliseconds in 1..=1000 {
            let kind = if milliseconds % 2 == 0 {
                Kind::Meter
            } else {
                Kind::Start
            };
            statistics.answered(kind, Some(Duration::from_millis(milliseconds)));
        }
        statistics.answered(Kind::Boot, None);
        statistics.failed("closed with 1012".into());
        let seen = statistics.seen();
        Report::new(&orders(), &seen, 900, Duration::from_secs(10), Some(1003))
    }

    #[test]
    fn percentiles_are_those_of_all_kinds_together() {
        let report = report();
        assert_eq!((report.messages, report.missed), (1000, 3));
        // A hundred of them were answered when the time was over.
        assert!((report.messages_per_second - 90.0).abs() < 1e-9);
        let near = |value: f64, expected: f64| (value - expected).abs() <= expected / 500.0;
        let Latency {
            p50,
            p95,
            p99,
            p999,
            max,
        } = report.latency;
        for (value, expected) in [(p50, 500.0), (p95, 950.0), (p99, 990.0), (p999, 999.0), (max, 1000.0)] {
            assert!(near(value, expected), "{value} is not {expected}");
        }
        assert!(near(report.by_kind[&Kind::Start].latency.max, 999.0));
        assert_eq!(report.answered[&Kind::Boot], 1);
        assert!(!report.is_good());
    }

    #[test]
    fn a_program_reads_what_was_written() {
        let report = report();
        let json = serde_json::to_string(&report).expect("it can be written");
        assert!(
            json.contains(r#""byKind":{"start":"#) || json.contains(r#""meter":"#),
            "{json}"
        );
        let read: Report = serde_json::from_str(&json).expect("it can be read");
        assert_eq!(read, report);
    }

    #[test]
    fn a_person_reads_a_table() {
        let table = report().table();
        for part in [
            "Charge: 0 of 2",
            "p99.9",
            "Meter",
            "1 × closed with 1012",
            "3 messages were due",
        ] {
            assert!(table.contains(part), "{part} is missing in:\n{table}");
        }
    }
}
