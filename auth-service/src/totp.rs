//! What an authenticator app shows: TOTP codes (RFC 6238) in the one form that every app knows, with HMAC-SHA-1, six
//! digits and steps of thirty seconds. A clock may be one step off in either direction (section 5.2). That a code works
//! once only is up to whoever keeps the step that this module tells.

use chrono::{DateTime, Utc};
use qrcode::render::svg;
use qrcode::types::QrError;
use qrcode::{EcLevel, QrCode};
use thiserror::Error;
use totp_rs::{Builder, Secret, Totp, TotpError};

const STEP_SECONDS: i64 = 30;

/// The length of the hash, as RFC 4226 (section 4) recommends.
const SECRET_BYTES: usize = 20;

/// Longer names are cut off in the app, so that their QR code stays readable.
const LONGEST_LABEL: usize = 64;

/// The smallest width and height of the QR code where it is shown in its own size.
const QR_CODE_PIXELS: u32 = 256;

/// The secret that an app and this service share.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; SECRET_BYTES]);

#[derive(Debug, Error)]
pub enum NotShown {
    #[error("the otpauth URI could not be made")]
    Uri(#[from] TotpError),
    #[error("the QR code could not be drawn")]
    QrCode(#[from] QrError),
}

impl TotpSecret {
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// Nothing where these are not the bytes of a secret.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For those who type it.
    pub fn base32(&self) -> String {
        Secret::from(self.0).to_base32()
    }

    /// For apps: the secret under a label that tells its owner what it is for.
    pub fn uri(&self, site: &str, username: &str) -> Result<String, NotShown> {
        let label: String = username.chars().take(LONGEST_LABEL).collect();
        let totp = self
            .builder()
            .with_issuer(Some(site))
            .with_account_name(label)
            .build()?;
        Ok(totp.to_url()?)
    }

    /// The time step that `code` belongs to, if it is one of now and a later one than `last`.
    pub fn step(&self, code: &str, now: DateTime<Utc>, last: Option<i64>) -> Option<i64> {
        let totp = self.builder().build().ok()?;
        let current = now.timestamp().div_euclid(STEP_SECONDS);
        [current, current - 1, current + 1]
            .into_iter()
            .filter(|step| last.is_none_or(|last| *step > last))
            .find(|step| is_code(&totp, code, *step))
    }

    fn builder(&self) -> Builder {
        Builder::new().with_skew(0).with_secret(Secret::from(self.0))
    }
}

/// Compares in constant time.
fn is_code(totp: &Totp, code: &str, step: i64) -> bool {
    u64::try_from(step * STEP_SECONDS).is_ok_and(|time| totp.check(code, time).is_some())
}

/// An SVG document that shows `uri` to the camera of an app.
pub fn qr_code(uri: &str) -> Result<String, NotShown> {
    let code = QrCode::with_error_correction_level(uri, EcLevel::M)?;
    Ok(code
        .render::<svg::Color>()
        .min_dimensions(QR_CODE_PIXELS, QR_CODE_PIXELS)
        .build())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The secret of RFC 6238, appendix B.
    fn secret_of_rfc_6238() -> TotpSecret {
        TotpSecret::from_bytes(b"12345678901234567890").unwrap()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// RFC 6238, appendix B shows eight digits; with six, the same number ends the same way.
    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        for (time, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            let step = secret_of_rfc_6238().step(&code[2..], at(time), None);
            assert_eq!(step, Some(time / 30), "{time}");
        }
    }

    #[test]
    fn a_clock_may_be_one_step_off_and_no_more() {
        let (code, middle) = ("287082", 45);
        for off in [-30, -1, 0, 1, 30] {
            assert_eq!(
                secret_of_rfc_6238().step(code, at(middle + off), None),
                Some(1),
                "{off}"
            );
        }
        for off in [-46, 46, 60, 3600] {
            assert_eq!(secret_of_rfc_6238().step(code, at(middle + off), None), None, "{off}");
        }
    }

    #[test]
    fn a_code_that_was_used_and_those_before_it_do_not_count() {
        let secret = secret_of_rfc_6238();
        assert_eq!(secret.step("287082", at(59), Some(0)), Some(1));
        assert_eq!(secret.step("287082", at(59), Some(1)), None);
        assert_eq!(secret.step("287082", at(59), Some(2)), None);
    }

    #[test]
    fn nothing_but_six_digits_is_a_code() {
        for code in [
            "",
            "28708",
            "2870820",
            "94287082",
            "+87082",
            " 287082",
            "28708a",
            "２８７０８２",
        ] {
            assert_eq!(secret_of_rfc_6238().step(code, at(59), None), None, "{code}");
        }
    }

    #[test]
    fn an_app_is_told_the_secret_and_whose_it_is() {
        let uri = secret_of_rfc_6238().uri("Voltgate", "ada+ev@example.com").unwrap();
        let url = url::Url::parse(&uri).unwrap();
        assert_eq!((url.scheme(), url.host_str()), ("otpauth", Some("totp")));
        assert_eq!(url.path(), "/Voltgate:ada%2Bev%40example.com");
        let parameter = |name: &str| {
            let found = url.query_pairs().find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned())
        };
        assert_eq!(parameter("secret").unwrap(), secret_of_rfc_6238().base32());
        assert_eq!(parameter("issuer").unwrap(), "Voltgate");
        // Other values than what apps take where nothing is said would have to be said.
        for (name, usual) in [("algorithm", "SHA1"), ("digits", "6"), ("period", "30")] {
            assert!(parameter(name).is_none_or(|value| value == usual), "{uri}");
        }
    }

    #[test]
    fn the_longest_name_in_the_widest_script_still_makes_a_qr_code() {
        let uri = secret_of_rfc_6238().uri("Voltgate", &"𝔸".repeat(254)).unwrap();
        let svg = qr_code(&uri).unwrap();
        assert!(svg.contains("<svg") && svg.ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn secrets_are_of_160_bits_and_never_the_same() {
        let (one, other) = (TotpSecret::generate(), TotpSecret::generate());
        assert_eq!(one.base32().len(), 32);
        assert!(one != other);
        assert!(TotpSecret::from_bytes(one.as_bytes()).unwrap() == one);
        assert!(TotpSecret::from_bytes(&[0; 19]).is_none());
    }

    proptest! {
        /// Whatever is sent and kept, a step that was accepted is never accepted again.
        #[test]
        fn a_step_is_accepted_once(tries in prop::collection::vec((0_i64..6, 0_i64..180), 1..40)) {
            let secret = secret_of_rfc_6238();
            let totp = secret.builder().build().unwrap();
            let (mut last, mut accepted) = (None, Vec::new());
            for (step, now) in tries {
                let code = totp.generate(u64::try_from(step * STEP_SECONDS).unwrap()).to_string();
                if let Some(step) = secret.step(&code, at(now), last) {
                    prop_assert!(!accepted.contains(&step));
                    prop_assert!((now / STEP_SECONDS - step).abs() <= 1);
                    accepted.push(step);
                    last = Some(step);
                }
            }
        }
    }
}
