//! docs/metrics.md, the dashboard and the alerts, held against what running processes tell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use e2e::exposition::{Exposition, Told};
use e2e::processes::{Processes, somebody};
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};
use serde_json::{Value, json};

use crate::charge::complete_a_charge;

const PAGE: &str = include_str!("../../../docs/metrics.md");
const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/voltgate.json");

/// What Prometheus adds to each series.
const OF_PROMETHEUS: [&str; 3] = ["job", "instance", "le"];

/// A row of the page.
#[derive(Debug)]
struct Documented {
    told: Told,
    from: String,
}

fn documented() -> BTreeMap<String, Documented> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, from, ..] = cells.as_slice() else {
            panic!("{row}")
        };
        let labels = labels
            .split_whitespace()
            .map(|label| label.trim_matches('`').to_owned());
        let told = Told {
            kind: (*kind).to_owned(),
            labels: labels.collect(),
        };
        let from = (*from).to_owned();
        assert!(["start", "first", "RabbitMQ"].contains(&from.as_str()), "{row}");
        (name.trim_matches('`').to_owned(), Documented { told, from })
    })
    .collect()
}

async fn scrape(processes: &Processes) -> Exposition {
    let mut all = Exposition::default();
    for environment in processes.environments.values() {
        all.extend(Exposition::scrape(&environment["ADMIN_LISTEN"]).await);
    }
    all
}

/// A name with labels that a query asks for.
#[derive(Debug)]
struct Asked {
    name: String,
    labels: BTreeSet<String>,
}

/// What a query asks for, and the labels that it groups or matches by.
fn asked(query: &str) -> Vec<Asked> {
    // Grafana fills these in.
    let query = query.replace("$__rate_interval", "5m");
    let expression = parser::parse(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let mut found = Vec::new();
    look_through(&expression, &BTreeSet::new(), &mut found);
    assert!(!found.is_empty(), "{query} asks for nothing");
    found
}

fn look_through(expression: &Expr, by: &BTreeSet<String>, found: &mut Vec<Asked>) {
    match expression {
        Expr::Aggregate(aggregate) => {
            let mut by = by.clone();
            by.extend(labels(aggregate.modifier.as_ref()));
            look_through(&aggregate.expr, &by, found);
        }
        Expr::Binary(binary) => {
            let mut by = by.clone();
            by.extend(labels(
                binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()),
            ));
            look_through(&binary.lhs, &by, found);
            look_through(&binary.rhs, &by, found);
        }
        Expr::Unary(unary) => look_through(&unary.expr, by, found),
        Expr::Paren(paren) => look_through(&paren.expr, by, found),
        Expr::Subquery(subquery) => look_through(&subquery.expr, by, found),
        Expr::Call(call) => call
            .args
            .args
            .iter()
            .for_each(|argument| look_through(argument, by, found)),
        Expr::VectorSelector(selector) => found.push(selected(selector, by)),
        Expr::MatrixSelector(selector) => found.push(selected(&selector.vs, by)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn labels(modifier: Option<&LabelModifier>) -> Vec<String> {
    modifier.map_or_else(Vec::new, |modifier| modifier.labels().labels.clone())
}

fn selected(selector: &VectorSelector, by: &BTreeSet<String>) -> Asked {
    let matched = selector.matchers.matchers.iter().map(|matcher| matcher.name.clone());
    Asked {
        name: selector.name.clone().expect("a query names its metric"),
        labels: by.iter().cloned().chain(matched).collect(),
    }
}

/// Every query of the alerts. Each stands on a line of its own.
fn alerts() -> Vec<String> {
    let value = |line: &str| Some(line.trim().strip_prefix("expr: ")?.to_owned());
    let queries: Vec<_> = ALERTS.lines().filter_map(value).collect();
    let alerts = ALERTS
        .lines()
        .filter(|line| line.trim().starts_with("- alert: "))
        .count();
    assert!(
        alerts > 0 && queries.len() == alerts,
        "each alert has a query on one line"
    );
    queries
}

/// Every query of the dashboard.
fn panels() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match value.as_str() {
                        Some(query) if name == "expr" => found.push(query.to_owned()),
                        _ => collect(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(
        &serde_json::from_str(DASHBOARD).expect("the dashboard is JSON"),
        &mut found,
    );
    assert!(!found.is_empty());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_is_what_processes_tell_and_every_query_asks_for_what_there_is() {
    let processes = Processes::start().await;
    let page = documented();
    let operator = processes.admin().await;
    complete_a_charge(&operator).await;
    processes
        .api()
        .post("/auth/signup", &json!(somebody()))
        .await
        .expect(201);
    let _mails = processes.settled_mails().await;
    processes.api().get("/nothing/here").await.problem(404, "NOT_FOUND");
    // What is measured now and then has been by now, or is soon.
    let told = e2e::wait::until("everything that is there from the start is told", async || {
        let told = scrape(&processes).await;
        let mut from_the_start = page.iter().filter(|(_, row)| row.from != "first");
        from_the_start
            .all(|(name, _)| told.0.contains_key(name))
            .then_some(told)
    })
    .await;

    for (name, told) in &told.0 {
        let row = page.get(name).unwrap_or_else(|| panic!("{name} is not on the page"));
        assert_eq!(&row.told, told, "{name}");
    }

    let mut asked_for = BTreeSet::new();
    for query in alerts().into_iter().chain(panels()) {
        for asked in asked(&query) {
            if asked.name == "up" {
                continue;
            }
            let name = page_name(&page, &asked.name);
            let row = page
                .get(&name)
                .unwrap_or_else(|| panic!("{name} is not told, and asked for: {query}"));
            let is_series = asked.name != name;
            assert_eq!(is_series, row.told.kind == "histogram", "{query}: {}", asked.name);
            // Where it was told, the page has just what was told; else what the source says.
            let unknown = asked
                .labels
                .iter()
                .find(|label| !row.told.labels.contains(*label) && !OF_PROMETHEUS.contains(&label.as_str()));
            assert_eq!(unknown, None, "{query}: {name}");
            asked_for.insert(name);
        }
    }
    let unused: Vec<_> = page.keys().filter(|name| !asked_for.contains(*name)).collect();
    assert!(unused.is_empty(), "nobody looks at {unused:?}");
    processes.stop().await;
}

/// The metric that a series of a query belongs to.
fn page_name(page: &BTreeMap<String, Documented>, series: &str) -> String {
    let families = page.iter().map(|(name, row)| (name.clone(), row.told.clone()));
    Exposition(families.collect()).family(series)
}

/// The names that the source gives to metrics.
fn in_the_source() -> BTreeSet<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let crates = [
        "service-kit",
        "gateway",
        "auth-service",
        "charger-service",
        "email-service",
    ];
    let mut folders: Vec<_> = crates.iter().map(|name| workspace.join(name).join("src")).collect();
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the source is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("the source is text");
                for word in ["counter!(", "gauge!(", "histogram!("] {
                    let named = text
                        .split(word)
                        .skip(1)
                        .filter_map(|rest| rest.trim_start().strip_prefix('"'));
                    names.extend(named.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
                }
            }
        }
    }
    names
}

#[test]
fn every_metric_of_the_source_is_on_the_page_and_none_else() {
    let page: BTreeSet<_> = documented().into_keys().collect();
    assert_eq!(in_the_source(), page);
}
