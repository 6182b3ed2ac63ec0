//! What is typed, line by line.

use std::io::{BufRead as _, IsTerminal as _};

use tokio::sync::mpsc;

/// Lines that wait to be dealt with.
const MOST_LINES: usize = 64;

/// The keyboard, or whatever standard input is.
pub struct Console {
    lines: mpsc::Receiver<String>,
    is_terminal: bool,
}

impl Console {
    /// Reads on a thread of its own, which ends with the process: a read of standard input cannot be called off.
    pub fn open() -> Self {
        let (sender, lines) = mpsc::channel(MOST_LINES);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            lines,
            is_terminal: std::io::stdin().is_terminal(),
        }
    }

    /// The next line. None when the person has closed the terminal's input; a file that has ended says nothing any more.
    pub async fn next(&mut self) -> Option<String> {
        match self.lines.recv().await {
            None if !self.is_terminal => std::future::pending().await,
            line => line,
        }
    }
}
