//! When a charge point says its next thing.
//!
//! Closed loop: as soon as the thing before is answered, which shows how much the other side can do. Open loop: things are due by
//! the clock, however long the answers before them take, which shows what a charge point waits. One that is due while the
//! charge point still waits is said late and measured from when it was due, so a central system that stalls cannot hide it
//! (no coordinated omission).

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Semaphore;

use crate::ticks::Ticks;

/// How long after the end what was due before it may still be said. The rest is missed.
const GRACE: Duration = Duration::from_secs(10);

/// The clock ticks no faster than this: what is due between two ticks is late by less than one.
const SHORTEST_TICK: Duration = Duration::from_micros(250);
const LONGEST_TICK: Duration = Duration::from_millis(5);

/// What counts.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub began: Instant,
    /// From when on things count.
    pub warm: Instant,
    pub ends: Instant,
}

impl Window {
    pub fn new(began: Instant, warm_up: Duration, length: Duration) -> Self {
        let warm = began + warm_up;
        Self {
            began,
            warm,
            ends: warm + length,
        }
    }

    fn counts(&self, due: Instant) -> bool {
        (self.warm..self.ends).contains(&due)
    }
}

/// When something is due, and whether it counts.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub due: Instant,
    pub counts: bool,
}

impl Turn {
    /// How long it has been due, if it counts.
    pub fn latency(&self) -> Option<Duration> {
        self.counts.then(|| self.due.elapsed())
    }
}

/// The turns of one charge point.
#[derive(Debug)]
pub struct Turns {
    window: Window,
    schedule: Option<Schedule>,
}

/// Of open loop: every so often one charge point after the other has its turn.
#[derive(Debug)]
struct Schedule {
    due: Arc<Semaphore>,
    interval: Duration,
    /// The next turn of this charge point, and how many charge points there are.
    next: u64,
    stations: u64,
}

