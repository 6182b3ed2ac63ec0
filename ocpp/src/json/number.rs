//! Numbers as they were written. `12`, `12.0` and `1.2e1` are the same integer, as in JSON Schema since draft 6.

/// Up to here an `f64` holds every integer exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether the number has no fraction, however large it is.
pub(crate) fn integral(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    digits.bytes().all(|byte| byte.is_ascii_digit()) || number.parse::<f64>().is_ok_and(|number| number.fract() == 0.0)
}

/// The integer, where it is one and fits.
pub(crate) fn to_integer(number: &str) -> Option<i64> {
    if let Ok(integer) = number.parse() {
        return Some(integer);
    }
    let number: f64 = number.parse().ok()?;
    // The cast is exact: the number has no fraction and an `f64` of this size holds every integer.
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

/// Whether the number has at most one decimal, as limits of charging schedules must. Binary fractions have no exact
/// tenths, hence the tolerance.
pub(crate) fn is_multiple_of_a_tenth(number: &str) -> bool {
    number.parse::<f64>().is_ok_and(|number| {
        let tenths = number * 10.0;
        tenths.is_finite() && (tenths - tenths.round()).abs() <= 1e-9 * tenths.abs().max(1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_recognised_in_every_notation() {
        for (number, integer) in [
            ("0", 0),
            ("-1", -1),
            ("12.0", 12),
            ("1.2e1", 12),
            ("-0", 0),
            ("9223372036854775807", i64::MAX),
        ] {
            assert!(integral(number), "{number}");
            assert_eq!(to_integer(number), Some(integer), "{number}");
        }
        for number in ["1.5", "1e-1", "1e400"] {
            assert!(!integral(number), "{number}");
            assert_eq!(to_integer(number), None, "{number}");
        }
    }

    #[test]
    fn an_integer_too_large_for_us_is_still_an_integer() {
        assert!(integral("123456789012345678901234567890"));
        assert_eq!(to_integer("123456789012345678901234567890"), None);
        assert_eq!(to_integer("1e18"), None);
    }

    #[test]
    fn tenths_are_told_from_finer_numbers() {
        for number in ["16", "16.1", "0.3", "-7.9", "22000.7", "16.10", "1.61e1"] {
            assert!(is_multiple_of_a_tenth(number), "{number}");
        }
        for number in ["16.11", "0.05", "13.333333", "1e400"] {
            assert!(!is_multiple_of_a_tenth(number), "{number}");
        }
    }
}
