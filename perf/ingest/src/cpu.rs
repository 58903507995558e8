//! CPU time of a process, thread by thread, and its memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

/// CPU time of the threads of a process, by name; threads of one name together. The kernel's own
/// workers of the process, such as those of io_uring, are among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadTimes(BTreeMap<String, Duration>);

impl ThreadTimes {
    /// Reads `/proc/PID/task/*/schedstat`, whose first word is nanoseconds (proc(5)).
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut times = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let folder = entry?.path();
            // A thread may end between the listing and the reading.
            let Ok(name) = fs::read_to_string(folder.join("comm")) else {
                continue;
            };
            let Ok(text) = fs::read_to_string(folder.join("schedstat")) else {
                continue;
            };
            let nanos = text.split_ascii_whitespace().next().map(str::parse);
            let Some(Ok(nanos)) = nanos else { continue };
            *times.entry(name.trim().to_owned()).or_default() += Duration::from_nanos(nanos);
        }
        Ok(Self(times))
    }

    /// What has been used since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let used = |(name, &time): (&String, &Duration)| {
            let before = earlier.0.get(name).copied().unwrap_or_default();
            (name.clone(), time.saturating_sub(before))
        };
        Self(self.0.iter().map(used).collect())
    }

    /// All threads together.
    pub fn total(&self) -> Duration {
        self.0.values().sum()
    }

    /// Those that used anything, by name.
    pub fn used(&self) -> impl Iterator<Item = (&str, Duration)> {
        let used = self.0.iter().filter(|(_, time)| !time.is_zero());
        used.map(|(name, &time)| (name.as_str(), time))
    }
}

/// A line of `/proc/PID/status` that is a number of KiB, such as `RssAnon`.
pub fn memory_kib(pid: u32, line: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let found = status
        .lines()
        .find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let number = found.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an odd /proc/PID/status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_this_process_goes_on() {
        let pid = std::process::id();
        let before = ThreadTimes::of(pid).unwrap();
        let mut sum = 0_u64;
        let mut after = ThreadTimes::of(pid).unwrap();
        while after.since(&before).total().is_zero() {
            sum = (0..100_000_u64).fold(sum, u64::wrapping_add);
            after = ThreadTimes::of(pid).unwrap();
        }
        assert!(after.since(&before).used().count() > 0, "{sum}");
        assert!(memory_kib(pid, "VmRSS").unwrap() > 0);
    }
}
