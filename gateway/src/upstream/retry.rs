//! How much may be tried again. Retries help when little fails, and finish off a service that is struggling: they are a
//! part of all calls at most.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a retry takes out. A call pays in as many hundredths of it as the settings say.
const PRICE: u32 = 100;

/// What is there at the start, and at most: so many retries may come at once.
const RESERVE: u32 = 10 * PRICE;
const LARGEST: u32 = 100 * PRICE;

/// The retries that one service may be asked for.
#[derive(Debug)]
pub struct RetryBudget {
    deposit: u32,
    balance: AtomicU32,
}

impl RetryBudget {
    /// So many retries for a hundred calls; none at all where it is 0.
    pub fn new(percent: u32) -> Self {
        Self {
            deposit: percent,
            balance: AtomicU32::new(if percent == 0 { 0 } else { RESERVE }),
        }
    }

    /// A call is made.
    pub fn deposit(&self) {
        self.update(|balance| Some((balance + self.deposit).min(LARGEST)));
    }

    /// Asks for a retry.
    pub fn withdraw(&self) -> bool {
        self.update(|balance| balance.checked_sub(PRICE))
    }

    fn update(&self, change: impl FnMut(u32) -> Option<u32>) -> bool {
        self.balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn where_no_call_may_be_made_again_none_is() {
        let budget = RetryBudget::new(0);
        budget.deposit();
        assert!(!budget.withdraw());
    }

    proptest! {
        #[test]
        fn retries_never_exceed_their_part_of_the_calls_beyond_the_reserve(
            percent in 1..=100_u32,
            steps in proptest::collection::vec(any::<bool>(), 0..2000),
        ) {
            let budget = RetryBudget::new(percent);
            let (mut calls, mut retries) = (0, 0);
            for is_call in steps {
                if is_call {
                    budget.deposit();
                    calls += 1;
                } else if budget.withdraw() {
                    retries += 1;
                }
                prop_assert!(retries * PRICE <= RESERVE + calls * percent);
            }
        }
    }
}
