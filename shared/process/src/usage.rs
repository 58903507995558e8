//! What this process takes of the machine.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// Microseconds of CPU that it has used since its start, in user and kernel mode; 0 where the system does
/// not tell.
pub fn cpu_us() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    let sum =
        usage.map(|it| it.user_time().num_microseconds() + it.system_time().num_microseconds());
    sum.ok()
        .and_then(|sum| u64::try_from(sum).ok())
        .unwrap_or_default()
}

/// Octets of its memory that are resident; 0 where the system does not tell.
pub fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    resident(&status).unwrap_or_default()
}

/// Out of `/proc/self/status` (`man 5 proc_pid_status`), which counts in KiB and says kB.
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_as_the_kernel_writes_it() {
        let status = "Name:\tholdfast\nVmPeak:\t    9000 kB\nVmRSS:\t    4404 kB\nThreads:\t3\n";
        assert_eq!(resident(status), Some(4_404 * 1_024));
        assert_eq!(resident("VmRSS:\t many\n"), None);
        assert_eq!(resident(""), None);
    }

    #[test]
    fn a_process_that_runs_has_memory_and_has_used_cpu() {
        let memory = memory();
        assert!(memory > 100_000, "{memory}");
        let before = cpu_us();
        let mut turns = 0_u64;
        while cpu_us() == before {
            turns = std::hint::black_box(turns + 1);
        }
    }
}
