//! A clock that ticks to the microsecond. tokio's own timers round up to the next millisecond, in which a CALL is answered ten times.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The kernel's timer.
pub struct Ticks(AsyncFd<OwnedFd>);

impl Ticks {
    /// Starts ticking: the first tick is one interval later.
    ///
    /// # Errors
    /// The kernel has no more timers.
    pub fn every(interval: Duration) -> Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let interval = Timespec {
            tv_sec: i64::try_from(interval.as_secs())?,
            tv_nsec: interval.subsec_nanos().into(),
        };
        let times = Itimerspec {
            it_interval: interval,
            it_value: interval,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        // Its successor is unsafe, for files that are closed too early. This one closes with what watches it.
        #[allow(deprecated)]
        let watched = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self(watched))
    }

    /// Waits for the next tick; ticks that were missed are one.
    ///
    /// # Errors
    /// The kernel does not say.
    pub async fn wait(&mut self) -> Result<()> {
        let read = self.0.async_io(Interest::READABLE, |timer| {
            let mut count = [0; 8];
            rustix::io::read(timer, &mut count).map_err(|error: Errno| std::io::Error::from(error))?;
            Ok(())
        });
        Ok(read.await?)
    }
}
