//! What may be declared of a connector.

use service_kit::reason::FieldViolation;

const LENGTHS: std::ops::RangeInclusive<usize> = 3..=48;

/// No charge point has more connectors, and a list of them stays one answer.
const LARGEST_NUMBER: i32 = 1000;

/// In watts; the largest connectors there are give a third of it.
const LARGEST_POWER: i32 = 10_000_000;

/// `ConnectorType` of OCPI 2.2.1 and 2.3.0.
const STANDARDS: [&str; 42] = [
    "CHADEMO",
    "CHAOJI",
    "DOMESTIC_A",
    "DOMESTIC_B",
    "DOMESTIC_C",
    "DOMESTIC_D",
    "DOMESTIC_E",
    "DOMESTIC_F",
    "DOMESTIC_G",
    "DOMESTIC_H",
    "DOMESTIC_I",
    "DOMESTIC_J",
    "DOMESTIC_K",
    "DOMESTIC_L",
    "DOMESTIC_M",
    "DOMESTIC_N",
    "DOMESTIC_O",
    "GBT_AC",
    "GBT_DC",
    "IEC_60309_2_single_16",
    "IEC_60309_2_three_16",
    "IEC_60309_2_three_32",
    "IEC_60309_2_three_64",
    "IEC_62196_T1",
    "IEC_62196_T1_COMBO",
    "IEC_62196_T2",
    "IEC_62196_T2_COMBO",
    "IEC_62196_T3A",
    "IEC_62196_T3C",
    "MCS",
    "NEMA_5_20",
    "NEMA_6_30",
    "NEMA_6_50",
    "NEMA_10_30",
    "NEMA_10_50",
    "NEMA_14_30",
    "NEMA_14_50",
    "PANTOGRAPH_BOTTOM_UP",
    "PANTOGRAPH_TOP_DOWN",
    "SAE_J3400",
    "TESLA_R",
    "TESLA_S",
];

/// `PowerType` of OCPI.
const POWER_TYPES: [&str; 5] = ["AC_1_PHASE", "AC_2_PHASE", "AC_2_PHASE_SPLIT", "AC_3_PHASE", "DC"];

/// A number of a connector or an EVSE.
pub fn number(field: &str, number: i32) -> Result<i32, FieldViolation> {
    if (1..=LARGEST_NUMBER).contains(&number) {
        return Ok(number);
    }
    Err(FieldViolation::new(
        field,
        format!("must be between 1 and {LARGEST_NUMBER}"),
    ))
}

/// What can stand in a path and a QR code as it is.
pub fn code(code: String) -> Result<String, FieldViolation> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"*._-".contains(&byte);
    let is_closed = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = code.as_bytes();
    let is_code = LENGTHS.contains(&bytes.len()) && bytes.iter().copied().all(is_safe);
    if is_code && is_closed(bytes.first()) && is_closed(bytes.last()) {
        return Ok(code);
    }
    let problem = "must have 3 to 48 letters, digits and characters of *._-, and a letter or digit at either end";
    Err(FieldViolation::new("code", problem))
}

pub fn standard(name: &str) -> Result<&'static str, FieldViolation> {
    one_of(&STANDARDS, name)
        .ok_or_else(|| FieldViolation::new("standard", "is no ConnectorType of OCPI, such as IEC_62196_T2"))
}

pub fn power_type(name: &str) -> Result<&'static str, FieldViolation> {
    one_of(&POWER_TYPES, name).ok_or_else(|| {
        let problem = "must be one of AC_1_PHASE, AC_2_PHASE, AC_2_PHASE_SPLIT, AC_3_PHASE and DC";
        FieldViolation::new("powerType", problem)
    })
}

pub fn max_power(watts: i32) -> Result<i32, FieldViolation> {
    if (1..=LARGEST_POWER).contains(&watts) {
        return Ok(watts);
    }
    Err(FieldViolation::new(
        "maxPowerWatts",
        format!("must be between 1 and {LARGEST_POWER}"),
    ))
}

fn one_of(known: &[&'static str], name: &str) -> Option<&'static str> {
    known.iter().copied().find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_can_be_printed_and_stand_in_a_path_as_it_is() {
        for good in ["DE*ABC*E12345*1", "abc", "7-8", "A.b_c", &"x".repeat(48)] {
            assert_eq!(code(good.to_owned()).as_deref(), Ok(good));
        }
        let too_long = "x".repeat(49);
        for bad in [
            "", "ab", "*bc", "ab-", "a/b", "a b", "a%2f", "äbc", "...", "a\0b", &too_long,
        ] {
            assert!(code(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn standards_are_spelt_as_ocpi_does() {
        assert_eq!(standard("IEC_62196_T2"), Ok("IEC_62196_T2"));
        assert!(standard("iec_62196_t2").is_err() && standard("Type 2").is_err());
        assert!(STANDARDS.is_sorted_by(|a, b| a != b));
    }
}
