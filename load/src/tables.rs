//! The figures as tables, in Markdown.

use std::fmt::Write as _;

use simulator::report::Report;
use simulator::scenario::Scenario;

use crate::measure::Results;
use crate::settings::Setup;

/// All tables that have anything in them.
pub fn markdown(results: &[Results]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Some(first) = results.first() {
        let _ = writeln!(text, "{}\n", first.database);
    }
    exchanged(results, &mut text);
    processors(results, &mut text);
    idle(results, &mut text);
    read(results, &mut text);
    for result in results {
        let setup = name(result.setup);
        let verdict = if result.missing.is_empty() {
            "every row is there".to_owned()
        } else {
            result.missing.join("; ")
        };
        let _ = writeln!(text, "{setup}: {verdict}");
        let errors = result.exchanged.iter().map(|exchanged| &exchanged.report.errors);
        for (error, count) in errors.chain(result.idle.iter().map(|idle| &idle.errors)).flatten() {
            let _ = writeln!(text, "{setup}: {count} × {error}");
        }
    }
    text
}

fn name(setup: Setup) -> &'static str {
    match setup {
        Setup::AllInOne => "all in one",
        Setup::Separate => "separate",
    }
}

fn what(report: &Report) -> String {
    let stations = report.stations;
    let what = match report.scenario {
        Scenario::Idle => format!("{stations} idle"),
        Scenario::Heartbeats => format!("heartbeats and statuses of {stations}"),
        Scenario::Charge => format!("charges of {stations}"),
        // All are due as it begins.
        Scenario::Storm => return format!("{stations} boot at once"),
        Scenario::Offline => format!("{stations} come back with a queue"),
    };
    match report.rate {
        Some(rate) => format!("{what}, {rate:.0} messages/s due"),
        None => format!("{what}, closed loop"),
    }
}

fn exchanged(results: &[Results], text: &mut String) {
    if results.iter().all(|result| result.exchanged.is_empty()) {
        return;
    }
    let _ = writeln!(
        text,
        "| charge points | | s | messages/s | p50, ms | p95 | p99 | p99.9 | missed | transactions/s, reads included |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    );
    for result in results {
        for exchanged in &result.exchanged {
            let report = &exchanged.report;
            let latency = report.latency;
            // A storm counts until a BootNotification is answered; with it come two statuses.
            let per_second = exchanged.messages as f64 / report.seconds.max(f64::EPSILON);
            let is_storm = report.scenario == Scenario::Storm;
            let _ = writeln!(
                text,
                "| {} | {} | {:.1} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {:.0} |",
                what(report),
                name(result.setup),
                report.seconds,
                if is_storm {
                    per_second
                } else {
                    report.messages_per_second
                },
                latency.p50,
                latency.p95,
                latency.p99,
                latency.p999,
                report.missed,
                exchanged.used.commits_per_second()
            );
        }
    }
    let _ = writeln!(
        text,
        "\nEach start and end of a charge is an event: all in one delivers it to email-service; the separate processes, which run without\n\
         RabbitMQ, keep it inside charger-service.\n"
    );
}

fn processors(results: &[Results], text: &mut String) {
    for result in results.iter().filter(|result| !result.exchanged.is_empty()) {
        let processes: Vec<_> = result.exchanged[0].used.processor_seconds.keys().copied().collect();
        let _ = writeln!(
            text,
            "| CPU seconds for 10,000 messages, {} | all | {} | the simulator, besides |\n|---|---|{}---|",
            name(result.setup),
            processes.join(" | "),
            "---|".repeat(processes.len())
        );
        for exchanged in &result.exchanged {
            let for_ten_thousand = |seconds: f64| format!("{:.2}", exchanged.per_message(seconds) * 10.0);
            let each = exchanged.used.processor_seconds.values();
            let each: Vec<_> = each.map(|seconds| for_ten_thousand(*seconds)).collect();
            let report = &exchanged.report;
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                what(report),
                for_ten_thousand(exchanged.used.processor_seconds_in_all()),
                each.join(" | "),
                for_ten_thousand(exchanged.simulator_seconds)
            );
        }
        text.push('\n');
    }
}

