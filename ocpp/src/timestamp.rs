//! Points in time as charge points write them.
//!
//! The specification asks for ISO 8601 with an offset. Stations send it with microseconds, without an offset, or with an
//! offset that lacks its colon; all of these have one plausible meaning, and that is how they are read.

use chrono::{DateTime, Datelike as _, NaiveDateTime, SubsecRound as _, Utc};

/// Reads a date-time; one without an offset is UTC. `None` where the text has no plausible meaning, or where its year does
/// not have four digits (databases and other stations would choke on it).
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let year = text.as_bytes().get(..5)?;
    if !(year[..4].iter().all(u8::is_ascii_digit) && year[4] == b'-') {
        return None;
    }
    // In UTC it may be of another year than it is written in; what comes before the year 1 or after 9999 has no name in ISO 8601.
    read(text).filter(|time| (1..=9999).contains(&time.year()))
}

fn read(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z") {
        return Some(time.to_utc());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|time| time.and_utc())
}

/// Cuts a time to milliseconds, the most that we send: some stations fail to read more digits.
pub fn to_milliseconds(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        parse(text).map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    }

    #[test]
    fn a_time_with_an_offset_is_turned_into_utc() {
        assert_eq!(read("2026-03-01T12:00:00Z").as_deref(), Some("2026-03-01T12:00:00Z"));
        assert_eq!(
            read("2026-03-01T12:00:00+02:00").as_deref(),
            Some("2026-03-01T10:00:00Z")
        );
        assert_eq!(
            read("2026-03-01T12:00:00.5-0130").as_deref(),
            Some("2026-03-01T13:30:00.500Z")
        );
        assert_eq!(read("2026-03-01T12:00:00+02").as_deref(), Some("2026-03-01T10:00:00Z"));
    }

    #[test]
    fn a_time_without_an_offset_is_utc() {
        assert_eq!(read("2026-03-01T12:00:00").as_deref(), Some("2026-03-01T12:00:00Z"));
        assert_eq!(
            read("2026-03-01 12:00:00.25").as_deref(),
            Some("2026-03-01T12:00:00.250Z")
        );
        assert_eq!(read("2026-03-01T12:00").as_deref(), Some("2026-03-01T12:00:00Z"));
    }

    #[test]
    fn microseconds_and_a_clock_that_was_never_set_are_fine() {
        assert_eq!(
            read("1970-01-01T00:00:07.123456Z").as_deref(),
            Some("1970-01-01T00:00:07.123456Z")
        );
    }

    #[test]
    fn text_without_a_plausible_meaning_is_refused() {
        for text in [
            "",
            "now",
            "2026-03-01",
            "2026-13-01T00:00:00Z",
            "+12026-03-01T00:00:00Z",
            "-2026-03-01T00:00:00",
            "é026-",
            "1772366400",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_we_send_has_milliseconds_at_most() {
        let time = parse("2026-03-01T12:00:00.123999Z").map(to_milliseconds);
        assert_eq!(time, parse("2026-03-01T12:00:00.123Z"));
    }
}
