//! What `/metrics` says, in Prometheus's text format.

use std::collections::{BTreeMap, BTreeSet};

/// What is known of one metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub kind: String,
    /// The names of labels that were seen, `le` left out.
    pub labels: BTreeSet<String>,
}

/// Every metric by its name.
#[derive(Clone, Debug, Default)]
pub struct Exposition(pub BTreeMap<String, Told>);

impl Exposition {
    /// Asks a process by its admin port.
    pub async fn scrape(admin: &str) -> Self {
        let answer = reqwest::get(format!("http://{admin}/metrics")).await;
        let answer = answer.expect("the admin port answers");
        assert!(answer.status().is_success());
        Self::parse(&answer.text().await.expect("metrics are text"))
    }

    /// What all series of a counter are at together, as a process tells by its admin port.
    pub async fn total(admin: &str, counter: &str) -> f64 {
        let answer = reqwest::get(format!("http://{admin}/metrics")).await;
        let text = answer.expect("the admin port answers").text().await;
        let text = text.expect("metrics are text");
        let of_counter = text.lines().filter(|line| series(line).0 == counter);
        let values = of_counter.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    pub fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for line in text.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                let (name, kind) = declared.split_once(' ').expect("a type has a name");
                all.0.entry(name.to_owned()).or_default().kind = kind.to_owned();
            } else if !line.is_empty() && !line.starts_with('#') {
                let (name, labels) = series(line);
                let name = all.family(name);
                let told = all.0.entry(name).or_default();
                told.labels.extend(labels.into_iter().filter(|label| label != "le"));
            }
        }
        all
    }

    /// The same with what another process tells.
    pub fn extend(&mut self, other: Self) {
        for (name, told) in other.0 {
            let ours = self.0.entry(name.clone()).or_default();
            assert!(ours.kind.is_empty() || ours.kind == told.kind, "{name} is of two kinds");
            ours.kind = told.kind;
            ours.labels.extend(told.labels);
        }
    }

    /// The metric that a series belongs to: histograms have several.
    pub fn family(&self, series: &str) -> String {
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| series.strip_suffix(suffix))
            .find(|name| self.0.get(*name).is_some_and(|told| told.kind == "histogram"));
        of_histogram.unwrap_or(series).to_owned()
    }
}

/// The name of a series, and those of its labels.
fn series(line: &str) -> (&str, Vec<String>) {
    let Some((name, rest)) = line.split_once('{') else {
        return (line.split(' ').next().unwrap_or_default(), Vec::new());
    };
    let mut labels = Vec::new();
    let mut rest = rest;
    while let Some((label, value)) = rest.split_once("=\"") {
        labels.push(label.trim_start_matches(',').to_owned());
        let end = end_of_value(value);
        rest = &value[end + 1..];
        if rest.starts_with('}') {
            break;
        }
    }
    (name, labels)
}

fn end_of_value(value: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'\\' => escaped = !escaped,
            b'"' if !escaped => return at,
            _ => escaped = false,
        }
    }
    panic!("a label's value has no end: {value}")
}
