//! One charge point, what happens at its connectors, and what it makes of its connections.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::fleet::Fleet;
use crate::station::{Received, Station};

const STEPS: u32 = 25;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A charge as it happens at a connector.
struct Charge {
    connector: i32,
    meter_start: i64,
    register: i64,
    samples: usize,
    /// As the answer to its start named it.
    id: Option<i64>,
    is_over: bool,
}

/// Id, connector, both readings of the meter, and the status of a transaction.
type Stored = (i32, i32, Option<i64>, Option<i64>, String);

/// Something to tell; the charge by its place.
#[derive(Debug, Clone)]
enum Fact {
    Start(usize),
    Meter(usize, i64),
    Stop(usize),
    /// The stop of a transaction that nobody knows.
    Stray(i64),
}

struct Message {
    fact: Fact,
    id: String,
    at: DateTime<Utc>,
}

pub struct Life {
    seed: u64,
    random: StdRng,
    identity: String,
    clock: DateTime<Utc>,
    charges: Vec<Charge>,
    strays: HashSet<i64>,
    queue: VecDeque<Message>,
    messages: u32,
    station: Option<Station>,
    /// The socket before, which nobody has closed.
    before: Option<Station>,
}

impl Life {
    pub async fn begin(fleet: &Fleet, seed: u64) -> Self {
        let identity = fleet.register().await;
        Self {
            seed,
            random: StdRng::seed_from_u64(seed),
            identity,
            clock: "2026-03-01T12:00:00Z".parse().unwrap(),
            charges: Vec::new(),
            strays: HashSet::new(),
            queue: VecDeque::new(),
            messages: 0,
            station: None,
            before: None,
        }
    }

    pub async fn live(&mut self, fleet: &Fleet) {
        for _ in 0..STEPS {
            fleet.befall(&mut self.random).await;
            match self.random.random_range(0..100) {
                0..25 => self.something_happens(),
                25..55 => {
                    self.tell(fleet).await;
                }
                55..63 => self.tell_and_break_off(fleet).await,
                63..71 => self.tell_twice(fleet).await,
                71..79 => self.reconnect(fleet).await,
                79..84 => self.tell_on_the_old_socket().await,
                84..90 => self.resume(fleet).await,
                90..95 => self.station = None,
                _ => self.clock += TimeDelta::seconds(self.random.random_range(-600..600)),
            }
        }
    }

    /// Every charge ends, and all of it is told.
    pub async fn tell_everything(&mut self, fleet: &Fleet) {
        for place in 0..self.charges.len() {
            self.stop(place);
        }
        for _ in 0..1000 {
            if self.queue.is_empty() {
                return;
            }
            if !self.tell(fleet).await {
                sleep(Duration::from_millis(100)).await;
            }
        }
        panic!("case {}: it could not tell everything", self.seed);
    }

    fn something_happens(&mut self) {
        self.clock += TimeDelta::seconds(self.random.random_range(1..100));
        let running: Vec<_> = (0..self.charges.len())
            .filter(|&place| !self.charges[place].is_over)
            .collect();
        let connector = self.random.random_range(1..=2);
        let is_free = running.iter().all(|&place| self.charges[place].connector != connector);
        match self.random.random_range(0..10) {
            0..4 if is_free => {
                let meter_start = self.random.random_range(0..1000);
                self.charges.push(Charge {
                    connector,
                    meter_start,
                    register: meter_start,
                    samples: 0,
                    id: None,
                    is_over: false,
                });
                self.note(Fact::Start(self.charges.len() - 1));
            }
            9 => {
                let id = i64::from(i32::MAX) - self.random.random_range(0..1_000_000);
                self.strays.insert(id);
                self.note(Fact::Stray(id));
            }
            what => {
                let Some(&place) = running.get(self.random.random_range(0..running.len().max(1))) else {
                    return;
                };
                let charge = &mut self.charges[place];
                charge.register += self.random.random_range(1..500);
                if what < 7 {
                    charge.samples += 1;
                    let register = charge.register;
                    self.note(Fact::Meter(place, register));
                } else {
                    self.stop(place);
                }
            }
        }
    }

    fn stop(&mut self, place: usize) {
        if !std::mem::replace(&mut self.charges[place].is_over, true) {
            self.note(Fact::Stop(place));
        }
    }

    fn note(&mut self, fact: Fact) {
        self.messages += 1;
        // No two are of the same moment, whatever the clock does.
        let at = self.clock + TimeDelta::milliseconds(i64::from(self.messages));
        let id = format!("m{}", self.messages);
        self.queue.push_back(Message { fact, id, at });
    }

    /// The first message of the queue, as it stands for good.
    fn frame(&self) -> Option<(String, String)> {
        let message = self.queue.front()?;
        let charge = |place: usize| &self.charges[place];
        let (action, payload) = match message.fact {
            Fact::Start(place) => (
                "StartTransaction",
                json!({"connectorId": charge(place).connector, "idTag": "TAG",
                    "meterStart": charge(place).meter_start, "timestamp": message.at}),
            ),
            Fact::Meter(place, register) => (
                "MeterValues",
                json!({"connectorId": charge(place).connector, "transactionId": charge(place).id, "meterValue": [
                    {"timestamp": message.at, "sampledValue": [{"value": register.to_string()}]}]}),
            ),
            Fact::Stop(place) => (
                "StopTransaction",
                json!({"transactionId": charge(place).id, "meterStop": charge(place).register, "timestamp": message.at}),
            ),
            Fact::Stray(id) => (
                "StopTransaction",
                json!({"transactionId": id, "meterStop": 1, "timestamp": message.at}),
            ),
        };
        Some((message.id.clone(), json!([2, message.id, action, payload]).to_string()))
    }

