//! Password hashes: argon2id with 19 MiB, two passes, one lane, as PHC strings. A hash keeps a core busy for tens of
//! milliseconds, so as many run at once as there are cores, a short queue waits, and everybody else is sent away at
//! once: a storm of logins must not slow down what needs no hash.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::password::Password;

/// How many hashes may wait for each one that runs: about half a second of work.
const WAITING_PER_CORE: usize = 16;

/// The PHC string of a password, as the database keeps it.
#[derive(Clone)]
pub struct PasswordHash(String);

impl PasswordHash {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for PasswordHash {
    fn from(phc: String) -> Self {
        Self(phc)
    }
}

#[derive(Debug, Error)]
pub enum HashError {
    #[error("too many passwords are being hashed already")]
    Overloaded,
    #[error("the password could not be hashed")]
    Argon2(#[from] argon2::password_hash::Error),
    #[error("a stored password hash is not in PHC form")]
    NotPhc(#[from] argon2::password_hash::phc::Error),
    #[error("the thread that hashed the password ended early")]
    Thread(#[from] tokio::task::JoinError),
}

/// The bounded pool that hashes and verifies.
#[derive(Clone)]
pub struct PasswordHasher {
    running: Arc<Semaphore>,
    /// Counts those who wait as well as those who run.
    admitted: Arc<Semaphore>,
    /// What a password is compared with when there is no account, so that the answer takes as long.
    decoy: PasswordHash,
}

impl PasswordHasher {
    /// One hash at a time for each core of the machine.
    pub async fn start() -> Result<Self, HashError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_limits(cores, cores * WAITING_PER_CORE).await
    }

    async fn with_limits(running: usize, waiting: usize) -> Result<Self, HashError> {
        let decoy = tokio::task::spawn_blocking(|| hash(&rand::random::<[u8; 32]>())).await??;
        Ok(Self {
            running: Arc::new(Semaphore::new(running)),
            admitted: Arc::new(Semaphore::new(running + waiting)),
            decoy,
        })
    }

    pub async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        self.run(move || hash(password.as_str().as_bytes())).await
    }

    /// Whether the password is the one behind `stored`. Takes as long where nothing is stored, and is `false` then.
    pub async fn verify(&self, password: String, stored: Option<PasswordHash>) -> Result<bool, HashError> {
        let known = stored.is_some();
        let expected = stored.unwrap_or_else(|| self.decoy.clone());
        let matches = self.run(move || verify(password.as_bytes(), &expected)).await?;
        Ok(matches && known)
    }

    async fn run<T, F>(&self, work: F) -> Result<T, HashError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, HashError> + Send + 'static,
    {
        let admitted = self
            .admitted
            .clone()
            .try_acquire_owned()
            .map_err(|_| HashError::Overloaded)?;
        let turn = self
            .running
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| HashError::Overloaded)?;
        // A caller may go away, its hash runs on: the permits belong to the thread, not to the caller.
        tokio::task::spawn_blocking(move || {
            let _permits = (admitted, turn);
            work()
        })
        .await?
    }
}

fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn hash(password: &[u8]) -> Result<PasswordHash, HashError> {
    let phc: Phc = argon2id().hash_password(password)?;
    Ok(PasswordHash(phc.to_string()))
}

fn verify(password: &[u8], stored: &PasswordHash) -> Result<bool, HashError> {
    use argon2::password_hash::Error;
    match argon2id().verify_password(password, &Phc::new(&stored.0)?) {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn password() -> Password {
        Password::parse("correct horse", None).unwrap()
    }

    #[tokio::test]
    async fn a_hash_states_the_parameters_that_the_security_page_demands() {
        let hasher = PasswordHasher::with_limits(1, 1).await.unwrap();
        let hash = hasher.hash(password()).await.unwrap();
        assert!(
            hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hash.as_str()
        );
        assert!(hasher.decoy.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[tokio::test]
    async fn only_the_password_itself_verifies() {
        let hasher = PasswordHasher::with_limits(2, 8).await.unwrap();
        let hash = hasher.hash(password()).await.unwrap();
        assert!(
            hasher
                .verify("correct horse".to_owned(), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(
            !hasher
                .verify("Correct horse".to_owned(), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(!hasher.verify("correct horse ".to_owned(), Some(hash)).await.unwrap());
        assert!(!hasher.verify("correct horse".to_owned(), None).await.unwrap());
    }

    #[tokio::test]
    async fn two_hashes_of_one_password_differ() {
        let hasher = PasswordHasher::with_limits(2, 8).await.unwrap();
        let (one, other) = (
            hasher.hash(password()).await.unwrap(),
            hasher.hash(password()).await.unwrap(),
        );
        assert_ne!(one.as_str(), other.as_str());
    }

    /// Work that holds its core until the sender is dropped.
    fn gate() -> (
        std::sync::mpsc::Sender<()>,
        impl FnOnce() -> Result<(), HashError> + Send + 'static,
    ) {
        let (open, opened) = std::sync::mpsc::channel::<()>();
        (open, move || {
            opened.recv().ok();
            Ok(())
        })
    }

    async fn admitted(hasher: &PasswordHasher, free: usize) {
        while hasher.admitted.available_permits() != free {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_storm_is_shed_and_the_pool_recovers() {
        let hasher = PasswordHasher::with_limits(1, 2).await.unwrap();
        let (open, work) = gate();
        let running = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.run(work).await }
        });
        admitted(&hasher, 2).await;
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.hash(password()).await })
            })
            .collect();
        admitted(&hasher, 0).await;
        for _ in 0..20 {
            assert!(matches!(hasher.hash(password()).await, Err(HashError::Overloaded)));
        }
        drop(open);
        running.await.unwrap().unwrap();
        for patient in waiting {
            assert!(patient.await.unwrap().is_ok());
        }
        assert!(hasher.hash(password()).await.is_ok());
    }

    #[tokio::test]
    async fn a_caller_who_leaves_makes_no_room_while_its_hash_still_runs() {
        let hasher = PasswordHasher::with_limits(1, 0).await.unwrap();
        let (open, work) = gate();
        assert!(
            tokio::time::timeout(std::time::Duration::ZERO, hasher.run(work))
                .await
                .is_err()
        );
        assert!(matches!(hasher.hash(password()).await, Err(HashError::Overloaded)));
        drop(open);
        admitted(&hasher, 1).await;
        assert!(hasher.hash(password()).await.is_ok());
    }
}
