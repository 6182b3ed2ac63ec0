//! The Redis of a run. Its keys are whoever's who made them: tests that share it name theirs so that nobody else would.

/// Where it is.
///
/// # Panics
/// If `TEST_REDIS_URL` is missing: a test never passes for want of one.
pub fn redis_url() -> String {
    crate::required("TEST_REDIS_URL")
}
