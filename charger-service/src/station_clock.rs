//! What to make of a time that a station tells.
//!
//! Its clock may never have been set, or be set to local time. What it says is stored as it came; where it cannot be true,
//! it decides nothing, and whoever reads the message log is told.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// How far a station's clock may be ahead of ours and still be believed.
const AHEAD: TimeDelta = TimeDelta::minutes(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plausibility {
    /// A time in the past may be true however old it is: the station may have been offline.
    Plausible,
    /// Of a clock that was never set.
    NeverSet,
    Ahead,
}

impl Plausibility {
    pub fn of(told: DateTime<Utc>, received_at: DateTime<Utc>) -> Self {
        if told > received_at + AHEAD {
            Self::Ahead
        } else if before_ocpp(told) {
            Self::NeverSet
        } else {
            Self::Plausible
        }
    }
}

/// What decides which of two things came later: the station's word, or when it came in where that cannot be true. So one that
/// tells a time in the future does not hide all that follow (rule 9 of the OCPP decisions).
pub fn ordered_at(told: Option<DateTime<Utc>>, received_at: DateTime<Utc>) -> DateTime<Utc> {
    told.filter(|&at| Plausibility::of(at, received_at) == Plausibility::Plausible)
        .unwrap_or(received_at)
}

/// What is wrong with a message's `timestamp`, for the message log.
pub fn flag(told: Option<DateTime<Utc>>, received_at: DateTime<Utc>) -> Option<&'static str> {
    match Plausibility::of(told?, received_at) {
        Plausibility::Plausible => None,
        Plausibility::NeverSet => Some("timestamp: is of a clock that was never set"),
        Plausibility::Ahead => Some("timestamp: is ahead of our clock"),
    }
}

/// A clock without a battery starts in 1970 or 2000; OCPP 1.6 is of 2015.
fn before_ocpp(at: DateTime<Utc>) -> bool {
    NaiveDate::from_ymd_opt(2015, 1, 1).is_some_and(|day| at.date_naive() < day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_believed_unless_it_cannot_be_true() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().expect("a date and time");
        let received = time("2026-03-01T12:00:00Z");
        for (told, plausibility) in [
            ("2026-03-01T11:00:00Z", Plausibility::Plausible),
            ("2016-02-01T12:00:00Z", Plausibility::Plausible),
            ("2026-03-01T12:00:59Z", Plausibility::Plausible),
            ("2026-03-01T12:02:00Z", Plausibility::Ahead),
            ("2106-02-07T06:28:15Z", Plausibility::Ahead),
            ("1970-01-01T00:00:09Z", Plausibility::NeverSet),
            ("2000-01-01T00:00:00Z", Plausibility::NeverSet),
        ] {
            assert_eq!(Plausibility::of(time(told), received), plausibility, "{told}");
        }
    }

    #[test]
    fn a_clock_decides_unless_it_is_plainly_wrong() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().expect("a date and time");
        let received = time("2026-03-01T12:00:00Z");
        for told in ["2026-03-01T11:00:00Z", "2026-03-01T12:00:59Z"] {
            assert_eq!(ordered_at(Some(time(told)), received), time(told));
        }
        for told in ["2106-02-07T06:28:15Z", "1970-01-01T00:00:09Z"] {
            assert_eq!(ordered_at(Some(time(told)), received), received);
        }
        assert_eq!(ordered_at(None, received), received);
    }
}
