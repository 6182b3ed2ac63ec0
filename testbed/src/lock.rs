//! Tables that a test keeps to itself, so that whoever wants them waits.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::time::{sleep, timeout};

use crate::Database;

/// How long the database may take until as many wait as a test expects.
const PATIENCE: Duration = Duration::from_secs(20);

/// Locked tables. Free again when this is dropped.
#[derive(Debug)]
pub struct Lock {
    holder: PgConnection,
    holder_pid: i32,
    watcher: PgConnection,
}

impl Lock {
    /// Locks `tables`, whose names stand between commas.
    ///
    /// # Panics
    /// If there is no such table.
    pub async fn of(database: &Database, tables: &'static str) -> Self {
        let connect = || PgConnection::connect(database.url());
        let mut holder = connect().await.expect("a connection to hold the lock");
        let pid = "SELECT pg_backend_pid()";
        let holder_pid = sqlx::query_scalar(pid).fetch_one(&mut holder).await.expect("a pid");
        let lock = format!("BEGIN; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE");
        // The statement holds nothing but names that stand in a test.
        holder.execute(AssertSqlSafe(lock)).await.expect("a lock");
        Self {
            holder,
            holder_pid,
            watcher: connect().await.expect("a connection to watch"),
        }
    }

    /// Waits until so many statements that contain `text` wait for the tables.
    ///
    /// # Panics
    /// If it does not come to that.
    pub async fn waited_for_by(&mut self, expected: i64, text: &str) {
        let mut waiting = -1;
        let as_expected = async {
            while waiting != expected {
                sleep(Duration::from_millis(20)).await;
                waiting = self.waiting(text).await;
            }
        };
        let in_time = timeout(PATIENCE, as_expected).await;
        assert!(in_time.is_ok(), "{waiting} statements wait, not {expected}");
    }

    /// Lets go of the tables.
    pub async fn release(self) {
        self.holder.close().await.expect("a connection that is open");
    }

    async fn waiting(&mut self, text: &str) -> i64 {
        let blocked = "SELECT count(*) FROM pg_stat_activity
             WHERE $1 = ANY(pg_blocking_pids(pid)) AND position($2 IN query) > 0";
        sqlx::query_scalar(blocked)
            .bind(self.holder_pid)
            .bind(text)
            .fetch_one(&mut self.watcher)
            .await
            .expect("who waits")
    }
}
