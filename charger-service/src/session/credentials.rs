//! Reads the Authorization header that a charge point sent with its handshake (RFC 7617).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Some stations leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// User and password as bytes: a 1.6 password need not be text.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
}

/// None where the header is no Basic authentication. The user ends at the first colon; a password may have colons.
pub fn basic(header: &str) -> Option<Credentials> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = BASE64.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    Some(Credentials {
        user: decoded[..colon].to_vec(),
        password: decoded[colon + 1..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        basic(header).map(|credentials| (credentials.user, credentials.password))
    }

    #[test]
    fn the_user_ends_at_the_first_colon() {
        assert_eq!(read("Basic Q1AxOmE6Yg=="), Some((b"CP1".to_vec(), b"a:b".to_vec())));
    }

    #[test]
    fn the_scheme_has_no_case_and_the_padding_may_be_missing() {
        assert_eq!(read("basic Q1AxOmE6Yg"), Some((b"CP1".to_vec(), b"a:b".to_vec())));
    }

    #[test]
    fn a_password_may_be_any_bytes() {
        assert_eq!(read("Basic Q1AxOv8A"), Some((b"CP1".to_vec(), vec![0xff, 0x00])));
    }

    #[test]
    fn anything_else_is_no_basic_authentication() {
        for header in ["", "Basic", "Basic ", "Basic !!!", "Basic Q1Ax", "Bearer Q1AxOmE6Yg=="] {
            assert_eq!(read(header), None, "{header}");
        }
    }
}
