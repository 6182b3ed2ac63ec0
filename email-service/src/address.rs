//! Mail addresses that callers name.

use lettre::Address;
use service_kit::reason::FieldViolation;

/// As long as an address may be (RFC 5321, section 4.5.3.1.3, without the angle brackets).
const LONGEST: usize = 254;

/// Servers that take other than ASCII (SMTPUTF8) are too few to count on; a domain has its `xn--` form for that. A local part in
/// quotes is none that anybody has.
///
/// # Errors
/// Under the name of the field.
pub(crate) fn parse(field: &str, text: &str) -> Result<Address, FieldViolation> {
    text.parse()
        .ok()
        .filter(|_| text.is_ascii() && text.len() <= LONGEST && !text.contains(['"', '[']))
        .ok_or_else(|| FieldViolation::new(field, "is not a mail address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_and_of_a_mailbox() {
        for good in [
            "mara@example.org",
            "m.l+volt@mail.example.org",
            "a@xn--bcher-kva.example",
        ] {
            assert!(parse("email", good).is_ok(), "{good}");
        }
        let long = format!("{}@example.org", "x".repeat(250));
        for bad in [
            "",
            "mara",
            "mara@",
            "@example.org",
            "a b@example.org",
            "a@example.org\r\nBcc: b@example.org",
            "\"a b\"@example.org",
            "a@[127.0.0.1]",
            "m\u{e4}ra@example.org",
            &long,
        ] {
            assert!(parse("email", bad).is_err(), "{bad}");
        }
    }
}
