//! Notices: what operators have asked to be told of. Each waits a while, so that whatever happens together is one mail.

mod digest;
mod note;
mod replacement;
mod subscription;
mod unsubscribe;

pub(crate) use digest::send_due;
pub(crate) use note::{Occurrence, note};
pub(crate) use replacement::Replacement;
pub(crate) use subscription::{delete, erase, get, list, replace};
pub(crate) use unsubscribe::unsubscribe;

/// What is told, as the database and the API spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Offline,
    Faulted,
    CertificateExpiring,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Offline, Self::Faulted, Self::CertificateExpiring];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Faulted => "faulted",
            Self::CertificateExpiring => "certificate-expiring",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
