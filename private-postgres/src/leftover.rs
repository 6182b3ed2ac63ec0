//! Stopping what a killed process left running in a cluster.
//!
//! The kernel asks the server to stop when its parent dies, but that takes a moment in which the next start may come.
//! The caller holds the cluster's lock, so that whatever still runs here belongs to nobody.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::Error;

const POLL: Duration = Duration::from_millis(50);

/// Ends every server process that works in the cluster: the postmaster by a fast shutdown, or by an immediate one if
/// that takes too long. Workers whose postmaster was killed notice it and end, busy ones when they are told to.
pub(crate) async fn stop(cluster: &Path) -> Result<(), Error> {
    let escalation = [
        (Signal::INT, Duration::from_secs(30)),
        (Signal::QUIT, Duration::from_secs(10)),
        (Signal::KILL, Duration::from_secs(5)),
    ];
    for (signal, patience) in escalation {
        let running = processes_in(cluster);
        if running.is_empty() {
            return forget(cluster);
        }
        tracing::warn!(
            processes = running.len(),
            "Stopping a PostgreSQL server that a killed process left behind"
        );
        let postmaster = postmaster(cluster).filter(|pid| running.contains(pid));
        for pid in postmaster.map_or(running, |pid| vec![pid]) {
            // A process that has just ended by itself is what we want.
            kill_process(pid, signal).ok();
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline && !processes_in(cluster).is_empty() {
            sleep(POLL).await;
        }
    }
    if processes_in(cluster).is_empty() {
        return forget(cluster);
    }
    Err(Error::LeftOver(cluster.to_owned()))
}

/// Removes the note of a postmaster that is gone. PostgreSQL does so itself unless another process has the same id
/// by now, which is likely in a container, where the same few ids come round at each start.
fn forget(cluster: &Path) -> Result<(), Error> {
    let path = cluster.join("postmaster.pid");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("cannot remove", &path)(error)),
        _ => Ok(()),
    }
}

/// The process id in the first line of `postmaster.pid`.
fn postmaster(cluster: &Path) -> Option<Pid> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

/// All processes whose working folder is the cluster: the postmaster enters it, and its workers inherit it. Unlike a
/// process id in a file this cannot point at a stranger.
fn processes_in(cluster: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let working_folder = fs::read_link(entry.path().join("cwd")).ok()?;
            (working_folder == cluster).then_some(pid)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;
    use std::{fs, mem};

    use super::*;
    use crate::{Cluster, Durability, Options};

    #[tokio::test]
    async fn a_server_left_over_from_a_killed_process_is_stopped_before_the_next_one_starts() {
        let folder = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let options = Options {
            folder: folder.path().to_owned(),
            durability: Durability::ForTests,
        };
        let Cluster {
            server,
            place,
            _lock: lock,
            ..
        } = Cluster::start(options.clone()).await.unwrap();
        // What a killed process leaves behind: no lock, but a server that nobody has stopped.
        let left_over = postmaster(&place.cluster()).unwrap();
        mem::forget(server);
        drop(lock);

        let cluster = Cluster::start(options).await.unwrap();
        let running = processes_in(&place.cluster());
        assert!(!running.contains(&left_over));
        assert!(running.contains(&postmaster(&place.cluster()).unwrap()));
        cluster.stop().await.unwrap();
        assert!(processes_in(&place.cluster()).is_empty());
    }
}
