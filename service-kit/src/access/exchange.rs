//! API keys are exchanged for access tokens, which are then verified like any other. auth-service is asked once for all
//! calls that a key makes while its token is valid, and a key that is none is remembered for a while.
//!
//! Anybody can make up what looks like a key. So whoever verifies may want a say before auth-service is asked: it is asked by
//! leave, and by so many at once.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::Status;

use super::api_key::ApiKey;
use super::authority::{Authority, AuthorityUnavailable};
use crate::clock::SharedClock;
use crate::reason::Reason;

/// Keys that are remembered: some 10 MB at the most.
const MOST_KEYS: usize = 10_000;

/// How long a key that is none stays so. An account that is enabled again waits for as long.
const REFUSED_FOR: TimeDelta = TimeDelta::seconds(10);

/// Keys that auth-service is asked about at the same time, so that made-up ones do not crowd out all else.
const MOST_EXCHANGES: usize = 32;

/// Keys that wait for their turn. One that came behind more of them would wait for as long as anybody has patience.
const MOST_WAITING: usize = 256;

/// How long a call waits for its key to be exchanged, whoever else asks for the same.
const PATIENCE: Duration = Duration::from_secs(4);

/// What a key was exchanged for.
#[derive(Clone)]
enum Exchanged {
    Token(Arc<str>),
    Refused { until: DateTime<Utc> },
}

/// The exchanges of this process. They are kept under digests of the keys, so that no key lies in memory.
pub(super) struct Exchanges {
    authority: Arc<dyn Authority>,
    clock: SharedClock,
    known: Cache<[u8; 32], Exchanged>,
    /// For those under way and those that wait.
    places: Semaphore,
    under_way: Semaphore,
}

/// Why it is not known what a key is good for.
enum Unexchanged {
    /// It may not be asked about just now.
    NoLeave(Status),
    /// Too many others are asked about.
    Crowded,
    Unavailable(AuthorityUnavailable),
}

impl From<AuthorityUnavailable> for Unexchanged {
    fn from(error: AuthorityUnavailable) -> Self {
        Self::Unavailable(error)
    }
}

impl From<Unexchanged> for Status {
    fn from(unexchanged: Unexchanged) -> Self {
        let message = "API keys cannot be verified just now";
        match unexchanged {
            Unexchanged::NoLeave(status) => status,
            // No line in the log for each: whoever makes keys up would fill it.
            Unexchanged::Crowded => Reason::Unavailable.retry_after(PATIENCE, message),
            Unexchanged::Unavailable(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "An API key cannot be exchanged for a token"
                );
                Reason::Unavailable.status(message)
            }
        }
    }
}

impl Exchanges {
    pub(super) fn new(authority: Arc<dyn Authority>, clock: SharedClock) -> Self {
        Self {
            authority,
            clock,
            known: Cache::new(MOST_KEYS),
            places: Semaphore::new(MOST_EXCHANGES + MOST_WAITING),
            under_way: Semaphore::new(MOST_EXCHANGES),
        }
    }

