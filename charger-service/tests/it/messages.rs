//! Whatever a charge point says, in whatever order and however often: no transaction is doubled, none is lost, and the
//! energy is what the meter said.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use testbed::Database;
use tokio::runtime::Runtime;

use crate::service::Service;
use crate::station::Station;

/// What a charge point may do next. The values are few, so that repetitions are many.
#[derive(Debug, Clone)]
enum Step {
    Start {
        connector: i32,
        tag: u8,
        minute: u8,
        meter: i64,
    },
    /// One of the transactions so far, by its place.
    Meter {
        which: usize,
        minute: u8,
        register: i64,
    },
    Stop {
        which: usize,
        minute: u8,
        meter: i64,
    },
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..=2, 0..2u8, 0..2u8, 0..2i64)
            .prop_map(|(connector, tag, minute, meter)| Step::Start { connector, tag, minute, meter }),
        4 => (0..8usize, 0..60u8, 0..100i64).prop_map(|(which, minute, register)| Step::Meter { which, minute, register }),
        3 => (0..8usize, 0..2u8, 50..52i64).prop_map(|(which, minute, meter)| Step::Stop { which, minute, meter }),
        1 => Just(Step::Reconnect),
    ]
}

type StartKey = (i32, u8, u8, i64);

/// A transaction as it should be.
#[derive(Debug)]
struct Expected {
    id: i64,
    key: StartKey,
    /// Minute and register of the latest sample.
    register: Option<(u8, i64)>,
    samples: HashSet<(u8, i64)>,
    stop: Option<(u8, i64)>,
}

impl Expected {
    fn energy(&self) -> Option<i32> {
        let reached = self
            .stop
            .map(|(_, meter)| meter)
            .or(self.register.map(|(_, register)| register))?;
        let energy = reached - self.key.3;
        (energy >= 0).then(|| i32::try_from(energy).unwrap())
    }
}

#[derive(Default)]
struct Model {
    transactions: Vec<Expected>,
    contradictions: HashMap<(i64, u8, i64), ()>,
}

impl Model {
    fn pick(&mut self, which: usize) -> Option<&mut Expected> {
        let count = self.transactions.len();
        if count == 0 {
            None
        } else {
            self.transactions.get_mut(which % count)
        }
    }
}

async fn play(service: &Service, identity: &str, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let password = service.register(identity).await;
    let mut station = Station::connect(service, identity, &password).await;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Start {
                connector,
                tag,
                minute,
                meter,
            } => {
                let payload = json!({"connectorId": connector, "idTag": format!("TAG{tag}"), "meterStart": meter,
                    "timestamp": format!("2026-03-01T12:{minute:02}:00Z")});
                let answer = station.call("StartTransaction", payload).await;
                let id = answer["transactionId"].as_i64().unwrap();
                let key = (connector, tag, minute, meter);
                match model
                    .transactions
                    .iter()
                    .find(|known| known.key == key && known.stop.is_none())
                {
                    Some(known) => prop_assert_eq!(known.id, id, "a repetition is the same transaction"),
                    None => {
                        prop_assert!(
                            model.transactions.iter().all(|known| known.id != id),
                            "an id is given once"
                        );
                        model.transactions.push(Expected {
                            id,
                            key,
                            register: None,
                            samples: HashSet::new(),
                            stop: None,
                        });
                    }
                }
            }
            Step::Meter {
                which,
                minute,
                register,
            } => {
                let Some(expected) = model.pick(which) else { continue };
                let payload = json!({"connectorId": 1, "transactionId": expected.id, "meterValue": [
                    {"timestamp": format!("2026-03-01T13:{minute:02}:00Z"),
                     "sampledValue": [{"value": register.to_string()}]}]});
                station.call("MeterValues", payload).await;
                expected.samples.insert((minute, register));
                expected.register = expected.register.max(Some((minute, register)));
            }
            Step::Stop { which, minute, meter } => {
                let Some(expected) = model.pick(which) else { continue };
                let payload = json!({"transactionId": expected.id, "meterStop": meter,
                    "timestamp": format!("2026-03-01T14:{minute:02}:00Z")});
                station.call("StopTransaction", payload).await;
                let (id, told) = (expected.id, (minute, meter));
                match expected.stop {
                    None => expected.stop = Some(told),
                    Some(first) if first == told => {}
                    Some(_) => {
                        model.contradictions.insert((id, minute, meter), ());
                    }
                }
            }
            Step::Reconnect => station = Station::connect(service, identity, &password).await,
        }
    }
    compare(service, identity, &model).await
}

async fn compare(service: &Service, identity: &str, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(service.transactions_of(identity).await.len(), model.transactions.len());
    for expected in &model.transactions {
        let transaction = service.transaction(expected.id).await;
        prop_assert_eq!(transaction.energy_wh, expected.energy(), "{:?}", expected);
        prop_assert_eq!(transaction.status == "completed", expected.stop.is_some());
        prop_assert_eq!(service.meter_values(expected.id).await.len(), expected.samples.len());
    }
    let unmatched: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM ocpp.unmatched JOIN ocpp.charge_point ON charge_point.id = charge_point_id
         WHERE identity = $1",
    )
    .bind(identity)
    .fetch_one(&service.pool)
    .await
    .unwrap();
    prop_assert_eq!(
        usize::try_from(unmatched).unwrap(),
        model.contradictions.len(),
        "every stop is accounted for"
    );
    Ok(())
}

#[test]
fn no_transaction_is_doubled_and_no_energy_lost_whatever_a_charge_point_says() {
    let runtime = Runtime::new().unwrap();
    let (_database, service) = runtime.block_on(async {
        let database = Database::create().await;
        let service = Service::start(&database).await;
        service.register_token("TAG0").await;
        service.register_token("TAG1").await;
        (database, service)
    });
    let mut runner = TestRunner::new(Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = std::cell::Cell::new(0);
    let result = runner.run(&proptest::collection::vec(step(), 1..25), |steps| {
        cases.set(cases.get() + 1);
        runtime.block_on(play(&service, &format!("CP{}", cases.get()), steps))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
