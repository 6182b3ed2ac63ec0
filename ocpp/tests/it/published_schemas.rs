//! Our validator against a JSON Schema library, on thousands of payloads for every message.
//!
//! `published_schemas.py` makes the payloads and judges them with the schemas of the PyPI package `ocpp`. It runs in the
//! Python that `VOLTGATE_PYTHON` names, a virtual environment that `make test` sets up: `pip install ocpp==2.1.0`.

use std::{collections::BTreeSet, env, process::Command};

use ocpp::{Message, Version, validate};
use serde_json::value::RawValue;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/published_schemas.py");

#[test]
fn our_tables_agree_with_the_published_schemas_on_every_message() {
    let judged = judged_payloads();
    let mut messages = BTreeSet::new();
    let mut disagreements = Vec::new();
    let mut valid = 0;
    for line in judged.lines() {
        let [version, kind, action, expected, payload] = parts(line);
        let version = Version::from_subprotocol(&format!("ocpp{version}")).expect("a version that we speak");
        let message = match kind {
            "Request" => Message::Request(action),
            _ => Message::Response(action),
        };
        let payload: &RawValue = serde_json::from_str(payload).expect("a JSON payload");
        let ours = verdict(version, message, payload);
        if ours != expected {
            disagreements.push(format!(
                "{kind} {action}: they say {expected}, we say {ours}: {payload}"
            ));
        }
        valid += usize::from(expected == "ok");
        messages.insert((kind, action));
    }
    let total = judged.lines().count();
    let first: Vec<_> = disagreements.iter().take(10).map(String::as_str).collect();
    assert!(
        disagreements.is_empty(),
        "{} of {total} differ, such as\n{}",
        disagreements.len(),
        first.join("\n")
    );
    assert_eq!(messages.len(), 78, "1.6 has 39 requests and 39 responses");
    assert!(
        valid > total / 4 && total - valid > total / 4,
        "{valid} of {total} payloads are valid: too few of one kind to prove anything"
    );
}

fn judged_payloads() -> String {
    let python = env::var("VOLTGATE_PYTHON")
        .expect("VOLTGATE_PYTHON names a Python that has the package `ocpp`; `make test` sets it");
    let output = Command::new(python)
        .arg(SCRIPT)
        .output()
        .expect("VOLTGATE_PYTHON starts");
    assert!(
        output.status.success(),
        "{SCRIPT} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the script writes UTF-8")
}

fn parts(line: &str) -> [&str; 5] {
    let parts: Vec<_> = line.splitn(5, ' ').collect();
    parts
        .try_into()
        .expect("version, Request or Response, action, verdict, payload")
}

fn verdict(version: Version, message: Message<'_>, payload: &RawValue) -> String {
    let violations = validate(version, message, payload);
    let codes: BTreeSet<_> = violations
        .iter()
        .map(|violation| violation.error_code().as_str(version))
        .collect();
    match codes.is_empty() {
        true => "ok".to_owned(),
        false => codes.into_iter().collect::<Vec<_>>().join(","),
    }
}
