//! What a token costs whose key id is unknown. The key may be new, so whoever makes keys is asked; but the id may be made
//! up, so it is asked once for all callers, not too often, and nobody waits in a row behind others who wait.
//!
//! The question is nobody's own: whoever hangs up meanwhile neither ends it nor keeps its answer from the others.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

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
    answer: watch::Receiver<Option<Answer>>,
    /// Ends with whoever looks for keys.
    task: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Answer {
    at: Instant,
    /// Or why there was none.
    result: Result<(), String>,
}

impl UnknownKeys {
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Mutex::default(),
        }
    }

    /// The key that `known` finds, now or after `look` has brought up to date what is known. `look` goes on without its caller, so
    /// it has to end by itself.
    ///
    /// # Errors
    /// It could not be looked, or could not a moment ago, so that it is not known whether there is such a key.
    pub async fn find<K, L>(
        &self,
        known: impl Fn() -> Option<K>,
        look: impl FnOnce() -> L,
    ) -> Result<Option<K>, AuthorityUnavailable>
    where
        L: Future<Output = Result<(), AuthorityUnavailable>> + Send + 'static,
    {
        let mut answer = self.ask(look);
        let answer = answer
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|answer| answer.clone());
        match (known(), answer.map(|answer| answer.result)) {
            (Some(key), _) => Ok(Some(key)),
            (None, Some(Ok(()))) => Ok(None),
            (None, Some(Err(reason))) => Err(AuthorityUnavailable(reason.into())),
            (None, None) => Err(AuthorityUnavailable("the question was given up".into())),
        }
    }

    /// The answer to the last question, or to a new one where that is too old.
    fn ask<L>(&self, look: impl FnOnce() -> L) -> watch::Receiver<Option<Answer>>
    where
        L: Future<Output = Result<(), AuthorityUnavailable>> + Send + 'static,
    {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(question) = last.as_ref().filter(|question| question.holds(self.interval)) {
            return question.answer.clone();
        }
        let (tell, answer) = watch::channel(None);
        let look = look();
        let task = tokio::spawn(async move {
            let result = look.await.map_err(|AuthorityUnavailable(error)| error.to_string());
            let at = Instant::now();
            tell.send_replace(Some(Answer { at, result }));
        });
        *last = Some(Question {
            answer: answer.clone(),
            task: AbortOnDropHandle::new(task),
        });
        answer
    }
}

impl Question {
    /// Whether it is asked still, or was answered not long ago.
    fn holds(&self, interval: Duration) -> bool {
        let has_ended = self.task.is_finished();
        match &*self.answer.borrow() {
            None => !has_ended,
            Some(Answer { at, result: Ok(()) }) => at.elapsed() < interval,
            Some(Answer { at, result: Err(_) }) => at.elapsed() < AFTER_FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

    use futures_util::future::join_all;
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    /// Somebody who has the key `new` to tell of, takes a second to answer, and counts questions.
    struct Teller {
        unknown: UnknownKeys,
        state: Arc<State>,
    }

    #[derive(Default)]
    struct State {
        told: AtomicBool,
        away: AtomicBool,
        asked: AtomicUsize,
    }

    impl Teller {
        fn new() -> Self {
            Self {
                unknown: UnknownKeys::new(INTERVAL),
                state: Arc::default(),
            }
        }

        async fn find(&self, kid: &str) -> Result<Option<()>, AuthorityUnavailable> {
            let known = || (kid == "new" && self.state.told.load(Relaxed)).then_some(());
            let state = Arc::clone(&self.state);
            let look = || async move {
                state.asked.fetch_add(1, Relaxed);
                sleep(Duration::from_secs(1)).await;
                if state.away.load(Relaxed) {
                    return Err(AuthorityUnavailable("away".into()));
                }
                state.told.store(true, Relaxed);
                Ok(())
            };
            self.unknown.find(known, look).await
        }

        fn goes_away(&self, is_away: bool) {
            self.state.away.store(is_away, Relaxed);
        }

        fn asked(&self) -> usize {
            self.state.asked.load(Relaxed)
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
        teller.goes_away(true);
        let start = Instant::now();
        let found = join_all((0..50).map(|_| teller.find("made-up"))).await;
        assert!(found.into_iter().all(|found| found.is_err()), "it may be a key");
        assert_eq!((teller.asked(), start.elapsed()), (1, Duration::from_secs(1)));
        teller.goes_away(false);
        assert!(teller.find("new").await.is_err());
        advance(AFTER_FAILURE).await;
        assert!(matches!(teller.find("new").await, Ok(Some(()))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_gives_up_keeps_nobody_from_the_answer_to_what_they_asked() {
        let teller = Teller::new();
        for kid in ["made-up", "made-up", "new"] {
            assert!(timeout(Duration::from_millis(10), teller.find(kid)).await.is_err());
        }
        let start = Instant::now();
        let found = join_all((0..50).map(|_| teller.find("new"))).await;
        assert!(found.into_iter().all(|found| matches!(found, Ok(Some(())))));
        assert!(matches!(teller.find("made-up").await, Ok(None)), "it was answered");
        assert_eq!(teller.asked(), 1);
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "what was asked before is not asked anew"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_whose_askers_have_all_gone_is_answered_all_the_same() {
        let teller = Teller::new();
        assert!(
            timeout(Duration::from_millis(10), teller.find("made-up"))
                .await
                .is_err()
        );
        sleep(Duration::from_secs(2)).await;
        assert!(matches!(teller.find("new").await, Ok(Some(()))));
        assert_eq!(teller.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_broke_is_asked_again() {
        let unknown = UnknownKeys::new(INTERVAL);
        let broken = unknown
            .find(|| None::<()>, || async { panic!("as the test wants it") })
            .await;
        assert!(broken.is_err());
        let answered = unknown.find(|| Some(()), || async { Ok(()) }).await;
        assert!(matches!(answered, Ok(Some(()))));
    }
}
