//! Codes that people type in at a charge point (type KeyCode) are secrets: whoever reads one can charge with it. So they stand
//! in no log; in their place there is a fingerprint, by which one code is told from another.

use std::borrow::Cow;

use crate::charge_point::password::PasswordKey;

/// As the type of a token is called.
const TYPE: &str = "KeyCode";

/// Bytes of a fingerprint that are enough to tell two codes apart.
const SHOWN: usize = 8;

/// The value of a token for a log, where any of the types that it has, or had, is `KeyCode` by its fingerprint.
pub fn shown<'a>(key: &PasswordKey, value: &'a str, types: impl IntoIterator<Item = &'a str>) -> Cow<'a, str> {
    if types.into_iter().any(|r#type| r#type == TYPE) {
        Cow::Owned(fingerprint(key, value))
    } else {
        Cow::Borrowed(value)
    }
}

/// The same for the same code in any letter case. There are few codes, so it is made under a key: without the key, trying them
/// all finds nothing.
pub fn fingerprint(key: &PasswordKey, value: &str) -> String {
    let digest = key.fingerprint(&[b"key code", value.to_ascii_lowercase().as_bytes()]);
    let digest: String = digest.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    format!("{TYPE} {digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_by_a_fingerprint_and_any_other_token_as_it_is() {
        let key = PasswordKey::new("a secret of thirty-two characters");
        assert_eq!(shown(&key, "04A1B2C3", ["ISO14443"]), "04A1B2C3");
        for types in [["KeyCode", "KeyCode"], ["KeyCode", "Local"], ["Local", "KeyCode"]] {
            let shown = shown(&key, "123456", types);
            assert!(!shown.contains("123456"), "{shown}");
        }
        assert_eq!(fingerprint(&key, "abc1"), fingerprint(&key, "ABC1"));
        assert_ne!(fingerprint(&key, "abc1"), fingerprint(&key, "abc2"));
        let other = PasswordKey::new("another secret of thirty-two characters");
        assert_ne!(fingerprint(&key, "abc1"), fingerprint(&other, "abc1"));
    }
}
