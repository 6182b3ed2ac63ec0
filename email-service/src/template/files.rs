//! The files that templates are made of.

/// Each under its name.
macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../templates/", $name)))),*]
    };
}

/// Those of one kind end in `.subject`, `.txt` and `.html`; this last extension is what switches escaping on. In other languages than
/// English they stand in a folder that is named after the language's tag. What is missing there is taken from English, all three at
/// once.
pub(super) const FILES: &[(&str, &str)] = files! {
    "layout.html" "parts.html"
    "account-deleted.subject" "account-deleted.txt" "account-deleted.html"
    "email-changed.subject" "email-changed.txt" "email-changed.html"
    "known-email.subject" "known-email.txt" "known-email.html"
    "letter.subject" "letter.txt" "letter.html"
    "new-sign-in.subject" "new-sign-in.txt" "new-sign-in.html"
    "notices.subject" "notices.txt" "notices.html"
    "password-changed.subject" "password-changed.txt" "password-changed.html"
    "receipt.subject" "receipt.txt" "receipt.html"
    "reset-password.subject" "reset-password.txt" "reset-password.html"
    "second-factor-changed.subject" "second-factor-changed.txt" "second-factor-changed.html"
    "verify-email.subject" "verify-email.txt" "verify-email.html"
    "welcome.subject" "welcome.txt" "welcome.html"
    "de/layout.html" "de/parts.html"
    "de/account-deleted.subject" "de/account-deleted.txt" "de/account-deleted.html"
    "de/email-changed.subject" "de/email-changed.txt" "de/email-changed.html"
    "de/known-email.subject" "de/known-email.txt" "de/known-email.html"
    "de/letter.subject" "de/letter.txt" "de/letter.html"
    "de/new-sign-in.subject" "de/new-sign-in.txt" "de/new-sign-in.html"
    "de/notices.subject" "de/notices.txt" "de/notices.html"
    "de/password-changed.subject" "de/password-changed.txt" "de/password-changed.html"
    "de/receipt.subject" "de/receipt.txt" "de/receipt.html"
    "de/reset-password.subject" "de/reset-password.txt" "de/reset-password.html"
    "de/second-factor-changed.subject" "de/second-factor-changed.txt" "de/second-factor-changed.html"
    "de/verify-email.subject" "de/verify-email.txt" "de/verify-email.html"
    "de/welcome.subject" "de/welcome.txt" "de/welcome.html"
};
