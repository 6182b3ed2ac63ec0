//! The simulator's charge points against the real thing: what they were told is done is in the database, and the one that is
//! played by hand does what it is asked.

use std::process::Stdio;

use e2e::all_in_one::Voltgate;
use e2e::api::Api;
use e2e::process::path_of;
use e2e::processes::Processes;
use e2e::wait::until;
use serde_json::{Value, json};
use testbed::certificates::{Authority, Subject};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const PASSWORD: &str = "a-simulated-password";

/// What the program prints to standard output.
async fn simulator(arguments: &[&str]) -> String {
    let output = Command::new(path_of("simulator"))
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let output = timeout(e2e::wait::LONGEST, output).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}{complained}");
    said
}

/// Makes a fleet known, by the files that the simulator writes.
async fn register(operator: &Api, stations: &str) {
    for (noun, command) in [("charge-points", "charge-points"), ("id-tokens", "id-tokens")] {
        let csv = simulator(&[command, "--stations", stations]).await;
        let headers = [("content-type", "text/csv")];
        let path = format!("/ocpp/{noun}/import");
        let answer = operator.send(reqwest::Method::POST, &path, &headers, csv).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

/// Runs a scenario, in which nothing may go wrong.
async fn run(url: &str, scenario: &str, options: &[&str]) -> Value {
    let fleet = ["fleet", scenario, "--json", "--warm-up", "0", "--url", url];
    let said = simulator(&[&fleet, options].concat()).await;
    let report: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&report["errors"], &report["missed"]),
        (&json!({}), &json!(0)),
        "{report}"
    );
    report
}

