//! Reads a meter's number and brings it to the base unit of its quantity.

use rust_decimal::Decimal;

/// A number in its base unit, or as it came where no unit is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalized {
    pub value: Decimal,
    pub unit: Option<String>,
}

/// None where `value` is no decimal number or the unit is none of OCPP's, since a guess would end up on somebody's bill.
pub fn normalize(value: &str, unit: Option<&str>) -> Option<Normalized> {
    let number = decimal(value.trim())?;
    let (value, unit) = match unit {
        None => (number, None),
        Some(unit) => {
            let (value, unit) = to_base(number, unit)?;
            (value, Some(unit.to_owned()))
        }
    };
    Some(Normalized {
        value: value.normalize(),
        unit,
    })
}

fn decimal(text: &str) -> Option<Decimal> {
    // The parser would take 1_000 as well.
    if text.contains('_') {
        return None;
    }
    Decimal::from_str_exact(text)
        .or_else(|_| Decimal::from_scientific(text))
        .ok()
}

fn to_base(number: Decimal, unit: &str) -> Option<(Decimal, &'static str)> {
    let thousand = Decimal::ONE_THOUSAND;
    Some(match unit {
        "Wh" => (number, "Wh"),
        "kWh" => (number.checked_mul(thousand)?, "Wh"),
        "varh" => (number, "varh"),
        "kvarh" => (number.checked_mul(thousand)?, "varh"),
        "VAh" => (number, "VAh"),
        "kVAh" => (number.checked_mul(thousand)?, "VAh"),
        "W" => (number, "W"),
        "kW" => (number.checked_mul(thousand)?, "W"),
        "VA" => (number, "VA"),
        "kVA" => (number.checked_mul(thousand)?, "VA"),
        "var" => (number, "var"),
        "kvar" => (number.checked_mul(thousand)?, "var"),
        "A" => (number, "A"),
        "V" => (number, "V"),
        "Percent" => (number, "Percent"),
        // The first edition of 1.6 spelt it so, and stations still do.
        "Celsius" | "Celcius" => (number, "Celsius"),
        "Fahrenheit" => {
            let above_freezing = number.checked_sub(Decimal::from(32))?;
            (
                above_freezing
                    .checked_mul(Decimal::from(5))?
                    .checked_div(Decimal::from(9))?,
                "Celsius",
            )
        }
        "K" => (number.checked_sub(Decimal::new(27315, 2))?, "Celsius"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: &str, unit: &str) -> Option<String> {
        normalize(value, Some(unit)).map(|n| format!("{} {}", n.value, n.unit.unwrap_or_default()))
    }

    #[test]
    fn multiples_come_to_the_base_unit() {
        for (value, unit, base) in [
            ("1042", "Wh", "1042 Wh"),
            ("1.0425", "kWh", "1042.5 Wh"),
            ("11", "kW", "11000 W"),
            ("-0.5", "kvarh", "-500 varh"),
            ("2", "kVA", "2000 VA"),
            ("1.5e3", "W", "1500 W"),
            ("212", "Fahrenheit", "100 Celsius"),
            ("300.15", "K", "27 Celsius"),
            ("25", "Celcius", "25 Celsius"),
        ] {
            assert_eq!(text(value, unit).as_deref(), Some(base), "{value} {unit}");
        }
    }

    #[test]
    fn what_is_no_decimal_number_has_no_normalized_value() {
        for value in [
            "", " ", "abc", "NaN", "Infinity", "1,5", "0x10", "1e99999", "--1", "1_000",
        ] {
            assert_eq!(text(value, "Wh"), None, "{value:?}");
        }
    }

    #[test]
    fn an_unknown_unit_is_not_guessed_at() {
        assert_eq!(text("1", "MWh"), None);
    }

    #[test]
    fn a_value_without_a_unit_stays_without_one() {
        assert_eq!(
            normalize("16", None),
            Some(Normalized {
                value: Decimal::from(16),
                unit: None
            })
        );
    }

    proptest! {
        #[test]
        fn a_kilowatt_hour_is_a_thousand_watt_hours_however_it_is_written(milli in -1_000_000_000_000i64..1_000_000_000_000) {
            let kilo = Decimal::new(milli, 3);
            let wh = normalize(&kilo.to_string(), Some("kWh"));
            prop_assert_eq!(wh, normalize(&milli.to_string(), Some("Wh")));
        }

        #[test]
        fn no_text_makes_it_panic(value in "[-+.eE_0-9]{0,40}|.{0,40}") {
            let _ = normalize(&value, Some("kWh"));
        }
    }
}
