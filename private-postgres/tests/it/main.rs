//! A real PostgreSQL through its whole life: created, stopped, killed, started again.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use private_postgres::{Cluster, Durability, Error, Options};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// A folder that the unprivileged user can enter.
fn folder() -> TempDir {
    folder_with_mode(0o755)
}

fn folder_with_mode(mode: u32) -> TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(mode))
        .tempdir()
        .expect("a temporary folder")
}

async fn start(folder: &Path, durability: Durability) -> Result<Cluster, Error> {
    let folder = folder.to_owned();
    Cluster::start(Options { folder, durability }).await
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.url("postgres"))
        .await
        .expect("the server accepts connections")
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .expect("the setting exists")
}

async fn insert_a_row(cluster: &Cluster) {
    let mut connection = connect(cluster).await;
    sqlx::raw_sql("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('committed')")
        .execute(&mut connection)
        .await
        .expect("the row is committed");
}

async fn read_the_row(cluster: &Cluster) -> String {
    sqlx::query_scalar("SELECT word FROM kept")
        .fetch_one(&mut connect(cluster).await)
        .await
        .expect("the row is there")
}

fn postmaster(cluster: &Cluster) -> Pid {
    let text = fs::read_to_string(cluster.folder().join("cluster/postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_new_cluster_is_utf8_checksummed_durable_and_on_loopback_only() {
    let folder = folder();
    let cluster = start(folder.path(), Durability::Full).await.unwrap();
    let mut connection = connect(&cluster).await;
    for (name, value) in [
        ("server_encoding", "UTF8"),
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("TimeZone", "UTC"),
    ] {
        assert_eq!(setting(&mut connection, name).await, value, "{name}");
    }
    let lower: String = sqlx::query_scalar("SELECT lower('ÄÖÜ')")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(lower, "äöü");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_right_one_is_in_a_private_file() {
    let folder = folder();
    let cluster = start(folder.path(), Durability::ForTests).await.unwrap();
    let password = folder.path().join("password");
    assert_eq!(fs::metadata(&password).unwrap().mode() & 0o777, 0o600);
    let secret = fs::read_to_string(&password).unwrap();
    let url = cluster.url("postgres");
    assert!(url.contains(secret.trim()));
    let wrong = url.replace(secret.trim(), "postgres");
    let refused = PgConnection::connect(&wrong).await.unwrap_err();
    let code = refused.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("28P01"));
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_row_survives_a_stop_and_a_second_start() {
    let folder = folder();
    let cluster = start(folder.path(), Durability::Full).await.unwrap();
    insert_a_row(&cluster).await;
    cluster.stop().await.unwrap();
    let cluster = start(folder.path(), Durability::Full).await.unwrap();
    assert_eq!(read_the_row(&cluster).await, "committed");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_committed_row_survives_kill_9_of_the_server() {
    let folder = folder();
    let cluster = start(folder.path(), Durability::Full).await.unwrap();
    insert_a_row(&cluster).await;
    kill_process(postmaster(&cluster), Signal::KILL).unwrap();
    tokio::time::timeout(Duration::from_secs(10), cluster.ended())
        .await
        .expect("the end of the server is noticed");
    drop(cluster);
    let cluster = start(folder.path(), Durability::Full).await.unwrap();
    assert_eq!(read_the_row(&cluster).await, "committed");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_idle_clients() {
    let folder = folder();
    let cluster = start(folder.path(), Durability::ForTests).await.unwrap();
    let _idle = connect(&cluster).await;
    tokio::time::timeout(Duration::from_secs(20), cluster.stop())
        .await
        .expect("the server stops in spite of the client")
        .unwrap();
}

#[tokio::test]
async fn a_cluster_that_a_live_process_uses_is_left_alone() {
    let folder = folder();
    let cluster = start(folder.path(), Durability::ForTests).await.unwrap();
    let second = start(folder.path(), Durability::ForTests).await;
    assert!(matches!(second, Err(Error::InUse(_))));
    connect(&cluster).await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_unfinished_cluster_of_a_killed_process_is_made_anew() {
    let folder = folder();
    let unfinished = folder.path().join("cluster.unfinished");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("PG_VERSION"), "15").unwrap();
    fs::write(folder.path().join("password"), "of the killed process").unwrap();
    let cluster = start(folder.path(), Durability::ForTests).await.unwrap();
    connect(&cluster).await;
    assert!(!unfinished.exists());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_note_of_a_server_that_is_gone_does_not_stop_a_start_even_if_its_process_id_lives_again() {
    let folder = folder();
    let cluster = start(folder.path(), Durability::ForTests).await.unwrap();
    let note = folder.path().join("cluster/postmaster.pid");
    let text = fs::read_to_string(&note).unwrap();
    let other = start_another_server().await;
    let reused = text.replacen(
        &postmaster(&cluster).as_raw_nonzero().to_string(),
        &postmaster(&other.1).as_raw_nonzero().to_string(),
        1,
    );
    cluster.stop().await.unwrap();
    fs::write(&note, reused).unwrap();
    let cluster = start(folder.path(), Durability::ForTests).await.unwrap();
    connect(&other.1).await;
    cluster.stop().await.unwrap();
    other.1.stop().await.unwrap();
}

async fn start_another_server() -> (TempDir, Cluster) {
    let folder = folder();
    let cluster = start(folder.path(), Durability::ForTests).await.unwrap();
    (folder, cluster)
}

#[tokio::test]
async fn a_lost_password_is_named_before_the_server_starts() {
    let folder = folder();
    let cluster = start(folder.path(), Durability::ForTests).await.unwrap();
    cluster.stop().await.unwrap();
    fs::remove_file(folder.path().join("password")).unwrap();
    let error = start(folder.path(), Durability::ForTests).await.err().unwrap();
    assert!(matches!(error, Error::NoPassword(_)), "{error}");
}

#[tokio::test]
async fn a_cluster_of_another_version_is_refused_by_name() {
    let folder = folder();
    let cluster = start(folder.path(), Durability::ForTests).await.unwrap();
    cluster.stop().await.unwrap();
    fs::write(folder.path().join("cluster/PG_VERSION"), "9\n").unwrap();
    let error = start(folder.path(), Durability::ForTests).await.err().unwrap();
    assert!(
        matches!(&error, Error::OtherVersion { needed, .. } if needed == "9"),
        "{error}"
    );
}

/// As root the server's user cannot enter a folder that only root may; anybody else can enter their own.
#[tokio::test]
async fn where_the_servers_user_cannot_reach_the_folder_the_cluster_lives_elsewhere_and_says_so() {
    let closed = folder_with_mode(0o700);
    let wanted = closed.path().canonicalize().unwrap().join("data");
    let cluster = start(&wanted, Durability::ForTests).await.unwrap();
    if rustix::process::geteuid().is_root() {
        assert_eq!(cluster.moved_from(), Some(wanted.as_path()));
        assert!(cluster.folder().starts_with("/var/lib/voltgate"));
    } else {
        assert_eq!(cluster.moved_from(), None);
        assert_eq!(cluster.folder(), wanted);
    }
    insert_a_row(&cluster).await;
    cluster.stop().await.unwrap();

    let cluster = start(&wanted, Durability::ForTests).await.unwrap();
    assert_eq!(read_the_row(&cluster).await, "committed");
    let really = cluster.folder().to_owned();
    cluster.stop().await.unwrap();
    fs::remove_dir_all(really.parent().unwrap()).unwrap();
}
