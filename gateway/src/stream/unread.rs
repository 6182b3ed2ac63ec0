//! Lets go of what a client does not ask for any more.
//!
//! Nobody polls the body of an answer while its connection takes no more bytes, so it cannot time that itself. What it reads from is
//! parked here in between, and dropped where it stays too long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// Something that is asked for again and again.
#[derive(Debug)]
pub struct Parked<T> {
    place: Arc<Mutex<Place<T>>>,
    /// Ends with this.
    _watch: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Place<T> {
    /// None while it is out, and where it was let go.
    parked: Option<T>,
    since: Instant,
}

/// It is out until this is dropped.
#[derive(Debug)]
pub struct Out<'a, T> {
    thing: Option<T>,
    place: &'a Mutex<Place<T>>,
}

impl<T> Out<'_, T> {
    /// None only after it was dropped.
    pub fn thing(&mut self) -> Option<&mut T> {
        self.thing.as_mut()
    }
}

impl<T: Send + 'static> Parked<T> {
    /// `longest`: how long nobody may ask for it; None where it does not matter.
    pub fn new(thing: T, longest: Option<Duration>) -> Self {
        let place = Arc::new(Mutex::new(Place {
            parked: Some(thing),
            since: Instant::now(),
        }));
        let watch = longest.map(|longest| tokio::spawn(watch(Arc::downgrade(&place), longest)));
        Self {
            place,
            _watch: watch.map(AbortOnDropHandle::new),
        }
    }

    /// None where it was let go.
    pub fn take(&mut self) -> Option<Out<'_, T>> {
        let thing = locked(&self.place).parked.take()?;
        Some(Out {
            thing: Some(thing),
            place: &self.place,
        })
    }

    /// For good.
    pub fn take_away(self) -> Option<T> {
        locked(&self.place).parked.take()
    }
}

async fn watch<T>(place: Weak<Mutex<Place<T>>>, longest: Duration) {
    loop {
        let Some(place) = place.upgrade() else { return };
        let since = {
            let mut place = locked(&place);
            let since = place.parked.is_some().then_some(place.since);
            if since.is_some_and(|since| since.elapsed() >= longest) {
                place.parked = None;
                return;
            }
            since
        };
        drop(place);
        match since {
            Some(since) => sleep_until(since + longest).await,
            // Whoever has it out takes as long as it takes, and it is not to be let go before `longest` after that.
            None => sleep(longest).await,
        }
    }
}

/// A panic elsewhere leaves nothing half done here.
fn locked<T>(place: &Mutex<Place<T>>) -> MutexGuard<'_, Place<T>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Drop for Out<'_, T> {
    fn drop(&mut self) {
        let mut place = locked(self.place);
        place.parked = self.thing.take();
        place.since = Instant::now();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(300);

    /// Time goes by, and whoever waits for it runs.
    async fn wait(time: Duration) {
        tokio::task::yield_now().await;
        advance(time).await;
        tokio::task::yield_now().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_let_go_and_what_is_asked_for_in_time_is_not() {
        let thing = Arc::new(());
        let mut parked = Parked::new(Arc::clone(&thing), Some(LONGEST));
        for _ in 0..10 {
            wait(LONGEST * 9 / 10).await;
            assert!(parked.take().is_some());
        }
        wait(LONGEST).await;
        assert!(parked.take().is_none());
        assert_eq!(Arc::strong_count(&thing), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn it_may_be_out_for_as_long_as_it_takes() {
        let mut parked = Parked::new(7, Some(LONGEST));
        let out = parked.take().unwrap();
        wait(LONGEST * 10).await;
        drop(out);
        wait(LONGEST - Duration::from_secs(1)).await;
        assert_eq!(parked.take_away(), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_stays() {
        let mut parked = Parked::new(7, None);
        wait(LONGEST * 10).await;
        assert!(parked.take().is_some());
    }
}
