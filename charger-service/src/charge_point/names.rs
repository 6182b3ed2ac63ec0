//! The names of a charge point: which one a certificate of ours is made out to, and by which of them a certificate of another
//! authority opens its door (rule 15 of the OCPP decisions).
//!
//! A charge point tells its serial number itself, and may tell any. So nothing that is issued here names it, and it opens a
//! door only where it is nobody else's name.

use sqlx::PgConnection;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub identity: String,
    /// As an operator has registered it.
    pub certificate_name: Option<String>,
    /// As the charge point told it when it booted.
    pub serial_number: Option<String>,
    /// What it was called before.
    pub former_identities: Vec<String>,
}

impl Names {
    /// The one that an operator has fixed.
    pub fn fixed(&self) -> &str {
        self.certificate_name.as_deref().unwrap_or(&self.identity)
    }

    /// The serial number, where it is a name: where no other was registered for certificates.
    pub fn serial_number(&self) -> Option<&str> {
        let told = self.serial_number.as_deref().filter(|told| !told.trim().is_empty());
        told.filter(|_| self.certificate_name.is_none())
    }

    /// Whether it goes by this name beside the one that is fixed, as long as nobody else does: its serial number, or an identity that
    /// it had. Not where a name was registered for certificates.
    pub fn has_as_well(&self, name: &str) -> bool {
        let was_called_so = self.former_identities.iter().any(|former| former == name);
        self.serial_number() == Some(name) || (was_called_so && self.certificate_name.is_none())
    }

    /// Whether the name in its certificate is its serial number: the one that it has told; as long as it has told none, the
    /// name that was registered instead of its identity.
    pub fn is_serial_number(&self, name: &str) -> bool {
        let told = self.serial_number.as_deref().map(str::trim);
        match told.filter(|told| !told.is_empty()) {
            Some(told) => told == name,
            None => self.certificate_name.as_deref() == Some(name) && self.identity != name,
        }
    }
}

/// The names of a charge point as the transaction sees them that the connection is in.
pub async fn of(connection: &mut PgConnection, charge_point: Uuid) -> Result<Names, sqlx::Error> {
    sqlx::query_as!(
        Names,
        "SELECT identity, certificate_name, serial_number, former_identities FROM ocpp.charge_point WHERE id = $1",
        charge_point,
    )
    .fetch_one(connection)
    .await
}

/// Whether no other charge point has this name, be it as its identity or a former one, in its certificate or as its serial
/// number. A lab has one serial number on all of its charge points. The device of one that is retired may be another one's by
/// now.
pub async fn is_nobody_elses(
    connection: &mut PgConnection,
    charge_point: Uuid,
    name: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (SELECT FROM ocpp.charge_point WHERE identity = $2 AND id <> $1)
             AND NOT EXISTS (SELECT FROM ocpp.charge_point WHERE certificate_name = $2 AND id <> $1 AND retired_at IS NULL)
             AND NOT EXISTS (SELECT FROM ocpp.charge_point WHERE serial_number = $2 AND id <> $1 AND retired_at IS NULL)
             AND NOT EXISTS (SELECT FROM ocpp.charge_point
                             WHERE former_identities @> ARRAY[$2] COLLATE "C" AND former_identities <> '{}' AND id <> $1
                               AND retired_at IS NULL)
             AS "free!""#,
        charge_point,
        name,
    )
    .fetch_one(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule 15: the registered name; by default the serial number, else the identity.
    #[test]
    fn a_registered_name_is_the_only_one_and_what_the_charge_point_tells_is_never_the_fixed_one() {
        let names = |certificate_name: Option<&str>, serial_number: Option<&str>| Names {
            identity: "CP1".to_owned(),
            certificate_name: certificate_name.map(str::to_owned),
            serial_number: serial_number.map(str::to_owned),
            former_identities: vec!["CP0".to_owned()],
        };
        let told = names(None, Some("SN-1"));
        assert_eq!((told.fixed(), told.serial_number()), ("CP1", Some("SN-1")));
        let registered = names(Some("NAME"), Some("SN-1"));
        assert_eq!((registered.fixed(), registered.serial_number()), ("NAME", None));
        for as_well in ["SN-1", "CP0"] {
            assert!(
                told.has_as_well(as_well) && !registered.has_as_well(as_well),
                "{as_well}"
            );
        }
        assert!(!told.has_as_well("CP1"), "that is the fixed one");
        for nothing in [None, Some(""), Some(" ")] {
            assert_eq!(names(None, nothing).serial_number(), None);
            assert!(names(Some("SN-1"), nothing).is_serial_number("SN-1"));
            assert!(!names(None, nothing).is_serial_number("CP1"));
        }
        assert!(told.is_serial_number("SN-1") && !told.is_serial_number("CP1"));
        assert!(!registered.is_serial_number("NAME"), "it has told another one since");
    }
}
