//! Where a run is, on a terminal. Elsewhere nobody watches.

use std::io::{IsTerminal as _, Write as _, stderr};

/// One line that is written over and over.
pub struct Progress {
    steps: usize,
    done: usize,
    shown: bool,
}

impl Progress {
    pub fn new(steps: usize) -> Self {
        Self {
            steps,
            done: 0,
            shown: stderr().is_terminal(),
        }
    }

    /// The next step begins.
    pub fn step(&mut self, what: &str) {
        self.done += 1;
        if self.shown {
            // A line that cannot be shown is no reason to stop.
            let _ = write!(stderr(), "\r\x1b[K{}/{} {what}", self.done, self.steps);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
