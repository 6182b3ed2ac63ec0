//! The states of a message, as the database and the API spell them.

/// See the picture in the [parent module](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Waits for its time.
    Queued,
    /// An attempt is being made, or whoever made it died.
    Sending,
    /// A mail server, or the file system, has it.
    Sent,
    /// Given up; the last error says why.
    Failed,
    /// Its code expired before any mail server had it.
    Expired,
    /// Its address was suppressed when its turn came.
    Suppressed,
    /// Its account has no verified address.
    Unaddressed,
}

impl Status {
    pub const ALL: &[Self] = &[
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Failed,
        Self::Expired,
        Self::Suppressed,
        Self::Unaddressed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Suppressed => "suppressed",
            Self::Unaddressed => "unaddressed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_reads_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(*status));
        }
        assert_eq!(Status::parse("Sent"), None);
    }
}
