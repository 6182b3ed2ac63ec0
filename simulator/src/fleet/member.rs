//! One charge point of a fleet.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Fleet, Start};
use crate::pace::{Turn, Turns};
use crate::registration;
use crate::saying::{Answer, Kind, Registration, Saying, Status};
use crate::scenario::Storm;
use crate::station::{Station, StationError};

/// Until one that has lost its connection comes back.
const PAUSE: Duration = Duration::from_secs(1);

/// How often one tries to get in before everything begins.
const ATTEMPTS: u32 = 3;

/// What is said in a BootNotification.
const VENDOR: &str = "Voltgate";
const MODEL: &str = "Simulator";

/// A charge point, connected or not.
pub struct Member {
    number: usize,
    pub identity: String,
    pub id_token: String,
    /// Of its energy meter, in Wh.
    pub register: u64,
    fleet: Arc<Fleet>,
    start: watch::Receiver<Option<Start>>,
    end: watch::Receiver<bool>,
    source: Option<IpAddr>,
    /// As the statistics know it.
    is_online: bool,
}

impl Member {
    pub(super) fn new(
        number: usize,
        fleet: Arc<Fleet>,
        start: watch::Receiver<Option<Start>>,
        end: watch::Receiver<bool>,
    ) -> Self {
        let name = registration::name(&fleet.orders.prefix, number);
        Self {
            number,
            identity: name.clone(),
            id_token: name,
            register: 1000,
            fleet,
            start,
            end,
            source: None,
            is_online: false,
        }
    }

    /// All that it does.
    pub(super) async fn live(mut self, source: Option<IpAddr>) {
        self.source = source;
        let station = if self.fleet.orders.scenario.begins_online() {
            let Some((station, mut turns)) = self.wait_online().await else {
                return self.fleet.statistics.gives_up();
            };
            self.play(station, &mut turns).await
        } else {
            self.storm().await
        };
        if let Some(station) = station {
            self.stay(station).await;
        }
    }

    /// Is there when everything begins. One that is lost before comes back, a few times.
    async fn wait_online(&mut self) -> Option<(Station, Turns)> {
        for _ in 0..ATTEMPTS {
            let mut station = self.arrive().await?;
            let begun = tokio::select! {
                turns = self.begin() => Ok(turns),
                lost = linger(&mut station) => lost.map(|never| match never {}),
            };
            match begun {
                Ok(turns) => return Some((station, turns)),
                Err(error) => self.fleet.statistics.failed(error.label()),
            }
            self.offline();
            sleep(PAUSE).await;
        }
        None
    }

    /// Comes online before everything begins, a bounded number at a time.
    async fn arrive(&mut self) -> Option<Station> {
        let fleet = Arc::clone(&self.fleet);
        for attempt in 1..=ATTEMPTS {
            // The gate is never closed.
            let entry = fleet.gate.acquire().await;
            match self.online().await {
                Ok(station) => return Some(station),
                Err(error) => fleet.statistics.failed(error.label()),
            }
            drop(entry);
            if attempt < ATTEMPTS {
                sleep(PAUSE).await;
            }
        }
        None
    }

