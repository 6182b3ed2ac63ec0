//! What a charge point tells, and what it is told, in no version's words.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What a charge point tells the central system.
#[derive(Clone, Copy, Debug)]
pub enum Saying<'a> {
    Boot {
        vendor: &'a str,
        model: &'a str,
        firmware: &'a str,
    },
    Authorize {
        id_token: &'a str,
    },
    Heartbeat,
    Status {
        connector: u32,
        status: Status,
        /// As the version calls it.
        error: &'a str,
        at: DateTime<Utc>,
    },
    Start {
        connector: u32,
        id_token: &'a str,
        /// In Wh.
        register: u64,
        at: DateTime<Utc>,
    },
    Meter {
        connector: u32,
        transaction: i32,
        /// In Wh.
        register: u64,
        /// In W.
        power: u32,
        at: DateTime<Utc>,
    },
    Stop {
        transaction: i32,
        id_token: &'a str,
        /// In Wh.
        register: u64,
        reason: StopReason,
        at: DateTime<Utc>,
    },
}

/// What kind of thing was said.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Boot,
    Authorize,
    Heartbeat,
    Status,
    Start,
    Meter,
    Stop,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Boot,
        Self::Authorize,
        Self::Heartbeat,
        Self::Status,
        Self::Start,
        Self::Meter,
        Self::Stop,
    ];
}

impl Saying<'_> {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Boot { .. } => Kind::Boot,
            Self::Authorize { .. } => Kind::Authorize,
            Self::Heartbeat => Kind::Heartbeat,
            Self::Status { .. } => Kind::Status,
            Self::Start { .. } => Kind::Start,
            Self::Meter { .. } => Kind::Meter,
            Self::Stop { .. } => Kind::Stop,
        }
    }
}

/// How a connector is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Status {
    Available,
    Preparing,
    Charging,
    #[value(name = "SuspendedEV")]
    SuspendedEv,
    #[value(name = "SuspendedEVSE")]
    SuspendedEvse,
    Finishing,
    Reserved,
    Unavailable,
    Faulted,
}

/// Why a charge ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopReason {
    /// Whoever charged said so.
    Local,
    /// The central system did.
    Remote,
    /// The cable was pulled.
    Unplugged,
    /// The central system wants the charge point to restart, whatever it is about.
    HardReset,
    /// The central system wants it to end what it is about and restart.
    SoftReset,
    /// The central system had the connector unlocked.
    Unlocked,
    /// The central system did not want the charge.
    Deauthorized,
}

/// What a charge point was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    Booted {
        registration: Registration,
        interval: u32,
    },
    /// Whether the id token may charge.
    Authorized(bool),
    Started {
        transaction: i32,
        may_charge: bool,
    },
    Noted,
}

/// What a BootNotification was answered with.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum Registration {
    Accepted,
    Pending,
    Rejected,
}

/// What the central system wants of a charge point.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wish {
    Start {
        id_token: String,
        connector: Option<u32>,
    },
    Stop {
        transaction: i32,
    },
    Reset {
        hard: bool,
    },
    Unlock {
        connector: u32,
    },
    SetAvailability {
        connector: u32,
        available: bool,
    },
    /// Say something again.
    Tell {
        what: Told,
        connector: Option<u32>,
    },
    ReadConfiguration {
        keys: Vec<String>,
    },
    Configure {
        key: String,
        value: String,
    },
    ClearCache,
    /// Something that this charge point does not do.
    Other {
        action: String,
    },
    /// It cannot be read.
    Unreadable {
        action: String,
        problem: String,
    },
}

/// What a charge point can be made to say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    Boot,
    Heartbeat,
    Status,
    Meter,
    /// It has nothing of the kind.
    Unknown,
}

/// What the central system is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Accepted,
    Rejected,
    /// Later, when the charge has ended.
    Scheduled,
    /// There is no such thing here.
    NotSupported,
    Unlocked,
    UnlockFailed,
    /// Keys with their values, and those that there are not. A key may be read-only.
    Configuration {
        known: Vec<(String, String, bool)>,
        unknown: Vec<String>,
    },
    NotImplemented,
    Unreadable(String),
}
