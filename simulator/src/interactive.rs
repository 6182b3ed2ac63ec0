//! One charge point that somebody plays by hand: it boots, sends heartbeats as told, and does what the central system and the
//! person at the keyboard want of it.

mod configuration;
mod connector;
mod console;
mod order;
mod play;
mod wishes;

use std::io::Write as _;

use anyhow::Result;
use chrono::Local;
use tokio::signal::unix::{SignalKind, signal};

use self::console::Console;
use self::play::Play;
use crate::settings::StationSettings;

/// Plays until the person has had enough.
///
/// # Errors
/// There is no such place to connect to.
pub async fn run(settings: StationSettings) -> Result<()> {
    let central = settings.connection.central_system().await?;
    let console = Console::open();
    let interrupts = signal(SignalKind::interrupt())?;
    say("`help` lists what can be typed");
    Play::new(central, &settings).run(console, interrupts).await;
    Ok(())
}

/// Tells the person something.
fn say(text: &str) {
    let line = format!("{} {text}\n", Local::now().format("%H:%M:%S"));
    let mut out = std::io::stdout().lock();
    // Nobody may be there to read it.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Shows a frame.
fn show(direction: char, frame: &str) {
    say(&format!("{direction} {frame}"));
}
