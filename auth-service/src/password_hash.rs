//! Password hashes: argon2id with 19 MiB, two passes, one lane, as PHC strings. A hash keeps a core busy for tens of
//! milliseconds, so as many run at once as there are cores, a short queue waits, and everybody else is sent away at
//! once: a storm of logins must not slow down what needs no hash.
//!
//! The memory of a hash is used again by the next one. Pieces of that size, allocated and freed on ever other threads, would
//! leave the process several times as large as the hashes that ever ran at once.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
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
    Argon2(#[from] argon2::Error),
    #[error("a password hash has no PHC form")]
    Form(#[from] argon2::password_hash::Error),
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
    memory: Memory,
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
        let memory = Memory::default();
        let decoy = {
            let memory = memory.clone();
            tokio::task::spawn_blocking(move || hash(&rand::random::<[u8; 32]>(), &memory)).await??
        };
        Ok(Self {
            running: Arc::new(Semaphore::new(running)),
            admitted: Arc::new(Semaphore::new(running + waiting)),
            memory,
            decoy,
        })
    }

    pub async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        let memory = self.memory.clone();
        self.run(move || hash(password.as_str().as_bytes(), &memory)).await
    }

    /// Whether the password is the one behind `stored`. Takes as long where nothing is stored, and is `false` then.
    pub async fn verify(&self, password: String, stored: Option<PasswordHash>) -> Result<bool, HashError> {
        let known = stored.is_some();
        let expected = stored.unwrap_or_else(|| self.decoy.clone());
        let memory = self.memory.clone();
        let matches = self
            .run(move || verify(password.as_bytes(), &expected, &memory))
            .await?;
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

/// What hashes that have run worked in: as many pieces as ever ran at once.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<Vec<Block>>>>);

impl Memory {
    fn take(&self) -> Vec<Block> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().unwrap_or_default()
    }

    fn put_back(&self, piece: Vec<Block>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
    }

    /// The hash of `password`, as long as `params` say or else as usual.
    fn argon2id(&self, version: Version, params: Params, password: &[u8], salt: &[u8]) -> Result<Output, HashError> {
        let mut piece = self.take();
        piece.resize(params.block_count().max(piece.len()), Block::default());
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let blocks = params.block_count();
        let argon2id = Argon2::new(Algorithm::Argon2id, version, params);
        let mut output = [0; Output::MAX_LENGTH];
        let output = &mut output[..length.min(Output::MAX_LENGTH)];
        let hashed = argon2id.hash_password_into_with_memory(password, salt, output, &mut piece[..blocks]);
        self.put_back(piece);
        hashed?;
        Ok(Output::new(output)?)
    }
}

fn hash(password: &[u8], memory: &Memory) -> Result<PasswordHash, HashError> {
    let (version, params, salt) = (Version::V0x13, Params::DEFAULT, Salt::generate());
    let phc = Phc {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(&params)?,
        hash: Some(memory.argon2id(version, params, password, &salt)?),
        salt: Some(salt),
    };
    Ok(PasswordHash(phc.to_string()))
}

/// With the parameters of the hash that is stored: one from before may have others.
fn verify(password: &[u8], stored: &PasswordHash, memory: &Memory) -> Result<bool, HashError> {
    let stored = Phc::new(&stored.0)?;
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
        return Ok(false);
    };
    let version = stored.version.map_or(Ok(Version::default()), Version::try_from)?;
    let params = Params::try_from(&stored)?;
    if stored.algorithm != Algorithm::Argon2id.ident() {
        return Ok(false);
    }
    // Compared in constant time.
    Ok(memory.argon2id(version, params, password, &salt)? == expected)
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
    async fn hashes_that_run_one_after_the_other_share_their_memory_and_nothing_else() {
        let hasher = PasswordHasher::with_limits(2, 8).await.unwrap();
        let hash = hasher.hash(password()).await.unwrap();
        for _ in 0..3 {
            for (text, expected) in [("another password", false), ("correct horse", true)] {
                let matches = hasher.verify(text.to_owned(), Some(hash.clone())).await.unwrap();
                assert_eq!(matches, expected, "{text}");
            }
        }
        let pieces: Vec<usize> = hasher.memory.0.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(pieces, [19 * 1024]);
    }

    /// Whoever else implements argon2 has to agree, and hashes from before have to go on working.
    #[test]
    fn hashes_are_those_of_the_library() {
        use argon2::{PasswordHasher as _, PasswordVerifier as _};
        let memory = Memory::default();
        for params in [Params::DEFAULT, Params::new(64, 1, 1, None).unwrap()] {
            let library = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let theirs: Phc = library.hash_password(b"correct horse").unwrap();
            let theirs = PasswordHash(theirs.to_string());
            assert!(verify(b"correct horse", &theirs, &memory).unwrap());
            assert!(!verify(b"correct mouse", &theirs, &memory).unwrap());
        }
        let ours = hash(b"correct horse", &memory).unwrap();
        let ours = Phc::new(ours.as_str()).unwrap();
        assert!(
            argon2::Argon2::default()
                .verify_password(b"correct horse", &ours)
                .is_ok()
        );
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
