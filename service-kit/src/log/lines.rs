//! Where lines go: to a thread of their own, which writes them to standard error.
//!
//! Whoever logs never waits for whoever reads: a pipe that nobody empties, or a slow disk, would else stop every task of the process,
//! one line after the other. So lines wait in a queue of a bounded size; where it is full they are dropped, and counted.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::start::StartError;

/// Lines that wait at most.
const ROOM: usize = 8192;

/// Written at once, in bytes, where many wait.
const CHUNK: usize = 64 * 1024;

/// For the last lines, when the process ends.
const FLUSH: Duration = Duration::from_secs(3);

/// Between attempts to say that it ends, while the queue is full.
const AGAIN: Duration = Duration::from_millis(10);

/// The lines of this process. Like standard error, there is one of them.
static LINES: OnceLock<Lines> = OnceLock::new();

/// A way for lines to where they are written.
#[derive(Clone, Debug)]
pub struct Lines(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    waiting: SyncSender<Word>,
    /// The process ends: who says something now has to wait until it is written, for nobody would do it later.
    is_over: AtomicBool,
}

/// What the thread is told.
#[derive(Debug)]
enum Word {
    Line(Vec<u8>),
    /// Says so when everything before has been written.
    Flush(SyncSender<()>),
}

impl Lines {
    /// Those of the process, to standard error.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn of_process() -> Result<Self, StartError> {
        let lines = Self::to(io::stderr(), ROOM).map_err(|error| StartError::other("cannot start logging", error))?;
        Ok(LINES.get_or_init(|| lines).clone())
    }

    fn to(out: impl Write + Send + 'static, room: usize) -> io::Result<Self> {
        let (waiting, words) = sync_channel(room);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || write_all(&words, out))?;
        Ok(Self(Arc::new(Queue {
            waiting,
            is_over: AtomicBool::new(false),
        })))
    }

    fn say(&self, line: &[u8]) {
        match self.0.waiting.try_send(Word::Line(line.to_vec())) {
            Ok(()) if self.0.is_over.load(Ordering::Acquire) => self.finish(),
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => dropped().increment(1),
        }
    }

    /// Waits until everything is written that was said before; not for ever, where nobody takes it.
    fn finish(&self) {
        let (say_written, written) = sync_channel(1);
        let mut word = Word::Flush(say_written);
        let started = Instant::now();
        while let Err(TrySendError::Full(back)) = self.0.waiting.try_send(word) {
            if started.elapsed() >= FLUSH {
                return;
            }
            word = back;
            thread::sleep(AGAIN);
        }
        let _written_or_too_late = written.recv_timeout(FLUSH.saturating_sub(started.elapsed()));
    }
}

/// Has the last lines written when it is dropped, however the process ends; and those that come later one by one.
#[derive(Debug)]
#[must_use]
pub struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        if let Some(lines) = LINES.get() {
            lines.0.is_over.store(true, Ordering::Release);
            lines.finish();
        }
    }
}

/// Has the counter begin with 0, so that its first rise is seen as one.
pub fn announce() {
    dropped().increment(0);
}

fn dropped() -> metrics::Counter {
    metrics::counter!("voltgate_log_lines_dropped_total")
}

/// Until nobody can say anything any more.
fn write_all(words: &Receiver<Word>, out: impl Write) {
    let mut out = BufWriter::with_capacity(CHUNK, out);
    // There is nobody to tell that standard error is broken.
    while let Ok(word) = words.recv() {
        let _ = take(word, &mut out);
        while let Ok(word) = words.try_recv() {
            let _ = take(word, &mut out);
        }
        let _ = out.flush();
    }
}

fn take(word: Word, out: &mut impl Write) -> io::Result<()> {
    match word {
        Word::Line(line) => out.write_all(&line),
        Word::Flush(say_written) => {
            let flushed = out.flush();
            let _nobody_waits = say_written.try_send(());
            flushed
        }
    }
}

/// Takes whole lines: each is written by one call.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.say(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    /// Takes what is written only while nobody holds it.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_for_who_reads_and_what_is_lost_is_counted() {
        const SAID: usize = 1000;
        const ROOM: usize = 10;
        let recorder = PrometheusBuilder::new().build_recorder();
        let pipe = Pipe::default();
        let mut lines = Lines::to(pipe.clone(), ROOM).unwrap();
        let full = pipe.0.lock().unwrap();
        let started = Instant::now();
        metrics::with_local_recorder(&recorder, || {
            for number in 0..SAID {
                // Some thousand bytes each, so that what is gathered for one call does not hide that nobody reads.
                lines.write_all(format!("{number:>8000}\n").as_bytes()).unwrap();
            }
        });
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        drop(full);
        lines.finish();

        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        let numbers: Vec<usize> = text.lines().map(|line| line.trim().parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers.len() >= ROOM, "{numbers:?}");
        let dropped = recorder.handle().render();
        let dropped = dropped
            .lines()
            .find_map(|line| line.strip_prefix("voltgate_log_lines_dropped_total "));
        assert_eq!(dropped.unwrap().parse::<usize>().unwrap(), SAID - numbers.len());
    }

    #[test]
    fn at_the_end_each_line_is_written_before_anybody_goes_on() {
        let pipe = Pipe::default();
        let mut lines = Lines::to(pipe.clone(), ROOM).unwrap();
        lines.0.is_over.store(true, Ordering::Release);
        for number in 1..=100 {
            lines.write_all(b"a line\n").unwrap();
            assert_eq!(pipe.0.lock().unwrap().len(), number * b"a line\n".len());
        }
    }
}
