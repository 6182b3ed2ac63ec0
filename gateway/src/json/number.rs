//! Numbers from their text. Integers may come as `12`, `"12"`, `12.0` or `1.2e1` (proto3 JSON); floating point also
//! as `"NaN"`, `"Infinity"` and `"-Infinity"`.

/// Why a text is not the number it should be; the rest of a sentence that starts with the field.
pub type Problem = &'static str;

pub const NOT_AN_INTEGER: Problem = "must be an integer";
pub const NOT_A_NUMBER: Problem = "must be a number";
const OUT_OF_RANGE: Problem = "is out of range";

/// Floating point represents every integer up to here exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// An integer that fits into `T`.
pub fn integer<T: TryFrom<i128>>(text: &str) -> Result<T, Problem> {
    let wide = match text.parse::<i128>() {
        // Rust reads `+1`; JSON has no such number.
        Ok(wide) if !text.starts_with('+') => wide,
        _ => whole(text)?,
    };
    T::try_from(wide).map_err(|_| OUT_OF_RANGE)
}

/// An integer in the notation of floating point, such as `1e3`.
#[allow(clippy::cast_possible_truncation)] // A whole number within ±2⁵³.
fn whole(text: &str) -> Result<i128, Problem> {
    if is_digits(text) {
        return Err(OUT_OF_RANGE);
    }
    let value = decimal(text).ok_or(NOT_AN_INTEGER)?;
    if value.fract() != 0.0 {
        return Err(NOT_AN_INTEGER);
    }
    if value.abs() > EXACT {
        Err(OUT_OF_RANGE)
    } else {
        Ok(value as i128)
    }
}

pub fn double(text: &str) -> Result<f64, Problem> {
    match text {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        _ => decimal(text).ok_or(NOT_A_NUMBER).and_then(|value| {
            if value.is_finite() {
                Ok(value)
            } else {
                Err(OUT_OF_RANGE)
            }
        }),
    }
}

#[allow(clippy::cast_possible_truncation)] // What does not fit becomes infinite, and is refused.
pub fn float(text: &str) -> Result<f32, Problem> {
    let value = double(text)?;
    let narrow = value as f32;
    if value.is_finite() && narrow.is_infinite() {
        Err(OUT_OF_RANGE)
    } else {
        Ok(narrow)
    }
}

/// A number as JSON writes it. Rust would also read `inf`, `nan`, `.5` and `5.`.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|first: char| first.is_ascii_digit())
        && !digits.ends_with('.')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
    plain.then(|| text.parse().ok()).flatten()
}

fn is_digits(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]

    use super::*;

    #[test]
    fn an_integer_may_be_written_in_several_ways() {
        for text in ["1200", "1200.0", "1.2e3", "12E2", "01200"] {
            assert_eq!(integer::<i32>(text), Ok(1200), "{text}");
        }
        assert_eq!(integer::<u64>("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(integer::<i64>("-9223372036854775808"), Ok(i64::MIN));
    }

    #[test]
    fn what_does_not_fit_is_out_of_range() {
        assert_eq!(integer::<i32>("2147483648"), Err(OUT_OF_RANGE));
        assert_eq!(integer::<u32>("-1"), Err(OUT_OF_RANGE));
        assert_eq!(integer::<i64>("1e300"), Err(OUT_OF_RANGE));
        assert_eq!(integer::<i64>(&"9".repeat(60)), Err(OUT_OF_RANGE));
        assert_eq!(float("1e39"), Err(OUT_OF_RANGE));
        assert_eq!(double("1e309"), Err(OUT_OF_RANGE));
    }

    #[test]
    fn what_is_no_number_is_said_to_be_none() {
        for text in ["", " 1", "1 ", "+1", "one", "0x10", "1.5", "1_000", "-", "."] {
            assert_eq!(integer::<i32>(text), Err(NOT_AN_INTEGER), "{text:?}");
        }
        for text in ["", "nan", "inf", "infinity", ".5", "5.", "+1", "1e", "--1"] {
            assert_eq!(double(text), Err(NOT_A_NUMBER), "{text:?}");
        }
    }

    #[test]
    fn floating_point_has_its_three_names() {
        assert!(double("NaN").expect("a name").is_nan());
        assert_eq!(float("-Infinity"), Ok(f32::NEG_INFINITY));
        assert_eq!(double("-1.5e-3"), Ok(-0.0015));
    }
}
