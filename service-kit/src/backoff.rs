//! How long to wait before trying again something that failed: twice as long each time, up to a bound, with jitter so
//! that many who failed together do not come back together.

use std::time::Duration;

use rand::RngExt as _;

/// The bounds of a series of waits.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// The wait after `failures` failures in a row (from 1 on): somewhere in the upper half of its bound.
    pub fn after(&self, failures: u32) -> Duration {
        self.with_jitter(failures, rand::rng().random::<f64>())
    }

    fn with_jitter(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let bound = self.first.saturating_mul(1 << doublings).min(self.longest);
        bound.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(30),
    };

    #[test]
    fn waits_double_up_to_their_bound() {
        let bounds: Vec<_> = (1..=8)
            .map(|failures| BACKOFF.with_jitter(failures, 1.0).as_secs())
            .collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(BACKOFF.with_jitter(u32::MAX, 1.0).as_secs(), 30);
    }

    #[test]
    fn jitter_takes_off_half_at_most() {
        assert_eq!(BACKOFF.with_jitter(3, 0.0), Duration::from_secs(2));
        for failures in 0..40 {
            let wait = BACKOFF.after(failures);
            assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_secs(30));
        }
    }
}
