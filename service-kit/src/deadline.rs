//! How much time is left for a call, wherever it is being worked on.
//!
//! A caller says how long it waits (`grpc-timeout`). When that is over nobody wants the answer any more, so the work ends:
//! in the service, and in the database too, where [`crate::database::begin`] passes it on.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout_at};

pub const HEADER: HeaderName = HeaderName::from_static("grpc-timeout");

/// No call is given more time than this, and those whose callers say nothing get as much: the longest that an endpoint
/// may have.
const LONGEST: Duration = Duration::from_secs(300);

tokio::task_local! {
    static DEADLINE: Instant;
}

/// The time that a call has, by its headers.
pub fn asked(headers: &HeaderMap) -> Duration {
    let asked = headers.get(HEADER).and_then(parse);
    asked.map_or(LONGEST, |asked| asked.min(LONGEST))
}

/// Reads a `grpc-timeout`: at most eight digits and a unit.
pub fn parse(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let unit = text.chars().last()?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 3600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Works until the time is over; none where it was.
pub async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let deadline = Instant::now() + time;
    timeout_at(deadline, DEADLINE.scope(deadline, work)).await.ok()
}

/// What is left for the call that is being worked on; none outside of a call, which has no deadline.
pub fn left() -> Option<Duration> {
    DEADLINE
        .try_with(|deadline| deadline.saturating_duration_since(Instant::now()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_caller_has_more_time_than_the_longest() {
        let of = |text| asked(&HeaderMap::from_iter([(HEADER, HeaderValue::from_static(text))]));
        assert_eq!(of("250m"), Duration::from_millis(250));
        for too_long_or_none in ["2H", "99999999H", "x", ""] {
            assert_eq!(of(too_long_or_none), LONGEST, "{too_long_or_none}");
        }
        assert_eq!(asked(&HeaderMap::new()), LONGEST);
    }

    #[test]
    fn every_unit_is_read_and_nothing_else() {
        let read = |text| parse(&HeaderValue::from_static(text)).map(|time| time.as_nanos());
        let units = ["1H", "1M", "1S", "1m", "1u", "1n"].map(read);
        let expected = [3_600_000_000_000, 60_000_000_000, 1_000_000_000, 1_000_000, 1000, 1];
        assert_eq!(units, expected.map(Some));
        for wrong in ["", "S", "1", "1x", "-1S", "+1S", "123456789S", "1.5S"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_when_the_time_is_over_and_knows_what_is_left() {
        assert_eq!(left(), None);
        let time = Duration::from_secs(3);
        let at_work = within(time, async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            left()
        });
        assert_eq!(at_work.await, Some(Some(Duration::from_secs(2))));
        let started = Instant::now();
        assert_eq!(within(time, std::future::pending::<()>()).await, None);
        assert_eq!(started.elapsed(), time);
    }
}
