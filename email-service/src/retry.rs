//! When to try a mail again that could not be handed over: after 5 seconds, then ever later up to 6 hours, for 24 hours.
//!
//! Mail servers refuse for seconds (busy), minutes (greylisting) and hours (full disk, broken DNS). After a day the mail
//! is stale, and the person has noticed.

use chrono::{DateTime, TimeDelta, Utc};

const FIRST: TimeDelta = TimeDelta::seconds(5);
const LONGEST: TimeDelta = TimeDelta::hours(6);
const GIVE_UP: TimeDelta = TimeDelta::hours(24);

/// No schedule takes this many attempts; a message that does has something wrong with it, such as killing its sender.
pub(crate) const MOST_ATTEMPTS: i32 = 50;

/// So often a mail may go out without anybody knowing whether it did. Once more would be a copy too many.
pub(crate) const MOST_UNCLEAR: i32 = 3;

/// What has been tried since before then is given up.
pub(crate) fn end_of_patience(now: DateTime<Utc>) -> DateTime<Utc> {
    now - GIVE_UP
}

/// When to try next after `attempts` attempts (from 1 on); `None` when it is time to give up.
///
/// The waits double. `jitter`, from 0 to 1, lengthens each by up to a half, so that a thousand mails that failed together
/// do not come back together. The last attempt is made when the day is over.
pub(crate) fn next_attempt(
    created_at: DateTime<Utc>,
    now: DateTime<Utc>,
    attempts: i32,
    jitter: f64,
) -> Option<DateTime<Utc>> {
    let end = created_at + GIVE_UP;
    if now >= end || attempts >= MOST_ATTEMPTS {
        return None;
    }
    let doublings = attempts.saturating_sub(1).clamp(0, 20);
    let wait = (FIRST * (1 << doublings)).min(LONGEST);
    let extra = wait.num_milliseconds() as f64 * 0.5 * jitter.clamp(0.0, 1.0);
    let wait = (wait + TimeDelta::milliseconds(extra as i64)).min(LONGEST);
    Some((now + wait).min(end))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::TimeZone;
    use proptest::prelude::*;

    use super::*;

    fn noon() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
    }

    fn seconds_after(attempts: i32, jitter: f64) -> i64 {
        (next_attempt(noon(), noon(), attempts, jitter).unwrap() - noon()).num_seconds()
    }

    #[test]
    fn waits_double_from_five_seconds_to_six_hours() {
        assert_eq!(
            [1, 2, 3, 4].map(|attempts| seconds_after(attempts, 0.0)),
            [5, 10, 20, 40]
        );
        assert_eq!(seconds_after(14, 0.0), 6 * 3600);
        assert_eq!(seconds_after(49, 1.0), 6 * 3600);
        assert_eq!(seconds_after(2, 1.0), 15);
    }

    #[test]
    fn the_last_attempt_is_a_day_after_the_first() {
        let late = noon() + TimeDelta::hours(23);
        assert_eq!(next_attempt(noon(), late, 14, 0.0), Some(noon() + GIVE_UP));
        assert_eq!(next_attempt(noon(), noon() + GIVE_UP, 15, 0.0), None);
    }

    #[test]
    fn a_message_that_keeps_killing_its_sender_is_given_up() {
        assert_eq!(next_attempt(noon(), noon(), MOST_ATTEMPTS, 0.0), None);
    }

    proptest! {
        #[test]
        fn a_mail_that_always_fails_ends_within_a_day_and_some_twenty_attempts(jitter in 0.0..=1.0) {
            let (mut now, mut attempts) = (noon(), 1);
            while let Some(next) = next_attempt(noon(), now, attempts, jitter) {
                prop_assert!(next > now);
                now = next;
                attempts += 1;
            }
            prop_assert_eq!(now, noon() + GIVE_UP);
            prop_assert!(attempts < 25, "{} attempts", attempts);
        }
    }
}