    /// Waits until it begins.
    async fn begin(&mut self) -> Turns {
        loop {
            let turns = self
                .start
                .borrow_and_update()
                .as_ref()
                .map(|start| start.turns(self.number));
            if let Some(turns) = turns {
                return turns;
            }
            if self.start.changed().await.is_err() {
                // The fleet is gone, and this task with it.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Does what the scenario says, and comes back where the connection is lost.
    async fn play(&mut self, station: Station, turns: &mut Turns) -> Option<Station> {
        let scenario = self.fleet.orders.scenario;
        let mut online = Some(station);
        loop {
            let lost = match online.take() {
                Some(station) => match scenario.play(self, station, turns).await {
                    Ok(station) => return Some(station),
                    Err(error) => error,
                },
                None if *self.end.borrow() => return None,
                None => match self.online().await {
                    Ok(station) => {
                        online = Some(station);
                        continue;
                    }
                    Err(error) => error,
                },
            };
            self.fleet.statistics.failed(lost.label());
            self.offline();
            sleep(PAUSE).await;
        }
    }

    async fn storm(&mut self) -> Option<Station> {
        let mut turns = self.begin().await;
        let turn = tokio::select! {
            turn = turns.only() => turn,
            () = self.over() => None,
        };
        let Some(turn) = turn else {
            // It is one of those that were missed.
            self.fleet.statistics.gives_up();
            return None;
        };
        let storm = Storm {
            turn,
            source: self.source,
        };
        match storm.play(self).await {
            Ok(station) => {
                self.arrived();
                Some(station)
            }
            Err(error) => {
                self.fleet.statistics.failed(error.label());
                self.fleet.statistics.gives_up();
                None
            }
        }
    }

    /// Is there until everything ends, and goes.
    async fn stay(&mut self, mut station: Station) {
        let stayed = tokio::select! {
            () = self.over() => Ok(()),
            lost = linger(&mut station) => lost.map(|never| match never {}),
        };
        match stayed {
            Ok(()) => station.close().await,
            Err(error) => {
                self.fleet.statistics.failed(error.label());
                self.offline();
            }
        }
    }

    fn arrived(&mut self) {
        if !std::mem::replace(&mut self.is_online, true) {
            self.fleet.statistics.is_online();
        }
    }

    /// Waits for the end of everything.
    async fn over(&mut self) {
        // It is over, too, where nobody could say so any more.
        let _ = self.end.wait_for(|over| *over).await;
    }

    /// A socket, and nothing said on it.
    ///
    /// # Errors
    /// There is none.
    pub async fn connect(&self, source: Option<IpAddr>) -> Result<Station, StationError> {
        Station::connect(&self.fleet.central, &self.identity, source, None).await
    }

    /// Connects, boots and tells how it is.
    ///
    /// # Errors
    /// It does not get in.
    pub async fn online(&mut self) -> Result<Station, StationError> {
        let mut station = self.connect(self.source).await?;
        self.boot(&mut station, None).await?;
        self.arrived();
        Ok(station)
    }

    /// It has no socket any more.
    pub fn offline(&mut self) {
        if std::mem::take(&mut self.is_online) {
            self.fleet.statistics.is_offline();
        }
    }

    /// Boots and tells how it is. Counts where it was due.
    ///
    /// # Errors
    /// It is not accepted, or the connection is lost.
    pub async fn boot(&mut self, station: &mut Station, turn: Option<Turn>) -> Result<(), StationError> {
        let does_not_count = || Turn {
            due: Instant::now(),
            counts: false,
        };
        let boot = Saying::Boot {
            vendor: VENDOR,
            model: MODEL,
            firmware: env!("CARGO_PKG_VERSION"),
        };
        let answer = self.say(station, turn.unwrap_or_else(does_not_count), &boot).await?;
        if !matches!(
            answer,
            Answer::Booted {
                registration: Registration::Accepted,
                ..
            }
        ) {
            return Err(StationError::NotAccepted);
        }
        for connector in [0, 1] {
            let status = Saying::Status {
                connector,
                status: Status::Available,
                error: "NoError",
                at: Utc::now(),
            };
            self.say(station, does_not_count(), &status).await?;
        }
        Ok(())
    }

    /// The central system has answered, but would not have it. That is an error of the run.
    pub fn not_accepted(&self, kind: Kind) {
        let action = self.fleet.central.version.action(kind);
        self.fleet.statistics.failed(format!("{action}: not accepted"));
    }

    /// Says something in its turn.
    ///
    /// # Errors
    /// There is no answer, or it is no good.
    pub async fn say(
        &mut self,
        station: &mut Station,
        turn: Turn,
        saying: &Saying<'_>,
    ) -> Result<Answer, StationError> {
        let answer = station.call(saying).await?;
        self.fleet.statistics.answered(saying.kind(), turn.latency());
        station.decline().await?;
        Ok(answer)
    }
}

/// Is there, until the connection is lost.
async fn linger(station: &mut Station) -> Result<Infallible, StationError> {
    loop {
        station.listen().await?;
        station.decline().await?;
    }
}
