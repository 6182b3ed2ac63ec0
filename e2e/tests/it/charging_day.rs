//! The page "A charging day", done line by line.

use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;

use e2e::all_in_one::{ADMIN_PASSWORD, Voltgate};
use e2e::python::interpreter;
use e2e::wait::LONGEST;
use serde_json::{Deserializer, Value};
use tokio::process::Command;
use tokio::time::timeout;

const PAGE: &str = include_str!("../../../docs/charging-day.md");

/// Stands for whatever there is; as the last of a list, for any more of it.
const ANYTHING: &str = "…";

/// A fenced block.
struct Block {
    language: &'static str,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut lines = PAGE.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let text = lines.by_ref().take_while(|line| *line != "```");
        let text = text.fold(String::new(), |text, line| text + line + "\n");
        blocks.push(Block { language, text });
    }
    blocks
}

/// One shell does it all, so that what is set stays set. What each block says goes into a file with its number.
fn script(blocks: &[Block]) -> String {
    let mut script = "set -eu\ntrap 'kill $STATION' EXIT\nSTATION=\n".to_owned();
    for (number, block) in blocks.iter().enumerate() {
        match block.language {
            "sh" => writeln!(script, "{{\n{}}} >{number}.out", block.text).unwrap(),
            "python" => script.push_str(
                "\"$PYTHON\" station.py >station.out 2>&1 &\nSTATION=$!\nuntil grep -q waiting station.out; do sleep 0.2; done\n",
            ),
            "json" => {}
            other => panic!("nobody knows what to do with {other}"),
        }
    }
    script
}

/// The last document in what a block has said.
fn last_of(output: &str) -> Value {
    let start = output.find('{').unwrap_or_else(|| panic!("no JSON in {output}"));
    let documents = output[start..]
        .lines()
        .flat_map(|line| Deserializer::from_str(line).into_iter::<Value>());
    documents
        .filter_map(Result::ok)
        .last()
        .unwrap_or_else(|| panic!("no JSON in {output}"))
}

/// Of objects, what the page has is there; more may be.
fn assert_shown(shown: &Value, told: &Value, place: &str) {
    match (shown, told) {
        (Value::String(text), _) if text == ANYTHING => assert!(!told.is_null(), "{place} is not there"),
        (Value::Object(shown), Value::Object(told)) => {
            for (name, value) in shown {
                let place = format!("{place}.{name}");
                assert_shown(value, told.get(name).unwrap_or(&Value::Null), &place);
            }
        }
        (Value::Array(shown), Value::Array(told)) => {
            let is_open = shown.last().is_some_and(|last| last == ANYTHING);
            let shown = if is_open { &shown[..shown.len() - 1] } else { shown };
            assert!(
                told.len() == shown.len() || is_open && told.len() > shown.len(),
                "{place}: {told:?}"
            );
            for (index, (shown, told)) in shown.iter().zip(told).enumerate() {
                assert_shown(shown, told, &format!("{place}[{index}]"));
            }
        }
        (shown, told) => assert_eq!(shown, told, "{place}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charging_day_goes_by_as_the_page_has_it() {
    let mut voltgate = Voltgate::start().await;
    let folder = tempfile::tempdir().unwrap();
    let address = voltgate.address("GATEWAY_LISTEN");
    let here = |text: &str| {
        text.replace("127.0.0.1:8080", address)
            .replace("<the password shown>", ADMIN_PASSWORD)
    };
    let blocks = blocks();
    let station = blocks.iter().find(|block| block.language == "python").unwrap();
    fs::write(folder.path().join("station.py"), here(&station.text)).unwrap();
    fs::write(folder.path().join("day.sh"), here(&script(&blocks))).unwrap();
    let done = Command::new("bash")
        .arg("day.sh")
        .env("PYTHON", interpreter())
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let done = timeout(LONGEST, done).await.expect("the day ends").unwrap();
    let said = |number: usize| fs::read_to_string(folder.path().join(format!("{number}.out"))).unwrap_or_default();
    let errors = String::from_utf8_lossy(&done.stderr);
    let all: Vec<_> = (0..blocks.len()).map(said).collect();
    assert!(done.status.success(), "{errors}\n{all:?}");

    let mut compared = 0;
    for (number, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "json") {
        let shown: Value =
            serde_json::from_str(&block.text).unwrap_or_else(|error| panic!("{error} in {}", block.text));
        assert_shown(&shown, &last_of(&said(number - 1)), &format!("block {number}"));
        compared += 1;
    }
    assert!(compared > 15, "{compared}");
    let file = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(file("curve.svg").starts_with("<svg") && file("transactions.csv").contains("CARD1"));
    voltgate.process.stop().await;
}
