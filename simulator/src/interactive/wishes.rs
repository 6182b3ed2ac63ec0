//! What the central system wants of a played charge point: it is answered first, then it is done.

use std::time::Instant;

use super::configuration::{HEARTBEAT, METER};
use super::play::Play;
use super::say;
use crate::saying::{Reply, StopReason, Told, Wish};
use crate::station::StationError;

impl Play {
    /// All that has come in, in its order.
    pub(super) async fn grant_wishes(&mut self) -> Result<(), StationError> {
        while let Some((id, wish)) = self.station().and_then(|station| station.wish()) {
            let reply = self.decide(&wish);
            if let Some(station) = self.station() {
                station.reply(&id, &wish, &reply).await?;
            }
            if matches!(reply, Reply::Accepted | Reply::Scheduled | Reply::Unlocked) {
                self.act(wish).await?;
            }
        }
        Ok(())
    }

    /// Changes nothing but the configuration, which takes effect afterwards.
    fn decide(&mut self, wish: &Wish) -> Reply {
        match wish {
            Wish::Start { connector, .. } => accepted_if(self.place(*connector).is_some()),
            Wish::Stop { transaction } => accepted_if(self.charging(*transaction).is_some()),
            Wish::Reset { .. } | Wish::ClearCache => Reply::Accepted,
            Wish::Unlock { connector } if self.has(*connector) && *connector > 0 => Reply::Unlocked,
            Wish::Unlock { .. } => Reply::NotSupported,
            Wish::SetAvailability { connector, .. } if !self.has(*connector) => Reply::Rejected,
            Wish::SetAvailability { connector, available } => {
                let mut affected = self
                    .connectors
                    .iter()
                    .filter(|one| *connector == 0 || one.number == *connector);
                if !available && affected.any(|one| one.charge().is_some()) {
                    Reply::Scheduled
                } else {
                    Reply::Accepted
                }
            }
            Wish::Tell {
                what: Told::Unknown, ..
            } => Reply::NotSupported,
            Wish::Tell {
                what: Told::Meter,
                connector,
            } => {
                let charging = self.all_charging();
                accepted_if(connector.map_or(!charging.is_empty(), |number| charging.contains(&number)))
            }
            Wish::Tell { connector, .. } => accepted_if(connector.is_none_or(|number| self.has(number))),
            Wish::ReadConfiguration { keys } => self.configuration.read(keys),
            Wish::Configure { key, value } => self.configuration.change(key, value),
            Wish::Other { .. } => Reply::NotImplemented,
            Wish::Unreadable { problem, .. } => Reply::Unreadable(problem.clone()),
        }
    }

    async fn act(&mut self, wish: Wish) -> Result<(), StationError> {
        match wish {
            Wish::Start { id_token, connector } => self.start_remotely(id_token, connector).await,
            Wish::Stop { transaction } => match self.charging(transaction) {
                Some(number) => self.stop(number, StopReason::Remote).await,
                None => Ok(()),
            },
            Wish::Reset { hard } => {
                let reason = if hard {
                    StopReason::HardReset
                } else {
                    StopReason::SoftReset
                };
                for number in self.all_charging() {
                    self.stop(number, reason).await?;
                }
                self.restart().await;
                Ok(())
            }
            Wish::Unlock { connector } => {
                if self.all_charging().contains(&connector) {
                    self.stop(connector, StopReason::Unlocked).await?;
                }
                self.unplug(connector).await
            }
            Wish::SetAvailability { connector, available } => {
                for index in 0..self.connectors.len() {
                    let one = &mut self.connectors[index];
                    if (connector == 0 || one.number == connector) && one.set_available(available) {
                        self.report(index).await?;
                    }
                }
                Ok(())
            }
            Wish::Tell { what, connector } => self.tell_again(what, connector).await,
            Wish::Configure { key, .. } => {
                if key.eq_ignore_ascii_case(HEARTBEAT) {
                    self.heartbeat_is_due();
                } else if key.eq_ignore_ascii_case(METER) {
                    self.meter_is_due();
                }
                Ok(())
            }
            Wish::ClearCache | Wish::ReadConfiguration { .. } | Wish::Other { .. } | Wish::Unreadable { .. } => Ok(()),
        }
    }

    async fn start_remotely(&mut self, id_token: String, connector: Option<u32>) -> Result<(), StationError> {
        let Some(index) = self.place(connector) else {
            return Ok(());
        };
        if self.connectors[index].is_plugged() {
            return self.begin(index, id_token).await;
        }
        let number = self.connectors[index].number;
        self.connectors[index].want(id_token, Instant::now());
        say(&format!("`plug {number}` within a minute begins the charge"));
        Ok(())
    }

    async fn tell_again(&mut self, what: Told, connector: Option<u32>) -> Result<(), StationError> {
        match what {
            Told::Boot => self.boot().await,
            Told::Heartbeat => self.heartbeat().await,
            Told::Status => {
                for index in 0..self.connectors.len() {
                    if connector.is_none_or(|number| self.connectors[index].number == number) {
                        self.report(index).await?;
                    }
                }
                Ok(())
            }
            Told::Meter => {
                for number in self.all_charging() {
                    if connector.is_none_or(|wanted| number == wanted) {
                        self.meter_one(number).await?;
                    }
                }
                Ok(())
            }
            Told::Unknown => Ok(()),
        }
    }

    /// Where a charge could begin: at that connector, or else at one with a cable in it, or at any.
    fn place(&self, connector: Option<u32>) -> Option<usize> {
        let free = |index: &usize| {
            let one = &self.connectors[*index];
            one.is_free() && connector.is_none_or(|number| one.number == number)
        };
        let all: Vec<_> = (0..self.connectors.len()).filter(free).collect();
        let plugged = all.iter().find(|index| self.connectors[**index].is_plugged());
        plugged.or(all.first()).copied()
    }

    /// The connector of a transaction.
    fn charging(&self, transaction: i32) -> Option<u32> {
        let charge = self.backlog.charge_of(transaction)?;
        let mut all = self.connectors.iter();
        all.find(|one| one.charge().is_some_and(|one| one.number == charge))
            .map(|one| one.number)
    }

    fn all_charging(&self) -> Vec<u32> {
        let charging = self.connectors.iter().filter(|one| one.charge().is_some());
        charging.map(|one| one.number).collect()
    }

    fn has(&self, connector: u32) -> bool {
        self.connectors.iter().any(|one| one.number == connector)
    }
}

fn accepted_if(possible: bool) -> Reply {
    if possible { Reply::Accepted } else { Reply::Rejected }
}
