//! The times of day and the days of the week at which an element of a tariff holds, by the clock on the wall of the site.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use jiff::civil::{Date, DateTime as WallTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// From one time of day to another: up to midnight and on to the next morning, where the second is the earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// In it.
    pub from: TimeOfDay,
    /// Not in it any more; midnight is the end of the day.
    pub until: TimeOfDay,
    /// The days on which it begins; every day where there is none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub days: BTreeSet<Day>,
}

/// In minutes since midnight, 0 to 1439.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TimeOfDay(u16);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl TimeOfDay {
    pub const MIDNIGHT: Self = Self(0);

    /// Reads `22:00`; `24:00` is midnight, too.
    pub fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let is_two_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_two_digits(hours) || !is_two_digits(minutes) {
            return None;
        }
        let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
        match (hours, minutes) {
            (24, 0) => Some(Self::MIDNIGHT),
            (0..=23, 0..=59) => Some(Self(hours * 60 + minutes)),
            _ => None,
        }
    }

    fn of(time: Time) -> Self {
        let minutes = i16::from(time.hour()) * 60 + i16::from(time.minute());
        Self(minutes.unsigned_abs())
    }

    fn on(self, date: Date) -> WallTime {
        date.at(0, 0, 0, 0).saturating_add(i64::from(self.0).minutes())
    }
}

impl std::fmt::Display for TimeOfDay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("is no time of day, such as 22:00")
    }
}

impl Day {
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|day| day.as_str() == name)
    }

    fn of(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Monday => Self::Monday,
            Weekday::Tuesday => Self::Tuesday,
            Weekday::Wednesday => Self::Wednesday,
            Weekday::Thursday => Self::Thursday,
            Weekday::Friday => Self::Friday,
            Weekday::Saturday => Self::Saturday,
            Weekday::Sunday => Self::Sunday,
        }
    }

    fn before(self) -> Self {
        match self {
            Self::Monday => Self::Sunday,
            Self::Tuesday => Self::Monday,
            Self::Wednesday => Self::Tuesday,
            Self::Thursday => Self::Wednesday,
            Self::Friday => Self::Thursday,
            Self::Saturday => Self::Friday,
            Self::Sunday => Self::Saturday,
        }
    }
}

impl Window {
    /// Whether it holds at a moment, by the site's clock.
    pub fn holds(&self, at: WallTime) -> bool {
        let (time, today) = (TimeOfDay::of(at.time()), Day::of(at.weekday()));
        let begins_on = |day: Day| self.days.is_empty() || self.days.contains(&day);
        if self.from < self.until {
            self.from <= time && time < self.until && begins_on(today)
        } else {
            self.from <= time && begins_on(today) || time < self.until && begins_on(today.before())
        }
    }
}

/// A moment by the clock on the wall.
pub fn wall_time(at: DateTime<Utc>, zone: &TimeZone) -> WallTime {
    zone.to_datetime(timestamp(at))
}

/// Every moment after one and before another at which any of the windows may begin to hold, or cease to: where the clock on the wall
/// passes one of their times, once or twice where it is put back, and where it is put forward or back. In no order.
pub fn turns(windows: &[&Window], zone: &TimeZone, after: DateTime<Utc>, before: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let times: BTreeSet<TimeOfDay> = windows
        .iter()
        .flat_map(|window| [TimeOfDay::MIDNIGHT, window.from, window.until])
        .collect();
    if times.is_empty() {
        return Vec::new();
    }
    let (first, last) = (timestamp(after), timestamp(before));
    let clock_changes = zone
        .following(first)
        .map(|change| change.timestamp())
        .take_while(|&change| change < last);
    // A clock that is put over midnight may be a day off.
    let day_before = zone.to_datetime(first).date().saturating_sub(1.day());
    let day_after = zone.to_datetime(last).date().saturating_add(1.day());
    let passed = day_before
        .series(1.day())
        .take_while(|&date| date <= day_after)
        .flat_map(|date| times.iter().map(move |time| time.on(date)))
        .flat_map(|wall_time| moments(wall_time, zone));
    clock_changes
        .chain(passed)
        .filter(|&moment| first < moment && moment < last)
        .filter_map(|moment| DateTime::from_timestamp_micros(moment.as_microsecond()))
        .collect()
}

