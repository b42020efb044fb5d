//! CPU time and memory of this process by thread, and of others with their children, as `/proc` tells.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// CPU time of this process's threads by name; threads of one name are added up. Names are cut to 15 bytes by Linux.
///
/// # Errors
/// Where there is no `/proc`.
pub fn threads() -> anyhow::Result<BTreeMap<String, Duration>> {
    let mut sums = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end while we look.
        if let Ok(stat) = Stat::read(&task?.path()) {
            *sums.entry(stat.name).or_default() += stat.own;
        }
    }
    Ok(sums)
}

/// Processor time since the machine began that its host gave to others while something here wanted it.
///
/// # Errors
/// Where there is no `/proc`.
pub fn stolen() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let ticks: Option<u64> = text.split_whitespace().nth(8).and_then(|ticks| ticks.parse().ok());
    Ok(Duration::from_millis(ticks.context("/proc/stat tells no stolen time")? * 10))
}

/// A process with its children.
#[derive(Debug, Clone, Copy, Default)]
pub struct Family {
    /// CPU time of all that live, and of those whose end their parent has seen.
    pub cpu: Duration,
    /// Memory that is theirs, shared pages divided among those who share them, bytes.
    pub memory: u64,
}

/// What a process and its children have taken.
///
/// # Errors
/// Where there is no such process.
pub fn family(process: u32) -> anyhow::Result<Family> {
    let first = Stat::read(Path::new(&format!("/proc/{process}")))?;
    let mut sum = Family { cpu: first.own + first.ended, memory: memory(process) };
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(number) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        if let Ok(stat) = Stat::read(&path)
            && stat.parent == process
        {
            sum.cpu += stat.own + stat.ended;
            sum.memory += memory(number);
        }
    }
    Ok(sum)
}

/// The most memory that this process has held, bytes.
///
/// # Errors
/// Where there is no `/proc`.
pub fn peak_resident() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    kib(&status, "VmHWM:").context("VmHWM in /proc/self/status")
}

/// 0 when it has ended or is somebody else's.
fn memory(process: u32) -> u64 {
    let smaps = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    kib(&smaps, "Pss:").unwrap_or(0)
}

fn kib(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(number * 1024)
}

/// A line of `/proc/<pid>/stat`, whose clock has 100 ticks a second on Linux.
struct Stat {
    name: String,
    parent: u32,
    own: Duration,
    /// Of children that have ended.
    ended: Duration,
}

impl Stat {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        Self::parse(&fs::read_to_string(folder.join("stat"))?).context("the format of /proc/<pid>/stat")
    }

    fn parse(line: &str) -> Option<Self> {
        let (head, tail) = line.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            name: head.split_once('(')?.1.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            own: Duration::from_millis((ticks(11)? + ticks(12)?) * 10),
            ended: Duration::from_millis((ticks(13)? + ticks(14)?) * 10),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Stat, family, threads};

    #[test]
    fn names_may_have_blanks_and_brackets() {
        let line = "42 (homes (all) x) S 7 42 42 0 -1 4194560 1 2 3 4 150 25 10 5 20 0 1 0 9";
        let stat = Stat::parse(line).expect("a line of Linux");
        assert_eq!((stat.name.as_str(), stat.parent), ("homes (all) x", 7));
        assert_eq!((stat.own, stat.ended), (Duration::from_millis(1750), Duration::from_millis(150)));
    }

    #[test]
    fn this_process_has_threads_and_memory() {
        assert!(!threads().expect("Linux").is_empty());
        assert!(family(std::process::id()).expect("Linux").memory > 0);
    }
}
