//! Two hundred charge points in the middle of their charges, while charger-service is killed and restarted under them. No
//! socket closes, every CALL has its one answer, and nothing is lost or counted twice. Where another replica is there, no charge
//! point waits long for an answer.

use e2e::api::Api;
use e2e::processes::Processes;
use e2e::python::Script;
use e2e::wait::until;
use serde_json::{Value, json};

const STATIONS: usize = 200;

/// With another replica there, no CALL waits longer than this for its answer, in seconds, whatever happens to one of them.
const LONGEST_WAIT: f64 = 2.0;

/// The same where nothing is killed, and each replica says before that it leaves.
const LONGEST_PLANNED_WAIT: f64 = 1.5;

/// A CALL that is caught in it takes as many steps more as this many others, each of which waits for the machine as long as an
/// undisturbed CALL does.
const STEPS: f64 = 4.0;

/// Where an undisturbed CALL waits no longer than this, in seconds, the machine has nothing else to do, and the bound is held to
/// within [`SLACK`]. On a busier one every wait says something of the machine as well.
const AT_REST: f64 = 0.1;

/// In seconds.
const SLACK: f64 = 0.2;

/// Charge points that charge until they are told to stop.
struct Fleet {
    script: Script,
    _plan: tempfile::NamedTempFile,
}

impl Fleet {
    async fn start(operator: &Api) -> Self {
        operator
            .post("/ocpp/id-tokens", &json!({ "idToken": "TAG" }))
            .await
            .expect(201);
        let mut stations = Vec::new();
        for number in 0..STATIONS {
            let created = operator
                .post("/ocpp/charge-points", &json!({ "identity": identity(number) }))
                .await
                .expect(201);
            stations.push(json!({ "identity": created["identity"], "password": created["password"] }));
        }
        let plan = tempfile::NamedTempFile::new().expect("there is room for a file");
        let url = format!("ws://{}", operator.gateway());
        let content = json!({ "url": url, "idTag": "TAG", "stations": stations });
        std::fs::write(plan.path(), content.to_string()).expect("it can be written");
        let mut script = Script::start("fleet.py", &[&plan.path().display().to_string()]);
        assert_eq!(script.next().await["ready"], STATIONS);
        Self { script, _plan: plan }
    }

    /// What the charge points saw, once each has finished its charge.
    async fn stop(mut self) -> Value {
        self.script.go_on().await;
        let seen = self.script.next().await;
        self.script.finish().await;
        seen
    }
}

fn identity(number: usize) -> String {
    format!("CP-{number}")
}

/// Sends a command to every tenth charge point; none is waited for.
async fn send_commands(operator: &Api) -> Vec<String> {
    let mut paths = Vec::new();
    for number in (0..STATIONS).step_by(10) {
        let path = format!("/ocpp/charge-points/{}/commands", identity(number));
        let sent = operator
            .post(&format!("{path}/ClearCache?waitSeconds=0"), &json!({}))
            .await;
        let id = sent.expect(201)["id"].clone();
        paths.push(format!("/ocpp/commands/{}", id.as_str().expect("it is text")));
    }
    paths
}

