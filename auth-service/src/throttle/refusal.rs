//! What somebody is told who has to wait.

use std::time::Duration;

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::reason::{Reason, whole_seconds};
use thiserror::Error;
use tonic::Status;
use tonic::metadata::MetadataValue;

use super::policy::{Policy, Purpose};

#[derive(Debug, Error)]
pub enum ThrottleError {
    #[error("there were too many attempts")]
    Refused(Refusal),
    #[error("attempts could not be counted")]
    Database(#[from] sqlx::Error),
}

/// Why an attempt was refused, and for how long that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub(super) purpose: Purpose,
    pub(super) policy: Policy,
    pub(super) until: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
}

impl Refusal {
    /// How long to wait before the next attempt.
    pub fn wait(&self) -> Duration {
        (self.until - self.now).to_std().unwrap_or_default()
    }

    /// How many attempts in how many seconds.
    fn quota_and_window(&self) -> (u32, u32) {
        (self.policy.free, self.policy.free * self.policy.leak)
    }
}

impl From<ThrottleError> for Status {
    fn from(error: ThrottleError) -> Self {
        match error {
            ThrottleError::Refused(refusal) => {
                let message = "There were too many attempts of late; wait before the next one";
                too_many(
                    refusal.purpose.name(),
                    refusal.quota_and_window(),
                    refusal.wait(),
                    message,
                )
            }
            ThrottleError::Database(error) => database::failed(&error),
        }
    }
}

/// A refusal with the headers that tell of the limit (draft-ietf-httpapi-ratelimit-headers-10): `RateLimit-Policy`, how many attempts
/// there are in how many seconds, and `RateLimit`, that none are left for so many seconds.
pub fn too_many(limit: &str, (quota, window): (u32, u32), wait: Duration, message: &str) -> Status {
    let mut status = Reason::TooManyRequests.retry_after(wait, message);
    let seconds = whole_seconds(wait);
    for (name, value) in [
        ("ratelimit", format!("\"{limit}\";r=0;t={seconds}")),
        ("ratelimit-policy", format!("\"{limit}\";q={quota};w={window}")),
    ] {
        if let Ok(value) = MetadataValue::try_from(value) {
            status.metadata_mut().insert(name, value);
        }
    }
    status
}
