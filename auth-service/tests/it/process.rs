//! The binary itself: how it starts, refuses to start, and stops.

use std::process::{Output, Stdio};
use std::time::Duration;

use testbed::Database;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;
use voltgate_proto::auth::v1::LogInRequest;
use voltgate_proto::auth::v1::auth_service_client::AuthServiceClient;

use crate::service::{PASSWORD, SECRET};

const LONG_ENOUGH: Duration = Duration::from_secs(30);

/// The binary with nothing of the tester's environment in its own, and no `.env` in reach.
fn auth_service() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auth-service"));
    command
        .env_clear()
        .envs([
            ("AUTH_LISTEN", "127.0.0.1:0"),
            ("ADMIN_LISTEN", "127.0.0.1:0"),
            ("LOG_FORMAT", "json"),
        ])
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn refusal(command: &mut Command) -> String {
    let Output { status, stderr, .. } = timeout(LONG_ENOUGH, command.output()).await.unwrap().unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

/// A process that serves.
pub struct Running {
    process: Child,
    pub address: String,
    lines: Lines<BufReader<ChildStderr>>,
    /// What it has logged so far.
    log: Vec<String>,
}

impl Running {
    pub async fn start(database: &Database) -> Self {
        let mut process = auth_service()
            .envs([
                ("DATABASE_URL", database.url()),
                ("AUTH_SECRET", SECRET),
                ("SERVICE_SECRET", SECRET),
            ])
            .env("ADMIN_PASSWORD", PASSWORD)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut log = Vec::new();
        let address = loop {
            let line = timeout(LONG_ENOUGH, lines.next_line())
                .await
                .unwrap()
                .unwrap()
                .expect("it announces its address");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            log.push(line);
            if event["message"] == "auth-service listens" {
                break event["grpc"].as_str().unwrap().to_owned();
            }
        };
        Self {
            process,
            address,
            lines,
            log,
        }
    }

    pub fn id(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Tells it to stop, and gives all that it has logged.
    pub async fn stop(mut self) -> Vec<String> {
        let id = self.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(told.unwrap().success());
        while let Some(line) = timeout(LONG_ENOUGH, self.lines.next_line()).await.unwrap().unwrap() {
            self.log.push(line);
        }
        assert!(
            timeout(LONG_ENOUGH, self.process.wait())
                .await
                .unwrap()
                .unwrap()
                .success()
        );
        self.log
    }

    /// Reads on, so that the process never waits for somebody who reads its log.
    pub async fn read_log(&mut self) {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.log.push(line);
        }
    }
}

#[tokio::test]
async fn the_process_serves_until_it_is_told_to_stop_and_ends_well() {
    let database = Database::create().await;
    let process = Running::start(&database).await;
    let mut client = AuthServiceClient::connect(format!("http://{}", process.address))
        .await
        .unwrap();
    let credentials = LogInRequest {
        username: "admin".to_owned(),
        password: PASSWORD.to_owned(),
    };
    client.log_in(credentials).await.unwrap();

    let log = process.stop().await;
    assert!(log.last().unwrap().contains("auth-service stopped"));
    assert!(
        log.iter()
            .all(|line| !line.contains(PASSWORD) && !line.contains(SECRET)),
        "{log:?}"
    );
}

#[tokio::test]
async fn the_process_does_not_start_with_a_placeholder_or_without_a_secret() {
    let mut command = auth_service();
    command
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
        .env("SERVICE_SECRET", SECRET);
    assert!(refusal(&mut command).await.contains("AUTH_SECRET: is not set"));
    assert!(
        refusal(command.env("AUTH_SECRET", "change-me"))
            .await
            .contains("AUTH_SECRET: is a placeholder")
    );
}

#[tokio::test]
async fn the_process_names_the_setting_of_a_database_that_it_cannot_reach() {
    let mut command = auth_service();
    command.env("AUTH_SECRET", SECRET).env("SERVICE_SECRET", SECRET);
    assert!(refusal(&mut command).await.contains("AUTH_DATABASE_URL: is not set"));
    command.env("AUTH_DATABASE_URL", "postgres://nobody:hunter2@127.0.0.1:1/nothing");
    let refusal = refusal(&mut command).await;
    assert!(
        refusal.contains("AUTH_DATABASE_URL: ") && !refusal.contains("hunter2"),
        "{refusal}"
    );
}
