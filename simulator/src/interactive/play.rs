//! What happens to a played charge point, one thing after the other.

use std::ops::ControlFlow;
use std::time::Duration;

use chrono::Utc;
use tokio::signal::unix::Signal;
use tokio::time::{Instant, sleep_until};

use super::configuration::{Configuration, HEARTBEAT, METER};
use super::connector::Connector;
use super::console::Console;
use super::order::{HELP, Order};
use super::{say, show};
use crate::backlog::{Backlog, Event, Happened};
use crate::central_system::CentralSystem;
use crate::saying::{Answer, Registration, Saying, Status, StopReason};
use crate::settings::StationSettings;
use crate::station::{Station, StationError};

/// Until it tries to connect again.
const PAUSE: Duration = Duration::from_secs(5);

/// How long it takes to start again.
const RESTART: Duration = Duration::from_secs(2);

/// Far away, where something is not to happen.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The charge point, and its connection.
pub struct Play {
    central: CentralSystem,
    identity: String,
    quiet: bool,
    power: u32,
    pub(super) connectors: Vec<Connector>,
    pub(super) configuration: Configuration,
    pub(super) backlog: Backlog,
    charges: u64,
    link: Link,
    accepted: bool,
    /// When the next one is due.
    heartbeat: Instant,
    meter: Instant,
}

enum Link {
    Online(Box<Station>),
    /// With the time of the next attempt; without one the person wants it to be so.
    Offline(Option<Instant>),
}

/// What happens next.
enum Happening {
    Typed(Option<String>),
    Wished(Result<(), StationError>),
    Heartbeat,
    Meter,
    Connect,
    Interrupted,
}

impl Play {
    pub fn new(central: CentralSystem, settings: &StationSettings) -> Self {
        Self {
            central,
            identity: settings.id.clone(),
            quiet: settings.quiet,
            power: settings.power,
            connectors: (0..=settings.connectors).map(Connector::new).collect(),
            configuration: Configuration::new(settings.connectors, settings.meter),
            backlog: Backlog::default(),
            charges: 0,
            link: Link::Offline(Some(Instant::now())),
            accepted: false,
            heartbeat: Instant::now() + NEVER,
            meter: Instant::now() + NEVER,
        }
    }