    /// Sends the first message and waits for its answer. False where there is none.
    async fn tell(&mut self, fleet: &Fleet) -> bool {
        let Some((id, frame)) = self.frame() else {
            return true;
        };
        if self.station.is_none() {
            self.reconnect(fleet).await;
        }
        let Some(station) = &mut self.station else {
            return false;
        };
        let answer = if station.try_send(&frame).await {
            answer_to(station, &id).await
        } else {
            None
        };
        match &answer {
            Some(payload) => self.told(payload),
            None => self.station = None,
        }
        answer.is_some()
    }

    fn told(&mut self, payload: &Value) {
        let Some(message) = self.queue.pop_front() else {
            return;
        };
        if let Fact::Start(place) = message.fact {
            let id = payload["transactionId"].as_i64();
            assert!(id.is_some_and(|id| id > 0), "case {}: {payload}", self.seed);
            self.charges[place].id = id;
        }
    }

    async fn tell_and_break_off(&mut self, fleet: &Fleet) {
        if self.station.is_none() {
            self.reconnect(fleet).await;
        }
        if let (Some((_, frame)), Some(mut station)) = (self.frame(), self.station.take()) {
            station.try_send(&frame).await;
            sleep(Duration::from_millis(self.random.random_range(0..15))).await;
            if self.random.random() {
                station.try_hang_up().await;
            }
        }
    }

    async fn tell_twice(&mut self, fleet: &Fleet) {
        if self.station.is_none() {
            self.reconnect(fleet).await;
        }
        if let (Some((_, frame)), Some(station)) = (self.frame(), &mut self.station) {
            station.try_send(&frame).await;
        }
        self.tell(fleet).await;
    }

    /// The old socket stays as it is.
    async fn reconnect(&mut self, fleet: &Fleet) {
        let replica = self.random.random_range(0..2);
        let new = fleet.connect(replica, &self.identity).await;
        if let Some(old) = std::mem::replace(&mut self.station, new) {
            self.before = Some(old);
        }
    }

    async fn tell_on_the_old_socket(&mut self) {
        if let (Some((_, frame)), Some(old)) = (self.frame(), &mut self.before) {
            old.try_send(&frame).await;
        }
    }

    async fn resume(&mut self, fleet: &Fleet) {
        let replica = self.random.random_range(0..2);
        if let Some(station) = &mut self.station
            && !fleet.resume(replica, station).await
        {
            self.station = None;
        }
    }

    pub async fn compare(&self, fleet: &Fleet) {
        // What is still on its way on old sockets has no time left to do harm.
        let seed = self.seed;
        let stored: Vec<Stored> = sqlx::query_as(
            "SELECT transaction.id, connector_id, meter_start_wh, meter_stop_wh, status FROM ocpp.transaction
             JOIN ocpp.charge_point ON charge_point.id = charge_point_id WHERE identity = $1 ORDER BY transaction.id",
        )
        .bind(&self.identity)
        .fetch_all(&fleet.pool)
        .await
        .unwrap();
        let mut expected: Vec<_> = self
            .charges
            .iter()
            .map(|charge| {
                let id = i32::try_from(charge.id.unwrap()).unwrap();
                let (start, stop) = (Some(charge.meter_start), Some(charge.register));
                (id, charge.connector, start, stop, "completed".to_owned())
            })
            .collect();
        expected.sort();
        assert_eq!(stored, expected, "case {seed} of {}", self.identity);

        let samples: Vec<(i32, i64)> = sqlx::query_as(
            "SELECT transaction_id, count(DISTINCT sampled_at) FROM ocpp.meter_value
             WHERE transaction_id = ANY($1) GROUP BY transaction_id ORDER BY transaction_id",
        )
        .bind(expected.iter().map(|row| row.0).collect::<Vec<_>>())
        .fetch_all(&fleet.pool)
        .await
        .unwrap();
        let mut measured: Vec<_> = self.charges.iter().filter(|charge| charge.samples > 0).collect();
        measured.sort_by_key(|charge| charge.id);
        let measured: Vec<_> = measured
            .into_iter()
            .map(|charge| {
                (
                    i32::try_from(charge.id.unwrap()).unwrap(),
                    i64::try_from(charge.samples).unwrap(),
                )
            })
            .collect();
        assert_eq!(samples, measured, "case {seed} of {}", self.identity);

        let unmatched: Vec<Option<i32>> = sqlx::query_scalar(
            "SELECT reported_transaction_id FROM ocpp.unmatched
             JOIN ocpp.charge_point ON charge_point.id = charge_point_id WHERE identity = $1",
        )
        .bind(&self.identity)
        .fetch_all(&fleet.pool)
        .await
        .unwrap();
        let stray: HashSet<_> = unmatched.iter().flatten().map(|&id| i64::from(id)).collect();
        assert_eq!(
            (&stray, unmatched.len()),
            (&self.strays, self.strays.len()),
            "case {seed} of {}",
            self.identity
        );
    }
}

/// The payload of the answer, whatever else comes before it. None where it does not come, or is an error.
async fn answer_to(station: &mut Station, id: &str) -> Option<Value> {
    let answered = async {
        loop {
            match station.receive().await {
                Received::Frame(frame) => {
                    let frame: Value = serde_json::from_str(&frame).unwrap();
                    if frame[1] == id {
                        return (frame[0] == 3).then(|| frame[2].clone());
                    }
                }
                Received::Acknowledged => {}
                Received::Close(_) | Received::Leaving(_) | Received::End => return None,
            }
        }
    };
    timeout(PATIENCE, answered).await.ok().flatten()
}