impl Schedule {
    /// When a turn of all turns is due; the first one after an interval.
    fn time(&self, window: &Window) -> Instant {
        let nanoseconds = self.interval.as_nanos() * u128::from(self.next + 1);
        window.began + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

impl Turns {
    pub fn closed(window: Window) -> Self {
        Self { window, schedule: None }
    }

    /// Whether the charge point is to say nothing more, and end what it has begun.
    pub fn are_over(&self) -> bool {
        match &self.schedule {
            None => Instant::now() >= self.window.ends,
            Some(schedule) => {
                schedule.time(&self.window) >= self.window.ends || Instant::now() >= self.window.ends + GRACE
            }
        }
    }

    /// The one turn of a charge point in a storm: as it begins with closed loop, else by the clock. None where that lies past the end.
    pub async fn only(&mut self) -> Option<Turn> {
        if self.schedule.is_none() {
            let due = self.window.began;
            let counts = self.window.counts(due);
            return Some(Turn { due, counts });
        }
        if self.are_over() {
            return None;
        }
        Some(self.next().await)
    }

    /// Waits for the next turn. When all are over, what is still to be said is said at once and does not count.
    /// A turn is not lost where this is dropped.
    pub async fn next(&mut self) -> Turn {
        if self.are_over() {
            return Turn {
                due: Instant::now(),
                counts: false,
            };
        }
        let due = match &mut self.schedule {
            None => Instant::now(),
            Some(schedule) => {
                // It is never closed.
                if let Ok(permit) = schedule.due.acquire().await {
                    permit.forget();
                }
                let due = schedule.time(&self.window);
                schedule.next += schedule.stations;
                due
            }
        };
        Turn {
            due,
            counts: self.window.counts(due),
        }
    }
}

/// Gives charge points their turns by the clock.
#[derive(Debug)]
pub struct Pacer {
    interval: Duration,
    stations: Vec<Arc<Semaphore>>,
    /// There are no more turns than these.
    most: u64,
}

impl Pacer {
    /// For so many turns a second of all charge points together.
    pub fn new(rate: f64, stations: usize) -> Self {
        Self {
            interval: Duration::from_secs_f64(1.0 / rate.max(0.001)),
            stations: (0..stations).map(|_| Arc::new(Semaphore::new(0))).collect(),
            most: u64::MAX,
        }
    }

    /// Gives each charge point one turn only.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.most = self.stations.len() as u64;
        self
    }

    /// Those of one charge point.
    pub fn turns(&self, station: usize, window: Window) -> Turns {
        Turns {
            window,
            schedule: Some(Schedule {
                due: Arc::clone(&self.stations[station]),
                interval: self.interval,
                next: station as u64,
                stations: self.stations.len() as u64,
            }),
        }
    }

    /// How many turns there are before the end, and how many of them count.
    pub fn planned(&self, window: Window) -> (u64, u64) {
        let until = |time: Instant| {
            let nanoseconds = (time - window.began).as_nanos().saturating_sub(1) / self.interval.as_nanos();
            u64::try_from(nanoseconds).unwrap_or(u64::MAX).min(self.most)
        };
        let all = until(window.ends);
        (all, all - until(window.warm))
    }

    /// Runs until the last turn.
    ///
    /// # Errors
    /// The kernel has no timer.
    pub async fn run(&self, window: Window) -> Result<()> {
        let (planned, _) = self.planned(window);
        let mut ticks = Ticks::every(self.interval.clamp(SHORTEST_TICK, LONGEST_TICK))?;
        let mut given = 0;
        while given < planned {
            let due = window.began.elapsed().as_nanos() / self.interval.as_nanos();
            let due = u64::try_from(due).unwrap_or(u64::MAX).min(planned);
            for turn in given..due {
                let station = turn % self.stations.len() as u64;
                self.stations[usize::try_from(station)?].add_permits(1);
            }
            given = due;
            ticks.wait().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(length: Duration) -> Window {
        Window::new(Instant::now(), Duration::ZERO, length)
    }

    #[tokio::test]
    async fn turns_go_round_at_the_rate() {
        let pacer = Pacer::new(1000.0, 3);
        let window = window(Duration::from_millis(90));
        let mut turns = pacer.turns(1, window);
        let run = pacer.run(window);
        let take = async {
            let mut due = Vec::new();
            while !turns.are_over() {
                due.push(turns.next().await.due - window.began);
            }
            due
        };
        let (run, due) = tokio::join!(run, take);
        run.expect("there are timers");
        let expected: Vec<_> = (0..30).map(|round| Duration::from_millis(2 + 3 * round)).collect();
        assert_eq!(due, expected);
    }

    #[tokio::test]
    async fn a_turn_that_is_taken_late_is_measured_from_when_it_was_due() {
        let pacer = Pacer::new(1000.0, 1);
        let window = window(Duration::from_millis(20));
        let mut turns = pacer.turns(0, window);
        pacer.run(window).await.expect("there are timers");
        // The charge point was held up until now.
        let latencies: Vec<_> = [turns.next().await, turns.next().await]
            .iter()
            .filter_map(Turn::latency)
            .collect();
        assert!(latencies[0] >= Duration::from_millis(18), "{latencies:?}");
        let apart = latencies[0].abs_diff(latencies[1]);
        assert!(apart <= Duration::from_millis(2), "{latencies:?}");
    }

    #[tokio::test]
    async fn the_warm_up_does_not_count_and_the_end_is_the_end() {
        let began = Instant::now() - Duration::from_secs(30);
        let mut turns = Turns::closed(Window::new(began, Duration::from_secs(60), Duration::from_secs(1)));
        assert!(!turns.next().await.counts);
        let mut over = Turns::closed(Window::new(began, Duration::ZERO, Duration::from_secs(1)));
        assert!(over.are_over());
        assert!(!over.next().await.counts);
    }

    #[tokio::test]
    async fn a_storm_is_one_turn_for_each_and_none_for_who_comes_too_late() {
        let pacer = Pacer::new(1000.0, 50).once();
        let window = window(Duration::from_millis(20));
        // The turn of number 18 is due after 19 ms, the one after it at the end.
        assert_eq!(pacer.planned(window), (19, 19));
        pacer.run(window).await.expect("there are timers");
        let last = pacer.turns(18, window).only().await.expect("it has a turn");
        assert!(last.counts);
        assert_eq!(last.due - window.began, Duration::from_millis(19));
        assert!(pacer.turns(19, window).only().await.is_none());
        let long = Window::new(Instant::now(), Duration::ZERO, Duration::from_secs(60));
        assert_eq!(pacer.planned(long), (50, 50));
    }

    #[tokio::test]
    async fn all_are_due_at_once_in_a_storm_with_closed_loop() {
        let window = Window::new(
            Instant::now() - Duration::from_secs(1),
            Duration::ZERO,
            Duration::from_secs(60),
        );
        let turn = Turns::closed(window).only().await.expect("it has a turn");
        assert!(turn.counts);
        assert_eq!(turn.due, window.began);
    }

    #[test]
    fn what_is_planned_is_known_before() {
        let pacer = Pacer::new(100.0, 7);
        let window = Window::new(Instant::now(), Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(pacer.planned(window), (299, 200));
    }
}
