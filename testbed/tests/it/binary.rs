use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// A `testbed` of its own that keeps its files in the folder, which every user may enter.
fn testbed() -> (Command, TempDir) {
    let folder = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
    command.env("TMPDIR", folder.path()).kill_on_drop(true);
    (command, folder)
}

/// Starts both servers and a command that runs until its input ends; returns once that command runs.
async fn start(command: &mut Command) -> Child {
    let mut child = command
        .args(["sh", "-c", "echo ready; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(Duration::from_secs(120), lines.next_line()).await;
    assert_eq!(line.expect("it starts in time").unwrap().as_deref(), Some("ready"));
    child
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap()
}

/// The process ids and names of everything that descends from a process, by the fields of `/proc/ID/stat`.
fn descendants(ancestor: Pid) -> Vec<(i32, String)> {
    let mut family = vec![ancestor.as_raw_nonzero().get()];
    let mut found = Vec::new();
    let processes: Vec<(i32, i32, String)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (before, after) = stat.rsplit_once(") ")?;
            let parent = after.split(' ').nth(1)?.parse().ok()?;
            Some((id, parent, before.split_once('(')?.1.to_owned()))
        })
        .collect();
    while let Some(parent) = family.pop() {
        for (id, _, name) in processes.iter().filter(|process| process.1 == parent) {
            family.push(*id);
            found.push((*id, name.clone()));
        }
    }
    found
}

/// Waits until none of the processes runs any more; a process id counts only under the same name.
async fn assert_all_end(processes: &[(i32, String)]) {
    let running = |(id, name): &&(i32, String)| {
        let now = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        now.trim() == name
    };
    for _ in 0..300 {
        if !processes.iter().any(|process| running(&process)) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let left: Vec<_> = processes.iter().filter(running).collect();
    panic!("these still run: {left:?}");
}

fn assert_servers_run(processes: &[(i32, String)]) {
    for server in ["postgres", "beam.smp", "epmd", "redis-server"] {
        assert!(processes.iter().any(|(_, name)| name == server), "{server}");
    }
}

#[tokio::test]
async fn the_exit_code_of_the_command_is_its_own_and_no_file_is_left() {
    let (mut command, folder) = testbed();
    let status = command
        .args(["--postgres-only", "sh", "-c"])
        .arg("test -n \"$TEST_POSTGRES_URL\" && exit 7")
        .status()
        .await
        .unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named() {
    let (mut command, _folder) = testbed();
    let output = command
        .args(["--postgres-only", "no-such-command"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`no-such-command`"));
}

#[tokio::test]
async fn a_process_that_the_command_forgot_is_ended_with_it() {
    let (mut command, folder) = testbed();
    let note = folder.path().join("forgotten");
    let status = command
        .args(["--postgres-only", "sh", "-c"])
        .arg(format!("sleep 300 & echo $! > {}", note.display()))
        .status()
        .await
        .unwrap();
    assert!(status.success());
    let id = fs::read_to_string(note).unwrap().trim().parse().unwrap();
    assert_all_end(&[(id, "sleep".to_owned())]).await;
}

#[tokio::test]
async fn a_request_to_terminate_ends_the_command_and_both_servers() {
    let (mut command, folder) = testbed();
    let mut child = start(&mut command).await;
    // Waiting for a child closes its input, and the command would end by itself.
    let _input = child.stdin.take();
    let processes = descendants(pid(&child));
    assert_servers_run(&processes);
    kill_process(pid(&child), Signal::TERM).unwrap();
    let status = timeout(Duration::from_secs(60), child.wait()).await;
    assert_eq!(status.expect("it stops in time").unwrap().code(), Some(128 + 15));
    assert_all_end(&processes).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn neither_server_nor_epmd_outlives_a_killed_testbed() {
    let (mut command, _folder) = testbed();
    let mut child = start(&mut command).await;
    let mut processes = descendants(pid(&child));
    assert_servers_run(&processes);
    // The command itself ends when its input does.
    processes.retain(|(_, name)| name != "cat");
    child.kill().await.unwrap();
    assert_all_end(&processes).await;
}
