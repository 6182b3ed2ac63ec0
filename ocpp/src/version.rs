//! The versions of OCPP that Voltgate speaks, and how a charge point asks for one.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    V1_6,
}

impl Version {
    /// The version behind a WebSocket subprotocol name such as `ocpp1.6`.
    pub fn from_subprotocol(name: &str) -> Option<Version> {
        match name {
            "ocpp1.6" => Some(Version::V1_6),
            _ => None,
        }
    }

    /// The name to echo in `Sec-WebSocket-Protocol`.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Version::V1_6 => "ocpp1.6",
        }
    }

    /// Chooses from the `Sec-WebSocket-Protocol` header of a handshake. The client lists what it prefers first, so the
    /// first name that we know wins.
    pub fn choose(offer: &str) -> Option<Version> {
        offer.split(',').map(str::trim).find_map(Version::from_subprotocol)
    }
}

/// Writes the bare number, `1.6`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1_6 => "1.6",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_that_we_speak_is_chosen_from_an_offer() {
        assert_eq!(Version::choose("ocpp1.6"), Some(Version::V1_6));
        assert_eq!(Version::choose("ocpp9.9 , ocpp1.6,ocpp1.5"), Some(Version::V1_6));
    }

    #[test]
    fn an_offer_without_a_version_that_we_speak_is_refused() {
        for offer in ["", ",", "ocpp1.5", "OCPP1.6", "ocpp1.6j", "ocpp1.5 ocpp1.6"] {
            assert_eq!(Version::choose(offer), None, "{offer:?}");
        }
    }

    #[test]
    fn the_subprotocol_leads_back_to_its_version() {
        assert_eq!(
            Version::from_subprotocol(Version::V1_6.subprotocol()),
            Some(Version::V1_6)
        );
    }
}
