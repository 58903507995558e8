//! Keys in memory: what the kernel may do with it when a process dies.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Keeps this process, and with it every key that it holds, out of core dumps: it is not dumpable
/// (that holds for dumps into a pipe too, which know no limit), and the limit of core files is 0. Other
/// processes of its user can neither trace it nor read its memory from then on.
///
/// # Errors
///
/// Where the kernel refuses: the process is then as it was, or half of it is done.
pub fn forbid_core_dumps() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, nothing)?)
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_process_that_forbids_it_is_not_dumped() {
        forbid_core_dumps().unwrap();
        assert!(matches!(
            dumpable_behavior().unwrap(),
            DumpableBehavior::NotDumpable
        ));
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    }
}
