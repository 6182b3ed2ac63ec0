//! What mail says: one subject, one text and one HTML file for each kind and language, compiled into the binary.
//!
//! Values come from strangers. They lose everything that is not visible text before they get into a template, and HTML escapes them by
//! itself ([`render`]). Templates decide nothing beyond leaving out what is not there; what they need is passed in.

mod files;
mod language;
mod render;
mod samples;
mod wording;

pub(crate) use language::Language;
pub(crate) use render::{Rendered, Templates};
pub(crate) use samples::sample;

/// Every kind of mail, by the name that stands in the database and in the API.
macro_rules! kinds {
    ($($kind:ident = $name:literal,)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Template { $($kind,)+ }

        impl Template {
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }
        }
    };
}

kinds! {
    AccountDeleted = "account-deleted",
    EmailChanged = "email-changed",
    KnownEmail = "known-email",
    // What an administrator writes.
    Letter = "letter",
    NewSignIn = "new-sign-in",
    // What operators wanted to be told of.
    Notices = "notices",
    PasswordChanged = "password-changed",
    Receipt = "receipt",
    ResetPassword = "reset-password",
    SecondFactorChanged = "second-factor-changed",
    VerifyEmail = "verify-email",
    Welcome = "welcome",
}

impl Template {
    /// Reads a name as it stands in the database.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|template| template.name() == name)
    }

    /// Whether it is for an account, wherever that is reached when its turn comes, and not for an address that an event named.
    pub fn is_for_an_account(self) -> bool {
        match self {
            Self::Notices | Self::Receipt => true,
            Self::AccountDeleted
            | Self::EmailChanged
            | Self::KnownEmail
            | Self::Letter
            | Self::NewSignIn
            | Self::PasswordChanged
            | Self::ResetPassword
            | Self::SecondFactorChanged
            | Self::VerifyEmail
            | Self::Welcome => false,
        }
    }

    /// The longest value that it shows, in characters. Nobody's name is longer than most allow, and nobody gets to send a letter of
    /// their own to a stranger; whoever may write one may say more.
    fn longest_value(self) -> usize {
        match self {
            Self::Letter => 2000,
            // Names of sites and charge points.
            Self::Notices | Self::Receipt => 255,
            Self::AccountDeleted
            | Self::EmailChanged
            | Self::KnownEmail
            | Self::NewSignIn
            | Self::PasswordChanged
            | Self::ResetPassword
            | Self::SecondFactorChanged
            | Self::VerifyEmail
            | Self::Welcome => 64,
        }
    }
}
