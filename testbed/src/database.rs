//! An empty database for one test.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

/// A database of its own on the run's PostgreSQL, dropped together with this value, whoever is still connected.
#[derive(Debug)]
pub struct Database {
    name: String,
    server: String,
    url: String,
}

impl Database {
    /// Creates an empty database with a name that no other test has.
    ///
    /// # Panics
    /// If `TEST_POSTGRES_URL` is missing or the server cannot be reached: a test never passes for want of one.
    pub async fn create() -> Database {
        Self::create_on(crate::required("TEST_POSTGRES_URL")).await
    }

    /// The same on a server of the test's own, given by the URL of a database on it.
    ///
    /// # Panics
    /// It cannot be reached.
    pub async fn create_on(server: String) -> Database {
        let name = format!("test_{}", Uuid::now_v7().simple());
        execute(&server, format!("CREATE DATABASE {name}"))
            .await
            .expect("a database can be created on the PostgreSQL of the test");
        let (base, _) = server
            .rsplit_once('/')
            .expect("the URL ends with the name of a database");
        Database {
            url: format!("{base}/{name}"),
            name,
            server,
        }
    }

    /// Where to connect, as the superuser.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    /// Hundreds of tests would otherwise leave gigabytes. A failure costs disk space only, and only until the run ends.
    fn drop(&mut self) {
        let server = self.server.clone();
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime
                .block_on(execute(&server, statement))
                .map_err(std::io::Error::other)
        });
        dropping.join().ok();
    }
}

async fn execute(url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    // The statement holds nothing but a name made here.
    connection.execute(AssertSqlSafe(statement)).await?;
    connection.close().await
}