fn idle(results: &[Results], text: &mut String) {
    if results.iter().all(|result| result.idle.is_empty()) {
        return;
    }
    let _ = writeln!(
        text,
        "| idle charge points | | connected within | KiB each | of which |\n|---|---|---|---|---|"
    );
    for result in results {
        for idle in &result.idle {
            let online = idle.online.max(1) as f64;
            let of_which = idle.more.iter();
            let of_which: Vec<_> = of_which
                .map(|(name, more)| format!("{name} {:.1}", *more as f64 / online))
                .collect();
            let _ = writeln!(
                text,
                "| {} of {} | {} | {:.1} s | {:.1} | {} |",
                idle.online,
                idle.stations,
                name(result.setup),
                idle.connecting_seconds,
                idle.each(),
                of_which.join(", ")
            );
        }
    }
    let _ = writeln!(
        text,
        "\nMemory is Pss of Voltgate's processes, without the kernel's buffers of sockets and without PostgreSQL.\n"
    );
}

fn read(results: &[Results], text: &mut String) {
    if results.iter().all(|result| result.read.is_empty()) {
        return;
    }
    let _ = writeln!(
        text,
        "| REST reads | | requests/s | p50, ms | p99 | CPU ms a request |\n|---|---|---|---|---|---|"
    );
    for result in results {
        for read in &result.read {
            let processor = read.used.processor_seconds_in_all() * 1000.0 / read.requests.max(1) as f64;
            let _ = writeln!(
                text,
                "| {} | {} | {:.0} | {:.2} | {:.2} | {processor:.3} |",
                read.name,
                name(result.setup),
                read.per_second,
                read.p50,
                read.p99
            );
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use simulator::report::Latency;

    use super::*;
    use crate::installation::Used;
    use crate::measure::{Exchanged, Idle};

    fn report(scenario: Scenario, rate: Option<f64>) -> Report {
        Report {
            scenario,
            stations: 50,
            rate,
            seconds: 10.0,
            online: 50,
            messages: 1000,
            messages_per_second: 99.0,
            missed: 7,
            latency: Latency::default(),
            by_kind: BTreeMap::new(),
            answered: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }

    fn results() -> Results {
        let exchanged = Exchanged {
            report: report(Scenario::Charge, Some(100.0)),
            messages: 1000,
            used: Used {
                seconds: 10.0,
                processor_seconds: BTreeMap::from([("PostgreSQL", 1.0), ("voltgate", 2.0)]),
                commits: 500,
            },
            simulator_seconds: 0.25,
        };
        let idle = Idle {
            stations: 1000,
            online: 1000,
            connecting_seconds: 1.5,
            more: BTreeMap::from([("voltgate", 20_000)]),
            errors: BTreeMap::new(),
        };
        Results {
            setup: Setup::AllInOne,
            database: "PostgreSQL".to_owned(),
            idle: vec![idle],
            exchanged: vec![exchanged],
            read: Vec::new(),
            missing: Vec::new(),
        }
    }

    #[test]
    fn what_was_measured_says_whether_the_loop_was_closed() {
        assert_eq!(what(&report(Scenario::Charge, None)), "charges of 50, closed loop");
        let open = what(&report(Scenario::Charge, Some(100.0)));
        assert_eq!(open, "charges of 50, 100 messages/s due");
        assert_eq!(what(&report(Scenario::Storm, None)), "50 boot at once");
    }

    #[test]
    fn what_was_missed_and_what_the_simulator_took_is_told() {
        let text = markdown(&[results()]);
        for line in [
            "| charges of 50, 100 messages/s due | all in one | 10.0 | 99 | 0.0 | 0.0 | 0.0 | 0.0 | 7 | 50 |",
            "| CPU seconds for 10,000 messages, all in one | all | PostgreSQL | voltgate | the simulator, besides |",
            "| charges of 50, 100 messages/s due | 30.00 | 10.00 | 20.00 | 2.50 |",
            "| 1000 of 1000 | all in one | 1.5 s | 20.0 | voltgate 20.0 |",
            "all in one: every row is there",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_table_has_as_many_columns_in_each_line() {
        let text = markdown(&[results()]);
        let mut before: Option<usize> = None;
        for line in text.lines() {
            let columns = line.starts_with('|').then(|| line.matches('|').count());
            if let (Some(before), Some(columns)) = (before, columns) {
                assert_eq!(before, columns, "{line}");
            }
            before = columns;
        }
    }
}
