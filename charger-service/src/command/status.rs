//! What has become of a command.

/// `queued → sent → accepted | rejected | error | timeout`, or `queued → expired`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Queued,
    /// On the wire, and the answer is due.
    Sent,
    Accepted,
    Rejected,
    /// Answered with a CALLERROR, or with something that cannot be understood.
    Error,
    /// Not answered in time, or not before the connection ended. Whether it took effect is unknown.
    Timeout,
    /// Never sent.
    Expired,
}

impl Status {
    const ALL: [Self; 7] = [
        Self::Queued,
        Self::Sent,
        Self::Accepted,
        Self::Rejected,
        Self::Error,
        Self::Timeout,
        Self::Expired,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Nothing more will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Sent)
    }
}
