//! The keys that verify access tokens, as a process that does not make them keeps them. It hears of them from whichever
//! replica of auth-service it asks, and one of those may be behind another: every change of the keys has a number, and
//! what is older than what is known counts for nothing.

use std::collections::HashMap;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::errors::Error;
use serde::Deserialize;

use super::verifier::Jwk;

/// A JSON Web Key Set as auth-service answers with it.
#[derive(Deserialize)]
pub(super) struct KeySet {
    keys: Vec<Jwk>,
    /// Of how many changes it is the outcome.
    #[serde(default)]
    revision: i64,
}

/// What is known of the keys.
#[derive(Default)]
pub(super) struct VerificationKeys {
    by_id: HashMap<String, DecodingKey>,
    revision: i64,
}

/// This comes from a replica that has not heard of the last change of the keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a replica tells of signing keys as they were before their last change")]
pub(super) struct Outdated;

impl VerificationKeys {
    pub fn get(&self, kid: &str) -> Option<&DecodingKey> {
        self.by_id.get(kid)
    }

    /// Takes the place of what was known.
    pub fn replace(&mut self, by_id: HashMap<String, DecodingKey>, revision: i64) -> Result<(), Outdated> {
        if revision < self.revision {
            return Err(Outdated);
        }
        *self = Self { by_id, revision };
        Ok(())
    }

    /// Lets go of every key but these. Says whether all of them are known.
    pub fn keep(&mut self, valid: &[String], revision: i64) -> Result<bool, Outdated> {
        if revision < self.revision {
            return Err(Outdated);
        }
        self.revision = revision;
        self.by_id.retain(|kid, _| valid.contains(kid));
        Ok(valid.iter().all(|kid| self.by_id.contains_key(kid)))
    }
}

impl KeySet {
    /// The keys by their ids, and the number of their last change.
    pub fn read(self) -> Result<(HashMap<String, DecodingKey>, i64), Error> {
        let mut by_id = HashMap::with_capacity(self.keys.len());
        for key in self.keys {
            by_id.insert(key.kid, DecodingKey::from_ed_components(&key.x)?);
        }
        Ok((by_id, self.revision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K1: &str = "K1";
    const K2: &str = "K2";

    fn keys(ids: &[&str]) -> HashMap<String, DecodingKey> {
        let key = || DecodingKey::from_ed_components("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let named = |id: &&str| (String::from(*id), key().expect("it is the key of RFC 8037"));
        ids.iter().map(named).collect()
    }

    fn list(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| String::from(*id)).collect()
    }

    #[test]
    fn a_replica_that_is_behind_takes_no_key_away_and_brings_none_back() {
        let mut known = VerificationKeys::default();
        assert_eq!(known.replace(keys(&[K1, K2]), 2), Ok(()));
        assert_eq!(known.keep(&list(&[K1]), 1), Err(Outdated));
        assert!(known.get(K2).is_some(), "it had not heard of it yet");
        assert_eq!(known.keep(&list(&[K1, K2]), 2), Ok(true));

        assert_eq!(known.keep(&list(&[K2]), 3), Ok(true));
        assert_eq!(known.replace(keys(&[K1, K2]), 2), Err(Outdated));
        assert!(known.get(K1).is_none(), "it is void");
    }

    #[test]
    fn a_key_that_was_told_of_and_is_not_known_is_known_once_it_is_fetched() {
        let mut known = VerificationKeys::default();
        assert_eq!(known.replace(keys(&[K1]), 1), Ok(()));
        assert_eq!(known.keep(&list(&[K1, K2]), 2), Ok(false));
        assert_eq!(known.replace(keys(&[K1]), 1), Err(Outdated));
        assert!(known.get(K1).is_some() && known.get(K2).is_none());
        assert_eq!(known.replace(keys(&[K1, K2]), 2), Ok(()));
        assert!(known.get(K2).is_some());
    }

    #[test]
    fn a_key_set_says_its_revision_and_one_that_does_not_is_older_than_all_others() {
        let read = |json: &str| serde_json::from_str::<KeySet>(json).expect("it is one").revision;
        assert_eq!(read(r#"{"keys": [], "revision": 7}"#), 7);
        assert_eq!(read(r#"{"keys": []}"#), 0);
    }
}
