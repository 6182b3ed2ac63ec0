//! The codes of a CALLERROR: one meaning each, spelled differently by the versions and by the stations.

use crate::Version;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The payload is not shaped like the message at all.
    FormatViolation,
    GenericError,
    /// We failed; a station will try again.
    InternalError,
    /// Nobody defined this action.
    NotImplemented,
    /// The action exists, but not for us, or not in this direction.
    NotSupported,
    /// A required field is missing, or a list holds too few or too many entries.
    OccurrenceConstraintViolation,
    /// A value is outside its enumeration, length or range.
    PropertyConstraintViolation,
    ProtocolError,
    /// Refused for who asks or when, for example before the boot was accepted.
    SecurityError,
    /// A value has the wrong JSON type.
    TypeConstraintViolation,
}

impl ErrorCode {
    /// The spelling that goes on the wire.
    ///
    /// 1.6 prints one `r` too few in `OccurenceConstraintViolation`, and its errata keep that. They do name
    /// `FormatViolation` as what `FormationViolation` was meant to be (OCPP-J errata 5.1 and 5.2).
    pub fn as_str(self, version: Version) -> &'static str {
        match self {
            ErrorCode::FormatViolation => "FormatViolation",
            ErrorCode::GenericError => "GenericError",
            ErrorCode::InternalError => "InternalError",
            ErrorCode::NotImplemented => "NotImplemented",
            ErrorCode::NotSupported => "NotSupported",
            ErrorCode::OccurrenceConstraintViolation => match version {
                Version::V1_6 => "OccurenceConstraintViolation",
            },
            ErrorCode::PropertyConstraintViolation => "PropertyConstraintViolation",
            ErrorCode::ProtocolError => "ProtocolError",
            ErrorCode::SecurityError => "SecurityError",
            ErrorCode::TypeConstraintViolation => "TypeConstraintViolation",
        }
    }

    /// Reads what a station sent, in any spelling that a version or its errata ever printed. A code of the station's own
    /// making is `None`; the frame still holds its text.
    pub fn parse(code: &str) -> Option<ErrorCode> {
        Some(match code {
            "FormatViolation" | "FormationViolation" => ErrorCode::FormatViolation,
            "GenericError" => ErrorCode::GenericError,
            "InternalError" => ErrorCode::InternalError,
            "NotImplemented" => ErrorCode::NotImplemented,
            "NotSupported" => ErrorCode::NotSupported,
            "OccurenceConstraintViolation" | "OccurrenceConstraintViolation" => {
                ErrorCode::OccurrenceConstraintViolation
            }
            "PropertyConstraintViolation" => ErrorCode::PropertyConstraintViolation,
            "ProtocolError" => ErrorCode::ProtocolError,
            "SecurityError" => ErrorCode::SecurityError,
            "TypeConstraintViolation" => ErrorCode::TypeConstraintViolation,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_6_keeps_its_misspelt_occurrence_and_uses_the_corrected_format() {
        assert_eq!(
            ErrorCode::OccurrenceConstraintViolation.as_str(Version::V1_6),
            "OccurenceConstraintViolation"
        );
        assert_eq!(ErrorCode::FormatViolation.as_str(Version::V1_6), "FormatViolation");
    }

    #[test]
    fn every_spelling_is_understood_inbound() {
        for spelling in ["OccurenceConstraintViolation", "OccurrenceConstraintViolation"] {
            assert_eq!(
                ErrorCode::parse(spelling),
                Some(ErrorCode::OccurrenceConstraintViolation)
            );
        }
        for spelling in ["FormatViolation", "FormationViolation"] {
            assert_eq!(ErrorCode::parse(spelling), Some(ErrorCode::FormatViolation));
        }
        assert_eq!(ErrorCode::parse("NotSupported"), Some(ErrorCode::NotSupported));
        assert_eq!(ErrorCode::parse("CoffeeMachineEmpty"), None);
    }
}