    /// One listener for all of Ctrl-C: what is pressed while something is dealt with counts, too.
    pub async fn run(mut self, mut console: Console, mut interrupts: Signal) {
        loop {
            let happening = self.next(&mut console, &mut interrupts).await;
            match self.deal_with(happening).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(error) => {
                    say(&format!("{error}; the next attempt is in {} s", PAUSE.as_secs()));
                    self.link = Link::Offline(Some(Instant::now() + PAUSE));
                }
            }
        }
        if let Link::Online(station) = self.link {
            station.close().await;
        }
    }

    async fn next(&mut self, console: &mut Console, interrupts: &mut Signal) -> Happening {
        let is_online = matches!(self.link, Link::Online(_));
        let (heartbeat, meter) = (self.heartbeat, self.meter);
        let link = &mut self.link;
        let heard = async {
            match link {
                Link::Online(station) => Happening::Wished(station.listen().await),
                Link::Offline(Some(attempt)) => {
                    sleep_until(*attempt).await;
                    Happening::Connect
                }
                Link::Offline(None) => std::future::pending().await,
            }
        };
        tokio::select! {
            line = console.next() => Happening::Typed(line),
            happening = heard => happening,
            () = sleep_until(heartbeat), if is_online => Happening::Heartbeat,
            () = sleep_until(meter) => Happening::Meter,
            _ = interrupts.recv() => Happening::Interrupted,
        }
    }

    async fn deal_with(&mut self, happening: Happening) -> Result<ControlFlow<()>, StationError> {
        match happening {
            Happening::Typed(None) | Happening::Interrupted => return Ok(ControlFlow::Break(())),
            Happening::Typed(Some(line)) => match Order::parse(&line) {
                Ok(Some(Order::Quit)) => return Ok(ControlFlow::Break(())),
                Ok(Some(order)) => self.obey(order).await?,
                Ok(None) => {}
                Err(problem) => say(&problem),
            },
            Happening::Wished(heard) => {
                heard?;
                self.grant_wishes().await?;
            }
            Happening::Heartbeat if self.accepted => self.heartbeat().await?,
            // One that is not accepted asks again when it was told to (4.2).
            Happening::Heartbeat => self.boot().await?,
            Happening::Meter => self.meter_all().await?,
            Happening::Connect => self.connect().await?,
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn connect(&mut self) -> Result<(), StationError> {
        let watch = if self.quiet { None } else { Some(show as fn(char, &str)) };
        let station = Station::connect(&self.central, &self.identity, None, watch).await?;
        say(&format!("{} is connected", self.identity));
        self.link = Link::Online(Box::new(station));
        self.boot().await
    }

    /// Boots; once it is accepted, tells how all connectors are, and what happened meanwhile.
    pub(super) async fn boot(&mut self) -> Result<(), StationError> {
        let boot = Saying::Boot {
            vendor: "Voltgate",
            model: "Simulator",
            firmware: env!("CARGO_PKG_VERSION"),
        };
        // Where it was not answered well, it is asked again as one that is not accepted.
        let answer = self.tell(&boot).await?;
        let Some(Answer::Booted { registration, interval }) = answer else {
            self.heartbeat = Instant::now() + PAUSE;
            return Ok(());
        };
        self.accepted = registration == Registration::Accepted;
        let wait = u64::from(interval.max(1));
        self.heartbeat = Instant::now() + Duration::from_secs(wait);
        if !self.accepted {
            say(&format!("{registration:?}; it boots again in {wait} s"));
            return Ok(());
        }
        self.configuration.set_seconds(HEARTBEAT, wait);
        for number in 0..self.connectors.len() {
            self.report(number).await?;
        }
        self.tell_backlog().await
    }

    pub(super) async fn heartbeat(&mut self) -> Result<(), StationError> {
        self.heartbeat_is_due();
        self.tell(&Saying::Heartbeat).await.map(drop)
    }

    /// Reckons when, by what is configured.
    pub(super) fn heartbeat_is_due(&mut self) {
        self.heartbeat = Instant::now() + after(self.configuration.seconds(HEARTBEAT));
    }

    /// The same of the meter values of charges.
    pub(super) fn meter_is_due(&mut self) {
        let charging = self.connectors.iter().any(|connector| connector.charge().is_some());
        let wait = if charging {
            after(self.configuration.seconds(METER))
        } else {
            NEVER
        };
        self.meter = Instant::now() + wait;
    }

    async fn obey(&mut self, order: Order) -> Result<(), StationError> {
        match order {
            Order::Plug(number) => self.plug(number).await,
            Order::Unplug(number) => self.unplug(number).await,
            Order::Start { id_token, connector } => self.present(id_token, connector).await,
            Order::Stop(number) => self.stop(number, StopReason::Local).await,
            Order::Status {
                status,
                connector,
                error,
            } => match self.index(connector) {
                Some(index) => {
                    self.connectors[index].be(status, error);
                    self.report(index).await
                }
                None => Ok(()),
            },
            Order::Meter(number) => self.meter_one(number).await,
            Order::Heartbeat => self.heartbeat().await,
            Order::Boot => self.boot().await,
            Order::Offline => {
                self.disconnect(None).await;
                Ok(())
            }
            Order::Online => {
                if matches!(self.link, Link::Offline(_)) {
                    self.link = Link::Offline(Some(Instant::now()));
                }
                Ok(())
            }
            Order::Show => {
                for connector in &self.connectors {
                    let by = connector.charge().map(|charge| format!(", {}", charge.id_token));
                    let (number, status) = (connector.number, connector.status);
                    say(&format!(
                        "{number}: {status:?} ({}){}",
                        connector.error,
                        by.unwrap_or_default()
                    ));
                }
                Ok(())
            }
            Order::Help => {
                HELP.lines().for_each(say);
                Ok(())
            }
            // The loop ends by it.
            Order::Quit => Ok(()),
        }
    }

    /// Closes the socket.
    async fn disconnect(&mut self, again: Option<Instant>) {
        let before = std::mem::replace(&mut self.link, Link::Offline(again));
        if let Link::Online(station) = before {
            station.close().await;
            say("not connected any more");
        }
    }

    pub(super) async fn restart(&mut self) {
        self.disconnect(Some(Instant::now() + RESTART)).await;
    }

    async fn plug(&mut self, number: u32) -> Result<(), StationError> {
        let Some(index) = self.index(number).filter(|index| *index > 0) else {
            return Ok(());
        };
        let wanted = self.connectors[index].plug(std::time::Instant::now());
        self.report(index).await?;
        match wanted {
            Some(id_token) => self.begin(index, id_token).await,
            None => Ok(()),
        }
    }

    pub(super) async fn unplug(&mut self, number: u32) -> Result<(), StationError> {
        let Some(index) = self.index(number).filter(|index| *index > 0) else {
            return Ok(());
        };
        if self.connectors[index].charge().is_some() {
            self.stop(number, StopReason::Unplugged).await?;
        }
        self.connectors[index].unplug();
        self.report(index).await
    }

    /// A card is held to the reader. Without a connection it is let charge: whether it may is told later.
    async fn present(&mut self, id_token: String, number: u32) -> Result<(), StationError> {
        let Some(index) = self.index(number) else {
            return Ok(());
        };
        if !self.connectors[index].is_free() {
            say(&format!("nobody can charge at connector {number} now"));
            return Ok(());
        }
        if let Link::Online(_) = self.link {
            match self.tell(&Saying::Authorize { id_token: &id_token }).await? {
                Some(Answer::Authorized(true)) => {}
                _ => {
                    say(&format!("{id_token} may not charge"));
                    return Ok(());
                }
            }
        }
        if self.connectors[index].is_plugged() {
            self.begin(index, id_token).await
        } else {
            self.connectors[index].want(id_token, std::time::Instant::now());
            say(&format!("`plug {number}` within a minute begins the charge"));
            Ok(())
        }
    }

    pub(super) async fn begin(&mut self, index: usize, id_token: String) -> Result<(), StationError> {
        self.charges += 1;
        let connector = &mut self.connectors[index];
        let number = connector.number;
        let now = std::time::Instant::now();
        let register = connector.meter(self.power, now);
        connector.start(self.charges, id_token.clone(), now);
        self.backlog.push(Event {
            charge: self.charges,
            at: Utc::now(),
            happened: Happened::Started {
                connector: number,
                id_token,
                register,
            },
        });
        self.meter_is_due();
        self.tell_backlog().await?;
        self.report(index).await
    }

    pub(super) async fn stop(&mut self, number: u32, reason: StopReason) -> Result<(), StationError> {
        let Some(index) = self.index(number) else {
            return Ok(());
        };
        let connector = &mut self.connectors[index];
        let register = connector.meter(self.power, std::time::Instant::now());
        let Some(charge) = connector.stop() else {
            say(&format!("nobody charges at connector {number}"));
            return Ok(());
        };
        self.backlog.push(Event {
            charge: charge.number,
            at: Utc::now(),
            happened: Happened::Stopped {
                id_token: charge.id_token,
                register,
                reason,
            },
        });
        self.meter_is_due();
        self.tell_backlog().await?;
        self.report(index).await
    }

    async fn meter_all(&mut self) -> Result<(), StationError> {
        self.meter_is_due();
        for number in 1..self.connectors.len() {
            if self.connectors[number].charge().is_some() {
                self.note_meter(number);
            }
        }
        self.tell_backlog().await
    }

    pub(super) async fn meter_one(&mut self, number: u32) -> Result<(), StationError> {
        match self.index(number) {
            Some(index) if self.connectors[index].charge().is_some() => self.note_meter(index),
            Some(_) => say(&format!("nobody charges at connector {number}")),
            None => {}
        }
        self.tell_backlog().await
    }

    fn note_meter(&mut self, index: usize) {
        let connector = &mut self.connectors[index];
        let register = connector.meter(self.power, std::time::Instant::now());
        let Some(charge) = connector.charge() else {
            return;
        };
        let flows = connector.status == Status::Charging;
        self.backlog.push(Event {
            charge: charge.number,
            at: Utc::now(),
            happened: Happened::Metered {
                connector: connector.number,
                register,
                power: if flows { self.power } else { 0 },
            },
        });
    }

    /// Tells what happened to transactions, in its order, as long as somebody is there.
    async fn tell_backlog(&mut self) -> Result<(), StationError> {
        loop {
            let Link::Online(station) = &mut self.link else {
                return Ok(());
            };
            let Some(saying) = self.backlog.first().filter(|_| self.accepted) else {
                return Ok(());
            };
            let answer = match station.call(&saying).await {
                Ok(answer) => answer,
                Err(error @ (StationError::Refused { .. } | StationError::Unreadable { .. })) => {
                    say(&error.to_string());
                    self.backlog.drop_first();
                    continue;
                }
                Err(error) => return Err(error),
            };
            let told = self.backlog.told(&answer);
            if let (Some(event), Answer::Started { may_charge: false, .. }) = (told, &answer) {
                self.deauthorize(event.charge);
            }
        }
    }

    /// The charge was not wanted: it ends, and that is told, too.
    fn deauthorize(&mut self, charge: u64) {
        let is_it = |connector: &&mut Connector| connector.charge().is_some_and(|one| one.number == charge);
        let Some(connector) = self.connectors.iter_mut().find(is_it) else {
            return;
        };
        let register = connector.meter(self.power, std::time::Instant::now());
        if let Some(charge) = connector.stop() {
            say(&format!("{} may not charge", charge.id_token));
            self.backlog.push(Event {
                charge: charge.number,
                at: Utc::now(),
                happened: Happened::Stopped {
                    id_token: charge.id_token,
                    register,
                    reason: StopReason::Deauthorized,
                },
            });
        }
    }

    /// Says how a connector is.
    pub(super) async fn report(&mut self, index: usize) -> Result<(), StationError> {
        let connector = &self.connectors[index];
        let (status, error) = (connector.status, connector.error.clone());
        let saying = Saying::Status {
            connector: connector.number,
            status,
            error: &error,
            at: Utc::now(),
        };
        self.tell(&saying).await.map(drop)
    }

    /// Says something, where somebody is there. An answer that is an error is told to the person.
    async fn tell(&mut self, saying: &Saying<'_>) -> Result<Option<Answer>, StationError> {
        let Link::Online(station) = &mut self.link else {
            return Ok(None);
        };
        match station.call(saying).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error @ (StationError::Refused { .. } | StationError::Unreadable { .. })) => {
                say(&error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn station(&mut self) -> Option<&mut Station> {
        match &mut self.link {
            Link::Online(station) => Some(station),
            Link::Offline(_) => None,
        }
    }

    /// Where a connector stands. Where there is none, the person hears of it.
    fn index(&self, number: u32) -> Option<usize> {
        let index = usize::try_from(number)
            .ok()
            .filter(|index| *index < self.connectors.len());
        if index.is_none() {
            say(&format!("there is no connector {number}"));
        }
        index
    }
}

fn after(seconds: u64) -> Duration {
    if seconds == 0 {
        NEVER
    } else {
        Duration::from_secs(seconds)
    }
}
