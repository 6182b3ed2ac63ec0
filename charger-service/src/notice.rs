//! What replicas tell each other, through PostgreSQL's NOTIFY.
//!
//! A notice is a hint that leaves with the commit of what it tells of. None is kept for a listener that is away, so
//! whoever listens looks at the tables again after each (re)connection.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::session::fence::Via;

const CHANNEL: &str = "ocpp";

/// Between attempts to listen while the database is away.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A command waits for this charge point.
    Queued { charge_point: Uuid },
    /// This charge point has a new session, or its session a new stream.
    Claimed(Via),
    /// An operator has ended the sessions of this charge point before this one, which is nobody's.
    Ended(Via),
    /// This command has an outcome.
    Completed { command: Uuid },
    /// This campaign has something to do.
    Campaign { campaign: Uuid },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queued { charge_point } => write!(f, "queued {charge_point}"),
            Self::Claimed(Via {
                charge_point,
                epoch,
                stream,
            }) => write!(f, "claimed {charge_point} {epoch} {stream}"),
            Self::Ended(Via {
                charge_point,
                epoch,
                stream,
            }) => write!(f, "ended {charge_point} {epoch} {stream}"),
            Self::Completed { command } => write!(f, "completed {command}"),
            Self::Campaign { campaign } => write!(f, "campaign {campaign}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("not a notice of this release")]
pub struct Unknown;

impl FromStr for Notice {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(Unknown);
        let kind = word()?;
        let id = word()?.parse().map_err(|_| Unknown)?;
        let mut via = || {
            Ok(Via {
                charge_point: id,
                epoch: word()?.parse().map_err(|_| Unknown)?,
                stream: word()?.parse().map_err(|_| Unknown)?,
            })
        };
        match kind {
            "queued" => Ok(Self::Queued { charge_point: id }),
            "claimed" => via().map(Self::Claimed),
            "ended" => via().map(Self::Ended),
            "completed" => Ok(Self::Completed { command: id }),
            "campaign" => Ok(Self::Campaign { campaign: id }),
            _ => Err(Unknown),
        }
    }
}

/// Tells every replica, this one too, once the connection's transaction commits.
pub async fn tell(connection: &mut PgConnection, notices: &[Notice]) -> Result<(), sqlx::Error> {
    if notices.is_empty() {
        return Ok(());
    }
    let notices: Vec<String> = notices.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "SELECT pg_notify($1, notice) FROM unnest($2::text[]) AS notice",
        CHANNEL,
        &notices
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Something to act on.
#[derive(Debug, Clone, Copy)]
pub enum Heard {
    Notice(Notice),
    /// Notices may have been missed: look at everything again.
    Anything,
}

/// Listens, through every outage of the database. Holds one connection of the pool while it can get one.
pub struct Listener {
    database: PgPool,
    connection: Option<PgListener>,
}

impl Listener {
    pub fn on(database: PgPool) -> Self {
        Self {
            database,
            connection: None,
        }
    }

    pub async fn heard(&mut self) -> Heard {
        loop {
            match self.next().await {
                Ok(heard) => return heard,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Notices of other replicas cannot be heard; trying again"
                    );
                    self.connection = None;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Heard, sqlx::Error> {
        let Some(connection) = &mut self.connection else {
            let mut connection = PgListener::connect_with(&self.database).await?;
            connection.listen(CHANNEL).await?;
            self.connection = Some(connection);
            return Ok(Heard::Anything);
        };
        let Some(notification) = connection.try_recv().await? else {
            // The connection was lost and made anew.
            return Ok(Heard::Anything);
        };
        Ok(match notification.payload().parse() {
            Ok(notice) => Heard::Notice(notice),
            // A newer replica says what this one does not know.
            Err(Unknown) => Heard::Anything,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_as_it_was_written() {
        let id = Uuid::now_v7();
        for notice in [
            Notice::Queued { charge_point: id },
            Notice::Claimed(Via {
                charge_point: id,
                epoch: 7,
                stream: 2,
            }),
            Notice::Ended(Via {
                charge_point: id,
                epoch: 8,
                stream: 1,
            }),
            Notice::Completed { command: id },
            Notice::Campaign { campaign: id },
        ] {
            assert_eq!(notice.to_string().parse::<Notice>().unwrap(), notice);
        }
    }

    #[test]
    fn what_only_a_newer_release_says_is_not_understood() {
        for text in [
            "",
            "queued",
            "queued x",
            "claimed 0192f0c0-0000-7000-8000-000000000000 7",
            "ended 0192f0c0-0000-7000-8000-000000000000",
            "sung a b",
        ] {
            assert!(text.parse::<Notice>().is_err(), "{text}");
        }
    }
}
