//! Many charge points that do the same.

mod member;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::central_system::CentralSystem;
use crate::pace::{Pacer, Turns, Window};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::source::Sources;
use crate::statistics::Statistics;

pub use self::member::Member;

/// How often it is looked whether all are there.
const LOOK: Duration = Duration::from_millis(20);

/// What a fleet is to do.
#[derive(Debug)]
pub struct Orders {
    pub scenario: Scenario,
    pub stations: usize,
    /// Identities and id tokens begin with it.
    pub prefix: String,
    /// Messages a second of all together (connections with a storm); closed loop where it is left out.
    pub rate: Option<f64>,
    /// Seconds between the Heartbeats of an idle charge point.
    pub heartbeat: Duration,
    pub warm_up: Duration,
    pub length: Duration,
    /// How many may be connecting at a time before it begins.
    pub connecting: usize,
}

impl Orders {
    /// How many turns a second; none with closed loop.
    fn turns_per_second(&self) -> Option<f64> {
        match self.scenario {
            Scenario::Idle => Some(self.stations as f64 / self.heartbeat.as_secs_f64()),
            _ => self.rate,
        }
    }
}

/// What the charge points of a fleet share.
pub struct Fleet {
    pub(crate) central: CentralSystem,
    pub(crate) orders: Orders,
    pub(crate) statistics: Statistics,
    sources: Sources,
    gate: Semaphore,
}

impl Fleet {
    /// # Errors
    /// There are no charge points in it.
    pub fn new(central: CentralSystem, orders: Orders, sources: Sources) -> Result<Arc<Self>> {
        ensure!(orders.stations > 0, "a fleet has charge points");
        ensure!(
            orders.scenario != Scenario::Idle || orders.rate.is_none(),
            "idle charge points send a Heartbeat every --heartbeat seconds, and know no --rate"
        );
        Ok(Arc::new(Self {
            gate: Semaphore::new(orders.connecting.max(1)),
            central,
            orders,
            sources,
            statistics: Statistics::new()?,
        }))
    }

    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Has all charge points do what they are to do. `ready` is told how long it took until all were there.
    ///
    /// # Errors
    /// The fleet itself went wrong; what goes wrong with a charge point is counted.
    pub async fn run(self: &Arc<Self>, ready: impl FnOnce(usize, Duration)) -> Result<Report> {
        let begins = Instant::now();
        let (go, gone) = watch::channel(None);
        let (end, ended) = watch::channel(false);
        let mut lives = JoinSet::new();
        for number in 0..self.orders.stations {
            let member = Member::new(number, Arc::clone(self), gone.clone(), ended.clone());
            lives.spawn(member.live(self.sources.of(number)));
        }
        if self.orders.scenario.begins_online() {
            self.arrived(None).await;
            ready(self.statistics.arrived().0, begins.elapsed());
        }
        let window = Window::new(Instant::now(), self.orders.warm_up, self.orders.length);
        let pacer = self.pacer().map(Arc::new);
        go.send_replace(Some(Start {
            window,
            pacer: pacer.clone(),
        }));
        let pacing = self.pace(pacer.as_deref(), window, ended);
        let (paced, (in_time, elapsed)) = tokio::join!(pacing, self.until_the_end(window, &end));
        paced?;
        while let Some(life) = lives.join_next().await {
            life?;
        }
        let planned = pacer.map(|pacer| self.planned(&pacer, window));
        let seen = self.statistics.seen();
        Ok(Report::new(&self.orders, &seen, in_time, elapsed, planned))
    }

    /// Of open loop.
    fn pacer(&self) -> Option<Pacer> {
        let pacer = Pacer::new(self.orders.turns_per_second()?, self.orders.stations);
        Some(if self.orders.scenario.begins_online() {
            pacer
        } else {
            pacer.once()
        })
    }

    /// Messages that are due and count. In a storm every charge point is, also one whose turn would come after the end.
    fn planned(&self, pacer: &Pacer, window: Window) -> u64 {
        if self.orders.scenario.begins_online() {
            pacer.planned(window).1
        } else {
            self.orders.stations as u64
        }
    }

    /// Gives the charge points their turns: up to the last one, or until a storm is over.
    async fn pace(&self, pacer: Option<&Pacer>, window: Window, mut ended: watch::Receiver<bool>) -> Result<()> {
        let Some(pacer) = pacer else {
            return Ok(());
        };
        let over = async {
            // It is over, too, where nobody could say so any more.
            let _ = ended.wait_for(|over| *over).await;
        };
        tokio::select! {
            paced = pacer.run(window) => paced,
            () = over, if !self.orders.scenario.begins_online() => Ok(()),
        }
    }

    /// Waits for the end, and tells the charge points. Returns how many messages that count were answered until then, and how long
    /// what counts took.
    async fn until_the_end(&self, window: Window, end: &watch::Sender<bool>) -> (u64, Duration) {
        if self.orders.scenario.begins_online() {
            sleep(window.ends.saturating_duration_since(Instant::now())).await;
        } else {
            self.arrived(Some(window.ends)).await;
        }
        end.send_replace(true);
        (self.statistics.counted(), window.warm.elapsed())
    }

    /// Waits until every charge point is online or will not be, or until then.
    async fn arrived(&self, latest: Option<Instant>) {
        loop {
            let (online, given_up) = self.statistics.arrived();
            let is_late = latest.is_some_and(|latest| Instant::now() >= latest);
            if online + given_up >= self.orders.stations || is_late {
                return;
            }
            sleep(LOOK).await;
        }
    }
}

/// It begins.
#[derive(Clone, Debug)]
pub struct Start {
    window: Window,
    /// Of open loop.
    pacer: Option<Arc<Pacer>>,
}

impl Start {
    /// The turns of one charge point.
    fn turns(&self, station: usize) -> Turns {
        match &self.pacer {
            Some(pacer) => pacer.turns(station, self.window),
            None => Turns::closed(self.window),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody is asked for anything in these tests.
    async fn fleet(scenario: Scenario, rate: Option<f64>) -> Result<Arc<Fleet>> {
        let url = "ws://127.0.0.1:1/ocpp".parse::<url::Url>()?;
        let orders = Orders {
            scenario,
            stations: 3,
            prefix: "SIM-".to_owned(),
            rate,
            heartbeat: Duration::from_secs(300),
            warm_up: Duration::ZERO,
            length: Duration::from_millis(50),
            connecting: 1,
        };
        Fleet::new(CentralSystem::find(&url, None).await?, orders, Sources::System)
    }

    #[tokio::test]
    async fn idle_charge_points_know_no_rate() {
        assert!(fleet(Scenario::Idle, Some(1.0)).await.is_err());
        assert!(fleet(Scenario::Idle, None).await.is_ok());
    }

    #[tokio::test]
    async fn whose_turn_does_not_come_before_the_end_of_a_storm_is_missed_and_does_not_connect() {
        // One turn in a hundred seconds.
        let fleet = fleet(Scenario::Storm, Some(0.01)).await.expect("the orders are good");
        let report = fleet.run(|_, _| {}).await.expect("it ends");
        assert_eq!((report.missed, report.online, report.messages), (3, 0, 0));
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        assert!(!report.is_good());
    }
}
