//! What time it is, as a value that is passed in, so that a rule which depends on time can be tested at any time.

use std::sync::Arc;

use chrono::{DateTime, Utc};

/// Tells the time in UTC.
pub trait Clock: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
}

/// A clock that several parts share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // The one place that may ask the machine.
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
