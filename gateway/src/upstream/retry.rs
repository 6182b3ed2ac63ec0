//! How much may be tried again. Retries help when little fails, and finish off a service that is struggling: they are a
//! fifth of all calls at most.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a call pays in, and what a retry takes out.
const DEPOSIT: u32 = 1;
const PRICE: u32 = 5;

/// What is there at the start, and at most: so many retries may come at once.
const RESERVE: u32 = 10 * PRICE;
const LARGEST: u32 = 100 * PRICE;

/// The retries that one service may be asked for.
#[derive(Debug)]
pub struct RetryBudget(AtomicU32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU32::new(RESERVE))
    }
}

impl RetryBudget {
    /// A call is made.
    pub fn deposit(&self) {
        self.update(|balance| Some((balance + DEPOSIT).min(LARGEST)));
    }

    /// Asks for a retry.
    pub fn withdraw(&self) -> bool {
        self.update(|balance| balance.checked_sub(PRICE))
    }

    fn update(&self, change: impl FnMut(u32) -> Option<u32>) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn retries_never_exceed_a_fifth_of_the_calls_beyond_the_reserve(steps in proptest::collection::vec(any::<bool>(), 0..2000)) {
            let budget = RetryBudget::default();
            let (mut calls, mut retries) = (0, 0);
            for is_call in steps {
                if is_call {
                    budget.deposit();
                    calls += 1;
                } else if budget.withdraw() {
                    retries += 1;
                }
                prop_assert!(retries * PRICE <= RESERVE + calls * DEPOSIT);
            }
        }
    }
}
