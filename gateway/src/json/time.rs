//! Timestamps (RFC 3339) and durations (`1.5s`) as proto3 JSON writes them.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};

/// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, all that google.protobuf.Timestamp stands for.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// ±10,000 years, all that google.protobuf.Duration stands for.
const DURATIONS: std::ops::RangeInclusive<i64> = -315_576_000_000..=315_576_000_000;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// Seconds since 1970 and nanoseconds.
pub fn parse_timestamp(text: &str) -> Result<(i64, i32), &'static str> {
    const PROBLEM: &str = "must be a time as in RFC 3339, such as `2026-01-31T08:15:00Z`";
    // chrono also takes a space, small letters, digits beyond the nanoseconds, and a leap second, which a Timestamp cannot
    // hold.
    if !has_form_of_a_timestamp(text) {
        return Err(PROBLEM);
    }
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| PROBLEM)?;
    let (seconds, nanos) = (time.timestamp(), time.timestamp_subsec_nanos());
    if nanos >= NANOS_PER_SECOND || !TIMESTAMPS.contains(&seconds) {
        return Err("is a time that cannot be stored");
    }
    i32::try_from(nanos).map(|nanos| (seconds, nanos)).map_err(|_| PROBLEM)
}

/// `2026-01-31T08:15:00`, up to nine digits of a fraction, and `Z` or an offset, whatever the digits are.
fn has_form_of_a_timestamp(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    fn fits(text: &[u8], form: &[u8]) -> bool {
        let same = |(byte, wanted): (&u8, &u8)| byte == wanted || (*wanted == b'0' && byte.is_ascii_digit());
        text.len() == form.len() && text.iter().zip(form).all(same)
    }
    let Some((start, rest)) = text.as_bytes().split_at_checked(FORM.len()) else {
        return false;
    };
    let offset = match rest.strip_prefix(b".") {
        None => rest,
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
    };
    fits(start, FORM) && (offset == b"Z" || fits(offset, b"+00:00") || fits(offset, b"-00:00"))
}

/// UTC with as many digits as the fraction needs: none, three, six or nine. Nothing for what is not a time.
pub fn write_timestamp(seconds: i64, nanos: i32) -> Option<String> {
    let mut out = Vec::with_capacity("2026-01-31T08:15:00.123456789Z".len());
    append_timestamp(seconds, nanos, &mut out)?;
    String::from_utf8(out).ok()
}

/// The same, behind what is in `out`. Digit by digit: chrono's own way takes several times as long, and lists are full of times.
pub fn append_timestamp(seconds: i64, nanos: i32, out: &mut Vec<u8>) -> Option<()> {
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < NANOS_PER_SECOND)?;
    let time = DateTime::<Utc>::from_timestamp(seconds, nanos).filter(|_| TIMESTAMPS.contains(&seconds))?;
    append_digits(u32::try_from(time.year()).ok()?, 4, out);
    for (separator, number) in [
        (b'-', time.month()),
        (b'-', time.day()),
        (b'T', time.hour()),
        (b':', time.minute()),
        (b':', time.second()),
    ] {
        out.push(separator);
        append_digits(number, 2, out);
    }
    if nanos > 0 {
        let (fraction, digits) = match nanos {
            _ if nanos % 1_000_000 == 0 => (nanos / 1_000_000, 3),
            _ if nanos % 1_000 == 0 => (nanos / 1_000, 6),
            _ => (nanos, 9),
        };
        out.push(b'.');
        append_digits(fraction, digits, out);
    }
    out.push(b'Z');
    Some(())
}

/// A number with zeros before it.
fn append_digits(number: u32, digits: u32, out: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        out.push(b"0123456789"[digit as usize]);
    }
}

/// Seconds and nanoseconds, both of the same sign.
pub fn parse_duration(text: &str) -> Result<(i64, i32), &'static str> {
    const PROBLEM: &str = "must be a number of seconds followed by `s`, such as `1.5s`";
    let number = text.strip_suffix('s').ok_or(PROBLEM)?;
    let (sign, digits) = number.strip_prefix('-').map_or((1, number), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return Err(PROBLEM);
    }
    let seconds: i64 = whole.parse().map_err(|_| "is out of range")?;
    let nanos: i32 = format!("{fraction:0<9}").parse().map_err(|_| PROBLEM)?;
    if DURATIONS.contains(&seconds) {
        Ok((seconds * i64::from(sign), nanos * sign))
    } else {
        Err("is out of range")
    }
}

/// `-1.500s`. Nothing for what is not a duration.
pub fn write_duration(seconds: i64, nanos: i32) -> Option<String> {
    let fits = DURATIONS.contains(&seconds)
        && nanos.unsigned_abs() < NANOS_PER_SECOND
        && (seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0));
    if !fits {
        return None;
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let (whole, nanos) = (seconds.unsigned_abs(), nanos.unsigned_abs());
    Some(match nanos {
        0 => format!("{sign}{whole}s"),
        _ if nanos % 1_000_000 == 0 => format!("{sign}{whole}.{:03}s", nanos / 1_000_000),
        _ if nanos % 1_000 == 0 => format!("{sign}{whole}.{:06}s", nanos / 1_000),
        _ => format!("{sign}{whole}.{nanos:09}s"),
    })
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_are_written_as_chrono_writes_them(
            seconds in TIMESTAMPS,
            nanos in prop_oneof![Just(0_i32), Just(120_000_000), Just(1_000), 0..1_000_000_000],
        ) {
            let time = DateTime::<Utc>::from_timestamp(seconds, nanos.unsigned_abs()).expect("a time");
            let expected = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            prop_assert_eq!(write_timestamp(seconds, nanos), Some(expected));
        }
    }

    #[test]
    fn an_offset_is_turned_into_utc() {
        let (seconds, nanos) = parse_timestamp("2026-01-31T09:15:00.25+01:00").expect("a time");
        assert_eq!(
            write_timestamp(seconds, nanos).as_deref(),
            Some("2026-01-31T08:15:00.250Z")
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T08:15:00",
            "2026-01-31 08:15:00Z",
            "2026-01-31t08:15:00Z",
            "2026-01-31T08:15:00z",
            "2026-01-31T08:15:00.1234567890Z",
            "2026-02-30T00:00:00Z",
            "2016-12-31T23:59:60Z",
            "0000-12-31T00:00:00Z",
            "2026-01-31T08:15:00z",
            "2026-01-31T08:15:00.Z",
            "2026-01-31T08:15:00.1234567891Z",
            "2026-01-31T08:15:00+0100",
            "2026-01-31T08:15:00+01:00:00",
            "2026-01-31T08:15:00+24:00",
            "+2026-01-31T08:15:00Z",
            "10000-01-01T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "1738310400",
        ] {
            assert!(parse_timestamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_keep_their_sign_and_fraction() {
        for (text, value) in [
            ("1.500s", (1, 500_000_000)),
            ("-0.000001s", (0, -1_000)),
            ("315576000000s", (315_576_000_000, 0)),
        ] {
            assert_eq!(parse_duration(text), Ok(value), "{text}");
            assert_eq!(write_duration(value.0, value.1).as_deref(), Some(text));
        }
        for text in ["1", "s", "1.s", ".5s", "+1s", "1.0000000001s", "315576000001s", "1e3s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_not_written() {
        assert_eq!(write_timestamp(i64::MAX, 0), None);
        assert_eq!(write_timestamp(0, -1), None);
        assert_eq!(write_duration(1, -1), None);
    }
}
