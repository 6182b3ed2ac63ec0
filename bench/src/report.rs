//! The figures: medians over the rounds, with how far apart the rounds were, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::candidate::{Candidates, Kind};
use crate::rounds::{Loop, Sample};

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(skip)]
    candidates: Vec<Kind>,
    samples: Vec<Sample>,
}

/// The median of some figures, and the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    greatest: f64,
}

impl Spread {
    /// None of no figures.
    fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<_> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: *sorted.get(sorted.len() / 2)?,
            least: *sorted.first()?,
            greatest: *sorted.last()?,
        })
    }
}

impl Report {
    pub fn new(candidates: &Candidates, samples: Vec<Sample>) -> Self {
        Self {
            candidates: candidates.iter().map(|candidate| candidate.kind).collect(),
            samples,
        }
    }

    /// A table for each route.
    pub fn markdown(&self) -> String {
        let mut routes: Vec<_> = self.samples.iter().map(|sample| sample.route).collect();
        routes.dedup();
        let mut seen = Vec::new();
        let mut text = String::new();
        for route in routes {
            if !seen.contains(&route) {
                seen.push(route);
                self.table(route, &mut text);
            }
        }
        text
    }

    fn table(&self, route: &str, text: &mut String) {
        let rate = self.samples.iter().filter(|sample| sample.route == route);
        let rate = rate.filter_map(|sample| sample.rate).next().unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "**{route}**; open loop with {rate} requests a second\n\n\
             | | CPU µs a request, open loop | CPU µs a request, closed loop | requests/s, closed loop \
             | p50 added, ms | p99 added, ms | memory, MiB |\n|---|---|---|---|---|---|---|\n"
        );
        for &kind in &self.candidates {
            let _ = writeln!(text, "| {} {}", kind.name(), self.row(route, kind));
        }
        text.push('\n');
    }

    fn row(&self, route: &str, kind: Kind) -> String {
        let spread = |kind, how, figure: fn(&Sample) -> Option<f64>| {
            let samples = self.samples.iter();
            let of_these =
                samples.filter(|sample| sample.route == route && sample.candidate == kind && sample.how == how);
            Spread::of(of_these.filter_map(figure))
        };
        let processor = |how| match spread(kind, how, |sample| sample.processor_microseconds) {
            Some(it) => format!("{:.1} ({:.1}–{:.1})", it.median, it.least, it.greatest),
            None => "–".to_owned(),
        };
        let answered = spread(kind, Loop::Closed, |sample| Some(sample.answered_per_second));
        // A proxy's own share: what is there without one is taken away.
        let added = |figure: fn(&Sample) -> Option<f64>| {
            let here = spread(kind, Loop::Open, figure).map(|it| it.median);
            let direct = spread(Kind::Direct, Loop::Open, figure).map(|it| it.median);
            match (here, direct) {
                (Some(here), _) if kind == Kind::Direct => format!("({:.2} in all)", here / 1000.0),
                (Some(here), Some(direct)) => format!("{:.2}", (here - direct) / 1000.0),
                _ => "–".to_owned(),
            }
        };
        let memory = spread(kind, Loop::Open, |sample| Some(sample.memory?.now as f64 / 1024.0));
        format!(
            "| {} | {} | {} | {} | {} | {} |",
            processor(Loop::Open),
            processor(Loop::Closed),
            answered.map_or_else(String::new, |it| format!("{:.0}", it.median)),
            added(|sample| Some(sample.p50)),
            added(|sample| Some(sample.p99)),
            memory.map_or_else(|| "–".to_owned(), |it| format!("{:.0}", it.median)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_between_the_extremes() {
        let spread = Spread::of([3.0, 1.0, 10.0].into_iter());
        let expected = Spread {
            median: 3.0,
            least: 1.0,
            greatest: 10.0,
        };
        assert_eq!(spread, Some(expected));
        assert_eq!(Spread::of(std::iter::empty()), None);
    }
}
