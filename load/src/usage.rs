//! What processes have used so far, from /proc.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::param::clock_ticks_per_second;

/// Processor time of a process with all its threads, those that have ended included.
///
/// # Errors
/// There is no such process.
pub fn processor_time(process: u32) -> Result<Duration> {
    let stat = Stat::read(process)?;
    Ok(ticks(stat.own))
}

/// Processor time of a process and of all that it has started, those that have ended included, as far as it waited for them.
///
/// # Errors
/// There is no such process.
pub fn processor_time_of_family(parent: u32) -> Result<Duration> {
    let stat = Stat::read(parent)?;
    let mut sum = stat.own + stat.ended_children;
    for entry in fs::read_dir("/proc")? {
        let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has ended in between is among the parent's by now, or the next time.
        if let Ok(stat) = Stat::read(process)
            && stat.parent == parent
        {
            sum += stat.own;
        }
    }
    Ok(ticks(sum))
}

/// Memory of a process in KiB: its own, and its share of what others use too (Pss).
///
/// # Errors
/// There is no such process.
pub fn memory(process: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.context("/proc does not tell Pss")
}

/// Of /proc/…/stat, in ticks.
struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

impl Stat {
    fn read(process: u32) -> Result<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat"))?)
            .context("/proc has a stat that cannot be read")
    }

    fn parse(text: &str) -> Option<Self> {
        // The name before may have anything in it, parentheses and spaces too.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        // Counted as in proc(5), where the state is number 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(field(4)?).ok()?,
            own: field(14)? + field(15)?,
            ended_children: field(16)? + field(17)?,
        })
    }
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_anything_in_it() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 30 20 20 0 1 0 9";
        let stat = Stat::parse(text).expect("it can be read");
        assert_eq!((stat.parent, stat.own, stat.ended_children), (7, 150, 50));
        assert!(Stat::parse("42 (sh").is_none());
    }

    #[test]
    fn this_process_has_memory_and_a_time() {
        let this = std::process::id();
        assert!(memory(this).expect("it is told") > 100);
        let family = processor_time_of_family(this).expect("it is told");
        assert!(family >= processor_time(this).expect("it is told") / 2);
    }
}
