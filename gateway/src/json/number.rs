//! Numbers from their text. Integers may come as `12`, `"12"`, `12.0` or `1.2e1` (proto3 JSON); floating point also
//! as `"NaN"`, `"Infinity"` and `"-Infinity"`.

use std::str::FromStr;

/// Why a text is not the number it should be; the rest of a sentence that starts with the field.
pub type Problem = &'static str;

pub const NOT_AN_INTEGER: Problem = "must be an integer";
pub const NOT_A_NUMBER: Problem = "must be a number";
const OUT_OF_RANGE: Problem = "is out of range";

/// Digits of the longest integer that a field can hold.
const MOST_DIGITS: usize = 20;

/// An integer that fits into `T`. Nothing is rounded on the way: `9007199254740993.0` keeps its last digit.
pub fn integer<T: TryFrom<i128>>(text: &str) -> Result<T, Problem> {
    let decimal = Decimal::parse(text).ok_or(NOT_AN_INTEGER)?;
    T::try_from(decimal.whole()?).map_err(|_| OUT_OF_RANGE)
}

pub fn double(text: &str) -> Result<f64, Problem> {
    match text {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        _ => finite(text, f64::is_finite),
    }
}

pub fn float(text: &str) -> Result<f32, Problem> {
    match text {
        "NaN" => Ok(f32::NAN),
        "Infinity" => Ok(f32::INFINITY),
        "-Infinity" => Ok(f32::NEG_INFINITY),
        // Not by way of a double, which would round twice.
        _ => finite(text, f32::is_finite),
    }
}

/// What is too large to be finite is out of range; what is too small to be told from zero is zero.
fn finite<F: FromStr + Copy>(text: &str, is_finite: impl Fn(F) -> bool) -> Result<F, Problem> {
    Decimal::parse(text).ok_or(NOT_A_NUMBER)?;
    let value = text.parse().map_err(|_| NOT_A_NUMBER)?;
    if is_finite(value) { Ok(value) } else { Err(OUT_OF_RANGE) }
}

/// A number as the grammar of JSON has it (RFC 8259, section 6). Rust would also read `+1`, `inf`, `.5`, `5.` and `01`.
#[derive(Debug)]
struct Decimal<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i64,
}

impl<'t> Decimal<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let unsigned = text.strip_prefix('-');
        let negative = unsigned.is_some();
        let (digits, exponent) = match unsigned.unwrap_or(text).split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, parse_exponent(exponent)?),
            None => (unsigned.unwrap_or(text), 0),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let well_formed =
            is_digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(is_digits);
        well_formed.then_some(Self {
            negative,
            whole,
            fraction: fraction.unwrap_or_default(),
            exponent,
        })
    }

    /// The number, where it is whole and not far longer than any field.
    fn whole(&self) -> Result<i128, Problem> {
        let digits = format!("{}{}", self.whole, self.fraction);
        let significant = digits.trim_end_matches('0');
        if significant.is_empty() {
            return Ok(0);
        }
        let dropped = i64::try_from(digits.len() - significant.len()).unwrap_or(i64::MAX);
        let fraction = i64::try_from(self.fraction.len()).unwrap_or(i64::MAX);
        let zeros = self.exponent.saturating_sub(fraction).saturating_add(dropped);
        let zeros = usize::try_from(zeros).map_err(|_| NOT_AN_INTEGER)?;
        let significant = significant.trim_start_matches('0');
        if significant.len().saturating_add(zeros) > MOST_DIGITS {
            return Err(OUT_OF_RANGE);
        }
        let magnitude: i128 = format!("{significant}{}", "0".repeat(zeros))
            .parse()
            .map_err(|_| NOT_AN_INTEGER)?;
        Ok(if self.negative { -magnitude } else { magnitude })
    }
}

/// An exponent beyond any number is as good as the largest there is.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let magnitude = is_digits(digits).then(|| digits.parse().unwrap_or(i64::from(i32::MAX)))?;
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]

    use super::*;

    #[test]
    fn an_integer_may_be_written_in_several_ways() {
        for text in ["1200", "1200.0", "1.2e3", "12E2", "12e+2", "120000e-2", "1.2000e0003"] {
            assert_eq!(integer::<i32>(text), Ok(1200), "{text}");
        }
        assert_eq!(integer::<i32>("-0"), Ok(0));
        assert_eq!(integer::<i32>("0.0e999999999999999999999"), Ok(0));
        assert_eq!(integer::<u64>("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(integer::<u64>("1.8446744073709551615e19"), Ok(u64::MAX));
        assert_eq!(integer::<i64>("9007199254740993.0"), Ok(9_007_199_254_740_993));
        assert_eq!(integer::<i64>("-9223372036854775808"), Ok(i64::MIN));
    }

    #[test]
    fn what_does_not_fit_is_out_of_range() {
        assert_eq!(integer::<i32>("2147483648"), Err(OUT_OF_RANGE));
        assert_eq!(integer::<u32>("-1"), Err(OUT_OF_RANGE));
        assert_eq!(integer::<u64>("18446744073709551616"), Err(OUT_OF_RANGE));
        assert_eq!(integer::<i64>("1e300"), Err(OUT_OF_RANGE));
        assert_eq!(integer::<i64>("1e99999999999999999999"), Err(OUT_OF_RANGE));
        assert_eq!(integer::<i64>(&"9".repeat(60)), Err(OUT_OF_RANGE));
        assert_eq!(float("1e39"), Err(OUT_OF_RANGE));
        assert_eq!(double("1e309"), Err(OUT_OF_RANGE));
    }

    #[test]
    fn what_is_no_number_is_said_to_be_none() {
        for text in [
            "", " 1", "1 ", "+1", "one", "0x10", "1.5", "1_000", "-", ".", "01", "-01", "1e-1", "1.e2", "NaN",
        ] {
            assert_eq!(integer::<i32>(text), Err(NOT_AN_INTEGER), "{text:?}");
        }
        for text in [
            "", "nan", "inf", "infinity", ".5", "5.", "+1", "1e", "1e+", "1.e5", "00", "01.5", "--1",
        ] {
            assert_eq!(double(text), Err(NOT_A_NUMBER), "{text:?}");
        }
    }

    #[test]
    fn floating_point_has_its_three_names() {
        assert!(double("NaN").expect("a name").is_nan());
        assert_eq!(float("3.4028235e38"), Ok(f32::MAX));
        assert_eq!(float("-Infinity"), Ok(f32::NEG_INFINITY));
        assert_eq!(double("-1.5e-3"), Ok(-0.0015));
    }
}
