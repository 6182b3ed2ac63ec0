//! A connector: a cable in it or not, a charge or not, and the status that follows from both.

use std::time::{Duration, Instant};

use crate::saying::Status;

/// How long a remote start waits for a cable.
const CABLE_WITHIN: Duration = Duration::from_secs(60);

/// One connector, or, as number 0, the charge point as a whole.
#[derive(Debug)]
pub struct Connector {
    pub number: u32,
    pub status: Status,
    pub error: String,
    plugged: bool,
    /// Whether the central system wants it to be used.
    available: bool,
    /// Who is to charge once a cable is in, and since when.
    wanted: Option<(String, Instant)>,
    charge: Option<Charge>,
    /// In Wh.
    register: f64,
}

/// A charge that is going on.
#[derive(Clone, Debug)]
pub struct Charge {
    pub number: u64,
    pub id_token: String,
    /// Until when its energy has been counted.
    counted: Instant,
}

impl Connector {
    pub fn new(number: u32) -> Self {
        Self {
            number,
            status: Status::Available,
            error: "NoError".to_owned(),
            plugged: false,
            available: true,
            wanted: None,
            charge: None,
            register: 0.0,
        }
    }

    pub fn is_plugged(&self) -> bool {
        self.plugged
    }

    pub fn charge(&self) -> Option<&Charge> {
        self.charge.as_ref()
    }

    /// Whether a charge could begin, with a cable.
    pub fn is_free(&self) -> bool {
        let usable = !matches!(self.status, Status::Faulted | Status::Unavailable);
        self.number > 0 && self.charge.is_none() && self.available && usable
    }

    /// The cable is put in. Returns who is to charge, where that was asked for a moment ago.
    pub fn plug(&mut self, now: Instant) -> Option<String> {
        self.plugged = true;
        self.settle();
        let (id_token, since) = self.wanted.take()?;
        (now - since <= CABLE_WITHIN).then_some(id_token)
    }

    /// The cable is pulled. A charge must have ended.
    pub fn unplug(&mut self) {
        self.plugged = false;
        self.settle();
    }

    /// Somebody is to charge once a cable is in.
    pub fn want(&mut self, id_token: String, now: Instant) {
        self.wanted = Some((id_token, now));
    }

    pub fn start(&mut self, number: u64, id_token: String, now: Instant) {
        self.charge = Some(Charge {
            number,
            id_token,
            counted: now,
        });
        self.status = Status::Charging;
    }

    /// Ends the charge, if there is one.
    pub fn stop(&mut self) -> Option<Charge> {
        let ended = self.charge.take()?;
        self.status = Status::Finishing;
        if !self.available {
            self.status = Status::Unavailable;
        }
        Some(ended)
    }

    /// The energy register, in Wh, with what flowed until now at this power, in W.
    pub fn meter(&mut self, power: u32, now: Instant) -> u64 {
        if let Some(charge) = &mut self.charge {
            if self.status == Status::Charging {
                self.register += f64::from(power) * (now - charge.counted).as_secs_f64() / 3600.0;
            }
            charge.counted = now;
        }
        // Never negative, and far below the bound.
        self.register as u64
    }

    /// Sets the status by hand.
    pub fn be(&mut self, status: Status, error: String) {
        self.status = status;
        self.error = error;
    }

    /// What the central system wants; false while a charge is in the way.
    pub fn set_available(&mut self, available: bool) -> bool {
        self.available = available;
        if self.charge.is_some() {
            return false;
        }
        self.settle();
        true
    }

    /// The status that follows from everything else, without a charge.
    fn settle(&mut self) {
        if self.charge.is_some() || self.status == Status::Faulted {
            return;
        }
        self.status = match (self.available, self.plugged) {
            (false, _) => Status::Unavailable,
            (true, true) => Status::Preparing,
            (true, false) => Status::Available,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_goes_through_the_statuses() {
        let now = Instant::now();
        let mut connector = Connector::new(1);
        assert_eq!(connector.plug(now), None);
        assert_eq!(connector.status, Status::Preparing);
        connector.start(1, "CARD1".into(), now);
        assert_eq!(connector.status, Status::Charging);
        assert_eq!(connector.meter(11_000, now + Duration::from_secs(3600)), 11_000);
        let ended = connector.stop().expect("there is a charge");
        assert_eq!((ended.number, connector.status), (1, Status::Finishing));
        connector.unplug();
        assert_eq!(connector.status, Status::Available);
        assert!(connector.is_free());
    }

    #[test]
    fn a_remote_start_waits_for_a_cable_but_not_for_ever() {
        let now = Instant::now();
        let mut connector = Connector::new(1);
        connector.want("CARD1".into(), now);
        assert_eq!(connector.plug(now + Duration::from_secs(59)).as_deref(), Some("CARD1"));
        connector.want("CARD1".into(), now);
        assert_eq!(connector.plug(now + Duration::from_secs(61)), None);
    }

    #[test]
    fn one_that_is_to_be_unavailable_ends_its_charge_first() {
        let mut connector = Connector::new(1);
        connector.plug(Instant::now());
        connector.start(1, "CARD1".into(), Instant::now());
        assert!(!connector.set_available(false));
        assert_eq!(connector.status, Status::Charging);
        connector.stop();
        assert_eq!(connector.status, Status::Unavailable);
        assert!(!connector.is_free());
    }

    #[test]
    fn nothing_flows_while_the_charge_is_suspended() {
        let now = Instant::now();
        let mut connector = Connector::new(1);
        connector.start(1, "CARD1".into(), now);
        connector.be(Status::SuspendedEv, "NoError".into());
        assert_eq!(connector.meter(11_000, now + Duration::from_secs(3600)), 0);
    }
}