    /// An access token for a key; none where it is not valid. The token may have expired or been revoked since it was
    /// fetched: whoever finds out calls [`Exchanges::forget`]. `leave` is waited for where auth-service has to be asked, and by
    /// one of all those who ask for the same key.
    ///
    /// # Errors
    /// There is no leave to ask auth-service, or it cannot be asked just now.
    pub(super) async fn token(
        &self,
        key: &ApiKey,
        leave: impl Future<Output = Result<(), Status>>,
    ) -> Result<Option<Arc<str>>, Status> {
        let digest = key.digest();
        let now = self.clock.now();
        let is_over = |exchanged: &Exchanged| match exchanged {
            Exchanged::Token(_) => false,
            Exchanged::Refused { until } => *until <= now,
        };
        self.known.remove_if(&digest, is_over);
        let exchange = self.known.get_or_insert_async(&digest, self.exchange(key, leave));
        let exchanged = timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|late| Err(AuthorityUnavailable(late.into()).into()));
        Ok(match exchanged? {
            Exchanged::Token(token) => Some(token),
            Exchanged::Refused { .. } => None,
        })
    }

    /// Has the key exchanged anew, unless it has been already.
    pub(super) fn forget(&self, key: &ApiKey, token: &Arc<str>) {
        let is_it = |exchanged: &Exchanged| matches!(exchanged, Exchanged::Token(known) if Arc::ptr_eq(known, token));
        self.known.remove_if(&key.digest(), is_it);
    }

    async fn exchange(
        &self,
        key: &ApiKey,
        leave: impl Future<Output = Result<(), Status>>,
    ) -> Result<Exchanged, Unexchanged> {
        leave.await.map_err(Unexchanged::NoLeave)?;
        let _place = self.places.try_acquire().map_err(|_| Unexchanged::Crowded)?;
        let permit = self.under_way.acquire().await;
        let _permit = permit.map_err(|closed| AuthorityUnavailable(closed.into()))?;
        let token = self.authority.exchange(key).await?;
        Ok(match token {
            Some(token) => Exchanged::Token(token.into()),
            None => Exchanged::Refused {
                until: self.clock.now() + REFUSED_FOR,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use futures_util::future::join_all;
    use jsonwebtoken::DecodingKey;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::access::Revocations;
    use crate::clock::{Clock, SystemClock};

    /// Gives what it is told to, after a while, and counts how often it is asked.
    #[derive(Default)]
    struct Counting {
        asked: AtomicUsize,
        token: Mutex<Option<&'static str>>,
        away: Mutex<bool>,
        revocations: Revocations,
    }

    #[async_trait]
    impl Authority for Counting {
        async fn verification_key(&self, _: &str) -> Result<Option<DecodingKey>, AuthorityUnavailable> {
            Ok(None)
        }

        fn has_key(&self, _: &str) -> bool {
            false
        }

        async fn exchange(&self, _: &ApiKey) -> Result<Option<String>, AuthorityUnavailable> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(50)).await;
            if *self.away.lock().expect("nobody panicked") {
                return Err(AuthorityUnavailable("away".into()));
            }
            Ok(self.token.lock().expect("nobody panicked").map(str::to_owned))
        }

        fn revocations(&self) -> &Revocations {
            &self.revocations
        }

        async fn follow(&self) {}
    }

    /// A clock that a test sets forward.
    #[derive(Default)]
    struct TestClock(Mutex<TimeDelta>);

    impl Clock for TestClock {
        fn now(&self) -> DateTime<Utc> {
            DateTime::UNIX_EPOCH + *self.0.lock().expect("nobody panicked")
        }
    }

    fn exchanges(authority: &Arc<Counting>) -> Exchanges {
        Exchanges::new(Arc::clone(authority) as _, Arc::new(SystemClock))
    }

    impl Counting {
        fn gives(&self, token: Option<&'static str>) {
            *self.token.lock().expect("nobody panicked") = token;
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    async fn token(exchanges: &Exchanges, key: &ApiKey) -> Option<Arc<str>> {
        exchanges.token(key, ready(Ok(()))).await.expect("auth-service answers")
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_calls_with_one_key_one_asks() {
        let authority = Arc::new(Counting::default());
        authority.gives(Some("a token"));
        let (exchanges, key) = (exchanges(&authority), ApiKey::generate());
        let tokens = join_all((0..50).map(|_| token(&exchanges, &key))).await;
        assert!(tokens.iter().all(|token| token.as_deref() == Some("a token")));
        assert_eq!(authority.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_of_no_more_use_is_replaced_once() {
        let authority = Arc::new(Counting::default());
        authority.gives(Some("the first"));
        let (exchanges, key) = (exchanges(&authority), ApiKey::generate());
        let first = token(&exchanges, &key).await.expect("the key is valid");
        authority.gives(Some("the second"));
        for _ in 0..3 {
            exchanges.forget(&key, &first);
            assert_eq!(token(&exchanges, &key).await.as_deref(), Some("the second"));
        }
        assert_eq!(authority.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_none_is_asked_about_again_after_a_while() {
        let authority = Arc::new(Counting::default());
        let clock = Arc::new(TestClock::default());
        let exchanges = Exchanges::new(Arc::clone(&authority) as _, Arc::clone(&clock) as _);
        let key = ApiKey::generate();
        for _ in 0..3 {
            assert_eq!(token(&exchanges, &key).await, None);
        }
        assert_eq!(authority.asked(), 1);
        authority.gives(Some("a token"));
        *clock.0.lock().expect("nobody panicked") += REFUSED_FOR;
        assert_eq!(token(&exchanges, &key).await.as_deref(), Some("a token"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_within_seconds_and_not_remembered() {
        let authority = Arc::new(Counting::default());
        authority.gives(Some("a token"));
        *authority.away.lock().expect("nobody panicked") = true;
        let (exchanges, key) = (exchanges(&authority), ApiKey::generate());
        let start = Instant::now();
        let refused = join_all((0..1000).map(|_| exchanges.token(&key, ready(Ok(()))))).await;
        assert!(start.elapsed() <= PATIENCE + Duration::from_secs(1));
        for refused in refused {
            let refused = refused.expect_err("auth-service is away");
            assert_eq!(Reason::of(&refused), Reason::Unavailable);
        }
        *authority.away.lock().expect("nobody panicked") = false;
        assert_eq!(token(&exchanges, &key).await.as_deref(), Some("a token"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_not_known_is_asked_about_by_leave_and_one_that_is_by_none() {
        let authority = Arc::new(Counting::default());
        authority.gives(Some("a token"));
        let (exchanges, key) = (exchanges(&authority), ApiKey::generate());
        let no = || ready(Err(Reason::TooManyRequests.status("wait")));
        let refused = exchanges.token(&key, no()).await.expect_err("there is no leave");
        assert_eq!(Reason::of(&refused), Reason::TooManyRequests);
        assert_eq!(authority.asked(), 0);
        let given = AtomicUsize::new(0);
        let leave = async || {
            given.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let tokens = join_all((0..50).map(|_| exchanges.token(&key, leave()))).await;
        assert!(tokens.iter().all(Result::is_ok));
        assert_eq!(given.load(Ordering::Relaxed), 1, "one asked for all");
        assert!(exchanges.token(&key, no()).await.is_ok(), "it is known");
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_keys_wait_in_a_line_of_a_bounded_length_and_those_behind_it_hear_so_at_once() {
        let authority = Arc::new(Counting::default());
        let exchanges = exchanges(&authority);
        let keys: Vec<_> = (0..1000).map(|_| ApiKey::generate()).collect();
        let start = Instant::now();
        let ask = async |key| {
            let told = exchanges.token(key, ready(Ok(()))).await;
            (told, start.elapsed())
        };
        let (mut served, mut sent_away) = (0, 0);
        for (told, after) in join_all(keys.iter().map(ask)).await {
            match told {
                Ok(token) => {
                    assert_eq!(token, None);
                    served += 1;
                }
                Err(status) => {
                    assert_eq!(Reason::of(&status), Reason::Unavailable);
                    assert_eq!(after, Duration::ZERO, "nobody waits to be sent away");
                    sent_away += 1;
                }
            }
        }
        assert_eq!(
            (served, sent_away),
            (MOST_EXCHANGES + MOST_WAITING, 1000 - MOST_EXCHANGES - MOST_WAITING)
        );
        assert_eq!(authority.asked(), served);
    }
}
