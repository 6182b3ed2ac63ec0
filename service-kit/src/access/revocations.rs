//! Access tokens that are void before they expire, because the session that they come from ended or its account changed.
//! auth-service says which; whoever verifies tokens keeps them here for as long as such a token could be shown.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

/// Tokens of one session (`sid`) are void.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Revocation {
    pub session: Uuid,
    /// Void are those issued (`iat`) before this time, in seconds since 1970; all of them where there is none, because the
    /// session is over.
    pub issued_before: Option<i64>,
    /// When the last token that it could be about has expired, in seconds since 1970.
    pub expires_at: i64,
}

/// All revocations that matter now. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Revocations(Arc<RwLock<HashMap<Uuid, Revocation>>>);

impl Revocations {
    /// Whether a token that the session was given at `issued_at` is void.
    pub fn contain(&self, session: Uuid, issued_at: i64) -> bool {
        let revocations = self.0.read().unwrap_or_else(PoisonError::into_inner);
        revocations
            .get(&session)
            .is_some_and(|revocation| revocation.issued_before.is_none_or(|before| issued_at < before))
    }

    /// Takes these in as well, and lets go of those that have expired. What is void stays void, in whatever order and
    /// however often it is told. Answers with what was not known before, as it is known now.
    pub fn add(&self, revocations: impl IntoIterator<Item = Revocation>, now: i64) -> Vec<Revocation> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, revocation| revocation.expires_at > now);
        let mut news = Vec::new();
        for told in revocations.into_iter().filter(|told| told.expires_at > now) {
            let before = known.get(&told.session).copied();
            let after = before.map_or(told, |before| before.and(told));
            if before != Some(after) {
                known.insert(after.session, after);
                news.push(after);
            }
        }
        news
    }

    pub fn all(&self) -> Vec<Revocation> {
        let revocations = self.0.read().unwrap_or_else(PoisonError::into_inner);
        revocations.values().copied().collect()
    }
}

impl Revocation {
    fn and(self, other: Self) -> Self {
        Self {
            session: self.session,
            issued_before: self
                .issued_before
                .zip(other.issued_before)
                .map(|(one, other)| one.max(other)),
            expires_at: self.expires_at.max(other.expires_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SESSION: Uuid = Uuid::from_u128(1);

    fn revocation(issued_before: Option<i64>, expires_at: i64) -> Revocation {
        Revocation {
            session: SESSION,
            issued_before,
            expires_at,
        }
    }

    #[test]
    fn a_session_that_ended_has_no_valid_token_and_another_has() {
        let revocations = Revocations::default();
        revocations.add([revocation(None, 300)], 0);
        assert!(revocations.contain(SESSION, 0) && revocations.contain(SESSION, 299));
        assert!(!revocations.contain(Uuid::from_u128(2), 0));
    }

    #[test]
    fn a_session_that_goes_on_keeps_the_tokens_from_then_on() {
        let revocations = Revocations::default();
        revocations.add([revocation(Some(100), 400)], 0);
        assert!(revocations.contain(SESSION, 99));
        assert!(!revocations.contain(SESSION, 100));
    }

    #[test]
    fn what_is_told_again_is_no_news() {
        let revocations = Revocations::default();
        assert_eq!(
            revocations.add([revocation(Some(100), 400)], 0),
            [revocation(Some(100), 400)]
        );
        assert_eq!(
            revocations.add([revocation(Some(100), 400), revocation(Some(50), 300)], 0),
            []
        );
        assert_eq!(revocations.add([revocation(None, 350)], 0), [revocation(None, 400)]);
        assert_eq!(revocations.add([revocation(Some(200), 400)], 0), []);
    }

    #[test]
    fn what_has_expired_is_let_go() {
        let revocations = Revocations::default();
        revocations.add([revocation(None, 300)], 0);
        revocations.add([], 300);
        assert_eq!(revocations.all(), []);
        revocations.add([revocation(None, 300)], 300);
        assert_eq!(revocations.all(), []);
    }

    proptest! {
        #[test]
        fn the_order_in_which_revocations_arrive_does_not_matter(
            told in prop::collection::vec((prop::option::of(0..100_i64), 200..300_i64), 1..6),
            issued_at in 0..100_i64,
        ) {
            let told: Vec<_> = told.into_iter().map(|(before, expires)| revocation(before, expires)).collect();
            let (forwards, backwards) = (Revocations::default(), Revocations::default());
            for one in &told {
                forwards.add([*one], 0);
            }
            backwards.add(told.iter().rev().copied(), 0);
            prop_assert_eq!(forwards.all(), backwards.all());
            let void = told.iter().any(|one| one.issued_before.is_none_or(|before| issued_at < before));
            prop_assert_eq!(forwards.contain(SESSION, issued_at), void);
        }
    }
}