/// What was answered, by kind, of several runs together.
fn answered(reports: &[Value], kind: &str) -> i64 {
    let of = |report: &Value| report["answered"][kind].as_i64().unwrap_or_default();
    reports.iter().map(of).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_ends_well_and_all_that_was_answered_is_there() {
    let processes = Processes::start().await;
    let operator = processes.admin().await;
    register(&operator, "4").await;
    let url = format!("ws://{}/ocpp", operator.gateway());
    let mut reports = Vec::new();
    for (scenario, options) in [
        ("storm", vec!["--stations", "4", "--seconds", "30"]),
        ("idle", vec!["--stations", "4", "--seconds", "2", "--heartbeat", "1"]),
        ("heartbeats", vec!["--stations", "4", "--seconds", "1"]),
        ("charge", vec!["--stations", "4", "--seconds", "2"]),
        ("charge", vec!["--stations", "4", "--seconds", "2", "--rate", "40"]),
        ("offline", vec!["--stations", "2", "--seconds", "1"]),
    ] {
        reports.push(run(&url, scenario, &options).await);
    }
    assert_eq!(reports[0]["online"], 4);
    // Four a second for two seconds, but for the one that would be due at the very end.
    assert_eq!(reports[1]["messages"], 7);
    assert_eq!(reports[4]["messages"], 79);
    assert!(answered(&reports[5..], "start") >= 20, "{}", reports[5]);

    let messages = |action: &'static str| match action {
        "boot" => "SELECT count(*) FROM ocpp.message WHERE action = 'BootNotification'",
        "authorize" => "SELECT count(*) FROM ocpp.message WHERE action = 'Authorize'",
        "heartbeat" => "SELECT count(*) FROM ocpp.message WHERE action = 'Heartbeat'",
        "status" => "SELECT count(*) FROM ocpp.message WHERE action = 'StatusNotification'",
        "start" => "SELECT count(*) FROM ocpp.transaction",
        "stop" => "SELECT count(*) FROM ocpp.transaction WHERE status = 'completed'",
        // Each brings two samples.
        "meter" => "SELECT count(*) / 2 FROM ocpp.meter_value",
        other => panic!("{other}"),
    };
    for kind in ["boot", "authorize", "heartbeat", "status", "start", "stop", "meter"] {
        let rows = processes.count(messages(kind)).await;
        assert_eq!(rows, answered(&reports, kind), "{kind}");
    }
    assert_eq!(processes.count("SELECT count(*) FROM ocpp.unmatched").await, 0);
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn charge_points_charge_by_tls_too() {
    let authority = Authority::new("A test");
    let folder = tempfile::tempdir().unwrap();
    let gateway = authority.issue(&Subject::named("gateway").loopback());
    let paths = gateway.write(folder.path(), "gateway");
    let ca = authority.write(folder.path(), "ca").display().to_string();
    let address = e2e::process::free_address();
    let certificates = format!("{}:{}", paths.certificate.display(), paths.key.display());
    let mut voltgate = Voltgate::start_with(&[
        ("ADMIN_PASSWORD", e2e::all_in_one::ADMIN_PASSWORD),
        ("GATEWAY_TLS_LISTEN", &address),
        ("GATEWAY_TLS_CERTIFICATES", &certificates),
    ])
    .await;
    register(&voltgate.admin().await, "2").await;
    let url = format!("wss://{address}/ocpp");
    let report = run(&url, "charge", &["--stations", "2", "--seconds", "1", "--ca", &ca]).await;
    assert!(answered(&[report], "stop") >= 2);
    voltgate.process.stop().await;
}

/// A charge point that is played through its standard input.
struct Played {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Played {
    fn start(url: &str) -> Self {
        let mut process = Command::new(path_of("simulator"))
            .args(["station", "--id", "CP1", "--url", url, "--password", PASSWORD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()).lines(),
            _process: process,
        }
    }

    async fn types(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Waits until it says something with this in it.
    async fn says(&mut self, part: &str) {
        let said = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                if line.contains(part) {
                    return;
                }
            }
            panic!("it ended without saying {part}");
        };
        let said = timeout(e2e::wait::LONGEST, said).await;
        said.unwrap_or_else(|_| panic!("it never said {part}"));
    }
}

async fn status_of(operator: &Api, connector: u32) -> Value {
    let path = format!("/ocpp/charge-points/CP1/connectors/{connector}");
    operator.get(&path).await.expect(200)["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_point_that_is_played_by_hand_charges_by_card_and_by_remote_start() {
    let mut voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    let charge_point = json!({"identity": "CP1", "password": PASSWORD});
    operator.post("/ocpp/charge-points", &charge_point).await.expect(201);
    let card = json!({"idToken": "CARD1"});
    operator.post("/ocpp/id-tokens", &card).await.expect(201);
    let mut played = Played::start(&format!("ws://{}/ocpp", operator.gateway()));
    played.says("CP1 is connected").await;

    played.types("plug").await;
    played.types("start UNKNOWN").await;
    played.says("UNKNOWN may not charge").await;
    played.types("start CARD1").await;
    played.says("\"status\":\"Charging\"").await;
    played.types("stop").await;
    played.says("StopTransaction").await;
    played.types("unplug").await;
    played.says("\"status\":\"Available\"").await;

    let command = "/ocpp/charge-points/CP1/commands/RemoteStartTransaction";
    let start = json!({"idTag": "CARD1", "connectorId": 2});
    let answer = operator.post(command, &start).await.expect(201);
    assert_eq!(answer["response"], json!({"status": "Accepted"}));
    played.says("`plug 2` within a minute").await;
    played.types("plug 2").await;
    let active = until("the charge has begun", async || {
        let list = operator.get("/ocpp/transactions?status=active").await.expect(200);
        list["transactions"][0]["id"].as_i64()
    })
    .await;
    until("the connector is charging", async || {
        (status_of(&operator, 2).await == "Charging").then_some(())
    })
    .await;

    // What happens without a connection is told afterwards.
    played.types("offline").await;
    played.says("not connected any more").await;
    played.types("unplug 2").await;
    played.types("online").await;
    played.says("CP1 is connected").await;
    let path = format!("/ocpp/transactions/{active}");
    let stopped = until("the charge has ended", async || {
        let one = operator.get(&path).await.expect(200);
        (one["status"] == "completed").then_some(one)
    })
    .await;
    assert_eq!(stopped["stopReason"], "EVDisconnected");

    played.types("status Faulted 1 GroundFailure").await;
    until("the fault is known", async || {
        (status_of(&operator, 1).await == "Faulted").then_some(())
    })
    .await;
    played.types("quit").await;
    voltgate.process.stop().await;
}
