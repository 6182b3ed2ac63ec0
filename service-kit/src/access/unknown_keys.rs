//! What a token costs whose key id is unknown. The key may be new, so whoever makes keys is asked; but the id may be made
//! up, so one caller at a time asks, not too often, and nobody waits in a row behind others who wait.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::authority::AuthorityUnavailable;

/// Between two questions where the first got no answer. Until then callers are told so at once.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Looks for keys that are not known, with measure.
pub struct UnknownKeys {
    /// Between two questions.
    interval: Duration,
    last: Mutex<Option<Question>>,
}

struct Question {
    ended: Instant,
    answered: bool,
}

impl UnknownKeys {
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Mutex::default(),
        }
    }

    /// The key that `known` finds, now or after `look` has brought up to date what is known.
    ///
    /// # Errors
    /// It could not be looked, or could not a moment ago, so that it is not known whether there is such a key.
    pub async fn find<K>(
        &self,
        known: impl Fn() -> Option<K>,
        look: impl Future<Output = Result<(), AuthorityUnavailable>>,
    ) -> Result<Option<K>, AuthorityUnavailable> {
        // An async lock, held while one caller looks: the others wait here and then find the key.
        let mut last = self.last.lock().await;
        if let Some(key) = known() {
            return Ok(Some(key));
        }
        if let Some(Question { ended, answered }) = &*last {
            let interval = if *answered { self.interval } else { AFTER_FAILURE };
            if ended.elapsed() < interval {
                return match answered {
                    true => Ok(None),
                    false => Err(AuthorityUnavailable("it did not answer a moment ago".into())),
                };
            }
        }
        // Noted before as well, for the caller may go away meanwhile.
        let note = |answered| {
            Some(Question {
                ended: Instant::now(),
                answered,
            })
        };
        *last = note(false);
        let looked = look.await;
        *last = note(looked.is_ok());
        looked?;
        Ok(known())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

    use futures_util::future::join_all;
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    /// Somebody who has the key `new` to tell of, takes a second to answer, and counts questions.
    struct Teller {
        unknown: UnknownKeys,
        told: AtomicBool,
        away: AtomicBool,
        asked: AtomicUsize,
    }

    impl Teller {
        fn new() -> Self {
            Self {
                unknown: UnknownKeys::new(INTERVAL),
                told: AtomicBool::new(false),
                away: AtomicBool::new(false),
                asked: AtomicUsize::new(0),
            }
        }

        async fn find(&self, kid: &str) -> Result<Option<()>, AuthorityUnavailable> {
            let known = || (kid == "new" && self.told.load(Relaxed)).then_some(());
            let look = async {
                self.asked.fetch_add(1, Relaxed);
                sleep(Duration::from_secs(1)).await;
                if self.away.load(Relaxed) {
                    return Err(AuthorityUnavailable("away".into()));
                }
                self.told.store(true, Relaxed);
                Ok(())
            };
            self.unknown.find(known, look).await
        }

        fn asked(&self) -> usize {
            self.asked.load(Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_all_who_look_for_a_new_key_one_asks_and_all_find_it() {
        let teller = Teller::new();
        let found = join_all((0..50).map(|_| teller.find("new"))).await;
        assert!(found.into_iter().all(|found| matches!(found, Ok(Some(())))));
        assert_eq!(teller.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_ids_ask_once_in_an_interval_and_are_none() {
        let teller = Teller::new();
        for round in 1..=3 {
            let found = join_all((0..50).map(|_| teller.find("made-up"))).await;
            assert!(found.into_iter().all(|found| matches!(found, Ok(None))));
            assert_eq!(teller.asked(), round);
            advance(INTERVAL).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn during_an_outage_nobody_waits_for_more_than_one_question_and_it_is_over_a_moment_later() {
        let teller = Teller::new();
        teller.away.store(true, Relaxed);
        let start = Instant::now();
        let found = join_all((0..50).map(|_| teller.find("made-up"))).await;
        assert!(found.into_iter().all(|found| found.is_err()), "it may be a key");
        assert_eq!((teller.asked(), start.elapsed()), (1, Duration::from_secs(1)));
        teller.away.store(false, Relaxed);
        assert!(teller.find("new").await.is_err());
        advance(AFTER_FAILURE).await;
        assert!(matches!(teller.find("new").await, Ok(Some(()))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_gives_up_leaves_no_row_of_callers_who_each_ask() {
        let teller = Teller::new();
        let gave_up = timeout(Duration::from_millis(10), teller.find("made-up")).await;
        assert!(gave_up.is_err());
        let found = join_all((0..50).map(|_| teller.find("made-up"))).await;
        assert!(found.into_iter().all(|found| found.is_err()));
        assert_eq!(teller.asked(), 1);
    }
}
