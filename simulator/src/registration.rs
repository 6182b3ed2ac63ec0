//! Names of a fleet's charge points and id tokens, and the files by which they are imported into a central system.

use std::fmt::Write as _;

/// The identity of a charge point, counted from 0, and the id token that it charges with.
pub fn name(prefix: &str, number: usize) -> String {
    format!("{prefix}{:05}", number + 1)
}

/// Charge points from this number on, as CSV for `POST /ocpp/charge-points/import`.
pub fn charge_points(prefix: &str, numbers: impl Iterator<Item = usize>, password: Option<&str>) -> String {
    let mut csv = "identity,securityProfile,password\n".to_owned();
    for number in numbers {
        let name = name(prefix, number);
        // Writing to a String cannot fail.
        let _ = match password {
            Some(password) => writeln!(csv, "{name},1,\"{}\"", password.replace('"', "\"\"")),
            None => writeln!(csv, "{name},0,"),
        };
    }
    csv
}

/// Id tokens, as CSV for `POST /ocpp/id-tokens/import`.
pub fn id_tokens(prefix: &str, numbers: impl Iterator<Item = usize>) -> String {
    let mut csv = "idToken\n".to_owned();
    for number in numbers {
        csv.push_str(&name(prefix, number));
        csv.push('\n');
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_a_file_with_a_row_for_each() {
        let csv = charge_points("SIM-", 0..2, Some("a \"good\" password"));
        let expected = "identity,securityProfile,password\n\
                        SIM-00001,1,\"a \"\"good\"\" password\"\nSIM-00002,1,\"a \"\"good\"\" password\"\n";
        assert_eq!(csv, expected);
        assert_eq!(
            charge_points("SIM-", 9..10, None),
            "identity,securityProfile,password\nSIM-00010,0,\n"
        );
        assert_eq!(id_tokens("SIM-", 0..1), "idToken\nSIM-00001\n");
    }
}
