//! One charge point, what happens at its connectors, and what it makes of its connections.

mod comparison;

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
    /// Its last BootNotification was not, or may not have been, answered with `Accepted`.
    waits: bool,
    /// Commands that reached it, and those that it has answered.
    called: HashSet<String>,
    answered: HashSet<String>,
    /// Those whose answers were taken in for good.
    settled: HashSet<String>,
}

/// What comes back to a CALL.
enum Answer {
    Result(Value),
    /// The error code.
    Refused(String),
    /// It got lost.
    Nothing,
}

impl Answer {
    fn of(frame: &Value) -> Self {
        if frame[0] == 3 {
            Self::Result(frame[2].clone())
        } else {
            Self::Refused(frame[2].as_str().unwrap_or_default().to_owned())
        }
    }
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
            waits: false,
            called: HashSet::new(),
            answered: HashSet::new(),
            settled: HashSet::new(),
        }
    }

    pub async fn live(&mut self, fleet: &Fleet) {
        for _ in 0..STEPS {
            fleet.befall(&mut self.random).await;
            match self.random.random_range(0..100) {
                0..25 => self.something_happens(),
                25..48 => {
                    self.tell(fleet).await;
                }
                48..55 => self.tell_and_break_off(fleet).await,
                55..62 => self.tell_twice(fleet).await,
                62..69 => self.reconnect(fleet).await,
                69..73 => self.tell_on_the_old_socket().await,
                73..77 => self.tell_the_second_first(fleet).await,
                77..82 => self.resume(fleet).await,
                82..86 => self.post(fleet).await,
                86..89 => {
                    fleet.command(&self.identity).await;
                }
                89..92 => self.boot(fleet, "Pending").await,
                92..96 => self.station = None,
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
            if self.waits {
                self.boot(fleet, "Accepted").await;
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
                let id = 2_000_000_000 + i64::try_from(self.strays.len()).unwrap();
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
        self.frame_of(self.queue.front()?)
    }

    fn frame_of(&self, message: &Message) -> Option<(String, String)> {
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
        let answer = self.ask(fleet, &id, &frame).await;
        self.hear(answer)
    }

    /// Sends a CALL, and waits for what comes back.
    async fn ask(&mut self, fleet: &Fleet, id: &str, frame: &str) -> Answer {
        if self.station.is_none() {
            self.reconnect(fleet).await;
        }
        let Some(mut station) = self.station.take() else {
            return Answer::Nothing;
        };
        if !station.try_send(frame).await {
            return Answer::Nothing;
        }
        let answer = timeout(PATIENCE, self.answer_to(&mut station, id)).await;
        match answer.unwrap_or(Answer::Nothing) {
            Answer::Nothing => Answer::Nothing,
            answer => {
                self.station = Some(station);
                answer
            }
        }
    }

    /// What comes back to the first message of the queue.
    fn hear(&mut self, answer: Answer) -> bool {
        match answer {
            Answer::Result(payload) => {
                self.told(&payload);
                true
            }
            Answer::Refused(code) if code == "SecurityError" => {
                assert!(self.waits, "case {}: it was accepted, and is refused", self.seed);
                false
            }
            Answer::Refused(_) | Answer::Nothing => {
                self.station = None;
                false
            }
        }
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

    /// The second message, of which no answer is waited for, overtakes the first on another socket.
    async fn tell_the_second_first(&mut self, fleet: &Fleet) {
        let Some(second) = self.queue.get(1) else { return };
        let knows_its_number = match second.fact {
            Fact::Start(_) | Fact::Stray(_) => true,
            Fact::Meter(place, _) | Fact::Stop(place) => self.charges[place].id.is_some(),
        };
        let Some((_, frame)) = self.frame_of(second).filter(|_| knows_its_number) else {
            return;
        };
        if self.before.is_none() {
            self.reconnect(fleet).await;
        }
        if let Some(other) = &mut self.before {
            other.try_send(&frame).await;
        }
        self.tell(fleet).await;
    }

    /// Without a socket.
    async fn post(&mut self, fleet: &Fleet) {
        let Some((_, frame)) = self.frame() else { return };
        let replica = self.random.random_range(0..2);
        if let Some(answer) = fleet.post(replica, &self.identity, &frame).await {
            self.hear(Answer::of(&serde_json::from_str(&answer).unwrap()));
        }
    }

    /// An operator has the charge point boot.
    async fn boot(&mut self, fleet: &Fleet, registration_status: &str) {
        fleet.will_answer(&self.identity, registration_status).await;
        self.messages += 1;
        let id = format!("b{}", self.messages);
        let boot = json!([2, id, "BootNotification", {"chargePointVendor": "Volt", "chargePointModel": "One"}]);
        let was_waiting = std::mem::replace(&mut self.waits, true);
        match self.ask(fleet, &id, &boot.to_string()).await {
            Answer::Result(payload) => {
                assert_eq!(payload["status"], registration_status, "case {}", self.seed);
                self.waits = registration_status != "Accepted";
            }
            Answer::Refused(code) => panic!("case {}: a boot is refused: {code}", self.seed),
            // It may have arrived.
            Answer::Nothing => self.waits = was_waiting || registration_status != "Accepted",
        }
    }

    /// The answer to a CALL, whatever else comes before it: it answers two of three commands that come meanwhile.
    async fn answer_to(&mut self, station: &mut Station, id: &str) -> Answer {
        // With the numbers of the frames.
        let mut answered = Vec::new();
        loop {
            match station.receive().await {
                Received::Frame(frame) => {
                    let frame: Value = serde_json::from_str(&frame).unwrap();
                    if frame[0] == 2 {
                        let command = frame[1].as_str().unwrap();
                        if self.called(station, command).await {
                            answered.push((station.sent(), command.to_owned()));
                        }
                    } else if frame[1] == id {
                        // The socket had no successor until now, or it would have been told.
                        let settled = answered
                            .into_iter()
                            .filter(|(number, _)| *number <= station.acknowledged);
                        self.settled.extend(settled.map(|(_, command)| command));
                        return Answer::of(&frame);
                    }
                }
                Received::Acknowledged => {}
                Received::Close(_) | Received::Leaving(_) | Received::End => return Answer::Nothing,
            }
        }
    }

    /// Whether it answers.
    async fn called(&mut self, station: &mut Station, id: &str) -> bool {
        let is_new = self.called.insert(id.to_owned());
        assert!(is_new, "case {}: command {id} came twice", self.seed);
        let answers = self.random.random_range(0..3) > 0;
        if answers {
            self.answered.insert(id.to_owned());
            station
                .try_send(&json!([3, id, {"status": "Accepted"}]).to_string())
                .await;
        }
        answers
    }

    async fn resume(&mut self, fleet: &Fleet) {
        let replica = self.random.random_range(0..2);
        if let Some(station) = &mut self.station
            && !fleet.resume(replica, station).await
        {
            self.station = None;
        }
    }
}
