//! Where a campaign stands, and why it does where it is paused; and where each of its targets does.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Running,
    Paused,
    /// Each target has come to its end.
    Completed,
    /// Somebody ended it before.
    Canceled,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Completed, Self::Canceled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    /// It goes on no more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// It was created so.
    Created,
    Operator,
    /// The first wave is through, and somebody is to look at it.
    Canary,
    /// Too many.
    Failures,
    FirmwareGone,
    /// Charge points cannot be told any more where to fetch firmware.
    NoPublicUrl,
}

impl PauseReason {
    const ALL: [Self; 6] = [
        Self::Created,
        Self::Operator,
        Self::Canary,
        Self::Failures,
        Self::FirmwareGone,
        Self::NoPublicUrl,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Operator => "operator",
            Self::Canary => "canary",
            Self::Failures => "failures",
            Self::FirmwareGone => "firmware_gone",
            Self::NoPublicUrl => "no_public_url",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// What has become of a target: that of its command, and what only campaigns know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// It has no command yet.
    Waiting,
    Queued,
    Sent,
    /// It has taken firmware on, and has yet to tell that it is installed.
    Installing,
    Accepted,
    Rejected,
    Error,
    Timeout,
    /// It could not install the firmware.
    Failed,
    Expired,
    /// The campaign was canceled before anything was sent.
    Skipped,
}

impl TargetState {
    pub const ALL: [Self; 11] = [
        Self::Waiting,
        Self::Queued,
        Self::Sent,
        Self::Installing,
        Self::Accepted,
        Self::Rejected,
        Self::Error,
        Self::Timeout,
        Self::Failed,
        Self::Expired,
        Self::Skipped,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Installing => "installing",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Skipped => "skipped",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
