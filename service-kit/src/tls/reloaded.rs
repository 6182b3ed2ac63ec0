//! Something made of files, and made again when they change.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

use super::expiry::Expiry;
use super::files::{FileError, Files};
use crate::clock::SharedClock;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The newest that could be made. The files are looked at every few seconds, and at once on SIGHUP; what cannot be used
/// is logged, and the old stays.
pub struct Reloaded<T> {
    current: Arc<RwLock<Arc<T>>>,
    again: Arc<Notify>,
    /// Ends with the last clone.
    _watch: Arc<AbortOnDropHandle<()>>,
}

/// Those that are made by the same watch are the same.
impl<T> PartialEq for Reloaded<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.current, &other.current)
    }
}

impl<T> Eq for Reloaded<T> {}

impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reloaded")
    }
}

impl<T> Clone for Reloaded<T> {
    fn clone(&self) -> Self {
        Self {
            current: Arc::clone(&self.current),
            again: Arc::clone(&self.again),
            _watch: Arc::clone(&self._watch),
        }
    }
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads the files and makes the first. To be called inside the runtime, which watches them from then on.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn load(
        paths: Vec<PathBuf>,
        clock: SharedClock,
        make: impl Fn(&Files) -> Result<T, FileError> + Send + 'static,
    ) -> Result<Self, FileError> {
        let files = Files::read(&paths)?;
        let current = Arc::new(RwLock::new(Arc::new(make(&files)?)));
        let again = Arc::new(Notify::new());
        let watch = Watch {
            current: Arc::clone(&current),
            again: Arc::clone(&again),
            paths,
            make,
            clock,
            expiry: Expiry::of(&files),
            used: Ok(files),
        };
        Ok(Self {
            current,
            again,
            _watch: Arc::new(AbortOnDropHandle::new(tokio::spawn(watch.run()))),
        })
    }

    /// Has it made again soon, from the files as they are: something else that it is made of has changed.
    pub fn renew(&self) {
        self.again.notify_one();
    }

    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Watch<T, F> {
    current: Arc<RwLock<Arc<T>>>,
    again: Arc<Notify>,
    paths: Vec<PathBuf>,
    make: F,
    clock: SharedClock,
    expiry: Expiry,
    /// What was read when something was last made, or could not be.
    used: Result<Files, FileError>,
}

impl<T, F: Fn(&Files) -> Result<T, FileError>> Watch<T, F> {
    async fn run(mut self) {
        let mut hangups = hangups();
        let mut last = self.used.clone();
        loop {
            self.expiry.tell(self.clock.now());
            let (told, anew) = tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => (false, false),
                () = hangup(&mut hangups) => (true, false),
                () = self.again.notified() => (true, true),
            };
            let paths = self.paths.clone();
            let Ok(read) = spawn_blocking(move || Files::read(&paths)).await else {
                // The runtime ends.
                return;
            };
            // A certificate and its key are seldom replaced in one instant: they are taken when they stand still.
            let settled = told || read == last;
            if settled && (anew || read != self.used) {
                self.take(read.clone());
            }
            last = read;
        }
    }

    fn take(&mut self, read: Result<Files, FileError>) {
        let made = read.as_ref().map_err(Clone::clone).and_then(|files| {
            let made = (self.make)(files)?;
            Ok((made, Expiry::of(files)))
        });
        match made {
            Ok((made, expiry)) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(made);
                self.expiry = expiry;
                tracing::info!(files = ?self.paths, "New certificates are in use");
            }
            Err(FileError { path, problem }) => tracing::error!(
                file = %path.display(),
                problem,
                "A changed certificate or key cannot be used; the one before stays"
            ),
        }
        self.used = read;
    }
}

/// Without a handler the signal would end the process.
fn hangups() -> Option<Signal> {
    signal(SignalKind::hangup())
        .inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be listened for"))
        .ok()
}

async fn hangup(hangups: &mut Option<Signal>) {
    match hangups {
        // It never ends while there is a runtime.
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use testbed::certificates::{Authority, Subject};

    use super::*;
    use crate::clock::SystemClock;

    async fn becomes(reloaded: &Reloaded<usize>, expected: usize) {
        for _ in 0..200 {
            if *reloaded.current() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{} certificates are in use, not {expected}", reloaded.current());
    }

    #[tokio::test]
    async fn a_changed_file_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certificates.pem");
        let one = Authority::new("test").issue(&Subject::named("one")).pem();
        std::fs::write(&path, &one).unwrap();
        let watched = path.clone();
        let make = move |files: &Files| match files.certificates(&watched)?.len() {
            0 => Err(FileError::new(&watched, "holds no certificate")),
            many => Ok(many),
        };
        let reloaded = Reloaded::load(vec![path.clone()], Arc::new(SystemClock), make).unwrap();
        assert_eq!(*reloaded.current(), 1);

        std::fs::write(&path, one.repeat(2)).unwrap();
        becomes(&reloaded, 2).await;
        std::fs::write(&path, "broken").unwrap();
        tokio::time::sleep(LOOK_EVERY * 3).await;
        assert_eq!(*reloaded.current(), 2);
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(LOOK_EVERY * 3).await;
        assert_eq!(*reloaded.current(), 2);
        std::fs::write(&path, one.repeat(3)).unwrap();
        becomes(&reloaded, 3).await;
    }
}