/// Holds what the charge points saw against what the database says.
async fn compare(processes: &Processes, operator: &Api, seen: &Value, commands: &[String]) {
    eprintln!(
        "{} charges, {} CALLs, the longest wait for an answer {} s, and {} s before anything happened",
        seen["charges"].as_array().map_or(0, Vec::len),
        seen["calls"],
        seen["longest_wait"],
        seen["longest_wait_undisturbed"]
    );
    assert_eq!(seen["closed"], json!([]));
    assert_eq!(seen["commands"], commands.len());
    for command in commands {
        let outcome = operator.get(command).await.expect(200);
        assert_eq!(outcome["status"], "accepted", "{outcome}");
    }
    let charges = seen["charges"].as_array().expect("a list");
    let energy: i64 = charges.iter().filter_map(|charge| charge["energyWh"].as_i64()).sum();
    for (what, query, expected) in [
        (
            "transactions",
            "SELECT count(*) FROM ocpp.transaction",
            Some(charges.len() as i64),
        ),
        (
            "stopped ones",
            "SELECT count(*) FROM ocpp.transaction WHERE stopped_at IS NOT NULL",
            Some(charges.len() as i64),
        ),
        (
            "watt-hours",
            "SELECT sum(meter_stop_wh - meter_start_wh)::bigint FROM ocpp.transaction",
            Some(energy),
        ),
        (
            "meter values",
            "SELECT count(*) FROM ocpp.meter_value",
            seen["values"].as_i64(),
        ),
        (
            "messages",
            "SELECT count(*) FROM ocpp.message WHERE origin = 'station'",
            seen["calls"].as_i64(),
        ),
        (
            "commands",
            "SELECT count(*) FROM ocpp.message WHERE origin = 'csms'",
            Some(commands.len() as i64),
        ),
        (
            "flagged ones",
            "SELECT count(*) FROM ocpp.message WHERE violations <> '{}'",
            Some(0),
        ),
        (
            "second sockets",
            "SELECT count(*) FROM ocpp.session WHERE epoch <> 1",
            Some(0),
        ),
    ] {
        assert_eq!(Some(processes.count(query).await), expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_outlive_a_charger_service_that_is_killed_again_and_again() {
    let mut processes = Processes::start().await;
    let operator = processes.admin().await;
    let fleet = Fleet::start(&operator).await;
    let mut commands = Vec::new();
    for _ in 0..5 {
        commands.extend(send_commands(&operator).await);
        processes.kill("charger-service").await;
        processes.start_one("charger-service").await;
        // Commands travel at once, so that each kill meets some on their way.
        until("the API is back", async || {
            (operator.get("/ocpp/transactions?pageSize=1").await.status == 200).then_some(())
        })
        .await;
    }
    let seen = fleet.stop().await;
    compare(&processes, &operator, &seen, &commands).await;
    processes.stop().await;
}

async fn two_replicas() -> Processes {
    let mut processes = Processes::prepare().await;
    processes.add_replica("charger-service", "charger-service 2");
    processes.start_all().await;
    processes
}

/// No charge point waited longer than `longest` seconds for an answer.
fn assert_nobody_waited_longer(seen: &Value, longest: f64) {
    let seconds = |field: &str| seen[field].as_f64().expect("it is a number");
    let (waited, undisturbed) = (seconds("longest_wait"), seconds("longest_wait_undisturbed"));
    let of_the_machine = STEPS * undisturbed;
    let allowed = longest
        + if undisturbed < AT_REST {
            SLACK.min(of_the_machine)
        } else {
            of_the_machine
        };
    assert!(
        waited < allowed,
        "a CALL waited {waited} s, not {allowed} s; undisturbed {undisturbed} s"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_replicas_each_may_be_killed_and_restarted_and_nobody_waits_for_two_seconds() {
    let mut processes = two_replicas().await;
    let operator = processes.admin().await;
    let fleet = Fleet::start(&operator).await;
    let mut commands = Vec::new();
    for replica in ["charger-service", "charger-service 2"] {
        commands.extend(send_commands(&operator).await);
        processes.kill(replica).await;
        processes.start_one(replica).await;
        commands.extend(send_commands(&operator).await);
        processes.restart(replica).await;
    }
    let seen = fleet.stop().await;
    compare(&processes, &operator, &seen, &commands).await;
    assert_nobody_waited_longer(&seen, LONGEST_WAIT);
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_replicas_planned_restarts_keep_nobody_waiting_for_long() {
    let mut processes = two_replicas().await;
    let operator = processes.admin().await;
    let fleet = Fleet::start(&operator).await;
    let mut commands = Vec::new();
    for _ in 0..2 {
        for replica in ["charger-service", "charger-service 2"] {
            commands.extend(send_commands(&operator).await);
            processes.restart(replica).await;
        }
    }
    let seen = fleet.stop().await;
    compare(&processes, &operator, &seen, &commands).await;
    assert_nobody_waited_longer(&seen, LONGEST_PLANNED_WAIT);
    processes.stop().await;
}
