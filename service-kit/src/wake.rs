//! Waking a worker that lives from a table: by `NOTIFY` as soon as a row is committed, and by the clock in any case.
//!
//! A notification is a hint and nothing more. PostgreSQL does not keep it for a listener that is away, so whoever waits
//! here looks at the table whenever it is woken, whatever woke it.

use std::time::Duration;

use sqlx::{PgPool, postgres::PgListener};
use tokio::time::{Instant, timeout_at};

/// Waits for notifications on one channel. Holds one connection of the pool while it can get one.
pub struct Wake {
    database: PgPool,
    channel: String,
    listener: Option<PgListener>,
}

impl Wake {
    pub fn on(database: PgPool, channel: impl Into<String>) -> Self {
        Self {
            database,
            channel: channel.into(),
            listener: None,
        }
    }

    /// Returns at the next notification, or after `longest` at the latest. Without a database it is just a pause.
    ///
    /// Safe to cancel: a notification lost that way is made up for by the worker's next look at its table.
    pub async fn wait(&mut self, longest: Duration) {
        let until = Instant::now() + longest;
        match timeout_at(until, self.notification()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::debug!(channel = self.channel, %error, "Notifications cannot be listened for; polling instead");
                self.listener = None;
                tokio::time::sleep_until(until).await;
            }
        }
    }

    async fn notification(&mut self) -> Result<(), sqlx::Error> {
        let listener = match self.listener.as_mut() {
            Some(listener) => listener,
            None => {
                let mut listener = PgListener::connect_with(&self.database).await?;
                listener.listen(&self.channel).await?;
                self.listener = Some(listener);
                // Whatever was committed before we listened went unheard.
                return Ok(());
            }
        };
        // `None` is a connection lost and made anew: notifications may have been missed, so that counts as one.
        listener.try_recv().await?;
        // One look at the table serves all that are waiting already.
        while listener.next_buffered().is_some() {}
        Ok(())
    }
}
