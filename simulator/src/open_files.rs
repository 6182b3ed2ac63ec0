//! How many files, sockets included, this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For what is open besides charge points' sockets.
const OTHERS: u64 = 1000;

/// Raises the limit to what so many sockets need, as far as that is allowed.
///
/// # Errors
/// It is not, with what would have to be done.
pub fn allow(sockets: usize) -> Result<(), String> {
    let wanted = u64::try_from(sockets).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    // Only a privileged process may raise the maximum.
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        format!("{wanted} open files are needed, and the limit cannot be raised ({error}): see `ulimit -Hn`")
    })
}