/// When the clock on the wall shows a time: never where it is put over it, twice where it is put back.
fn moments(wall_time: WallTime, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
    let (first, second) = match zone.to_ambiguous_timestamp(wall_time).offset() {
        AmbiguousOffset::Unambiguous { offset } => (Some(offset), None),
        AmbiguousOffset::Gap { .. } => (None, None),
        AmbiguousOffset::Fold { before, after } => (Some(before), Some(after)),
    };
    let moment = move |offset: jiff::tz::Offset| offset.to_timestamp(wall_time).ok();
    first.into_iter().chain(second).filter_map(moment)
}

/// Within what both crates can tell, which PostgreSQL's times are.
fn timestamp(at: DateTime<Utc>) -> Timestamp {
    let nearest = if at < DateTime::UNIX_EPOCH {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_microsecond(at.timestamp_micros()).unwrap_or(nearest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn window(from: &str, until: &str, days: &[Day]) -> Window {
        Window {
            from: TimeOfDay::parse(from).unwrap(),
            until: TimeOfDay::parse(until).unwrap(),
            days: days.iter().copied().collect(),
        }
    }

    fn at(text: &str) -> WallTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_of_day_is_two_digits_each_of_hours_and_minutes() {
        assert_eq!(TimeOfDay::parse("22:05").unwrap().to_string(), "22:05");
        assert_eq!(TimeOfDay::parse("24:00"), Some(TimeOfDay::MIDNIGHT));
        for wrong in [
            "",
            "22",
            "7:00",
            "07:0",
            "24:01",
            "12:60",
            "+1:00",
            "12:00:00",
            "１２:００",
        ] {
            assert_eq!(TimeOfDay::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_window_holds_from_its_first_moment_to_just_before_its_last() {
        let day = window("08:00", "20:00", &[]);
        assert!(day.holds(at("2026-03-02T08:00:00")) && day.holds(at("2026-03-02T19:59:59.999")));
        assert!(!day.holds(at("2026-03-02T07:59:59.999")) && !day.holds(at("2026-03-02T20:00:00")));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        // 2026-03-06 is a Friday.
        let night = window("22:00", "06:00", &[Day::Friday]);
        assert!(night.holds(at("2026-03-06T22:00:00")) && night.holds(at("2026-03-07T05:59:00")));
        assert!(!night.holds(at("2026-03-06T05:59:00")) && !night.holds(at("2026-03-07T22:00:00")));
    }

    #[test]
    fn a_window_from_midnight_to_midnight_is_the_whole_day() {
        let sunday = window("00:00", "24:00", &[Day::Sunday]);
        assert!(sunday.holds(at("2026-03-01T00:00:00")) && sunday.holds(at("2026-03-01T23:59:59")));
        assert!(!sunday.holds(at("2026-02-28T23:59:59")) && !sunday.holds(at("2026-03-02T00:00:00")));
    }

    #[test]
    fn what_the_clock_shows_twice_turns_twice_and_what_it_skips_turns_with_it() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let half_past_two = window("02:30", "03:30", &[]);
        let turns = |after: &str, before: &str| {
            let mut turns: Vec<String> = turns(
                &[&half_past_two],
                &zone,
                after.parse().unwrap(),
                before.parse().unwrap(),
            )
            .into_iter()
            .map(|turn| turn.format("%H:%M").to_string())
            .collect();
            turns.sort();
            turns.dedup();
            turns
        };
        // 02:30 in summer, back to 02:00 at 01:00 UTC, 02:30 in winter, 03:30.
        assert_eq!(
            turns("2026-10-24T23:00:00Z", "2026-10-25T04:00:00Z"),
            ["00:30", "01:00", "01:30", "02:30"]
        );
        // There is no 02:30: the clock goes from 02:00 to 03:00 at 01:00 UTC; 03:30 is half an hour later.
        assert_eq!(
            turns("2026-03-29T00:00:00Z", "2026-03-29T04:00:00Z"),
            ["01:00", "01:30"]
        );
    }
}
