//! The kernel, what it permits, and the clock.

use std::path::Path;

use holdfast_settings::{IngestKind, Settings};

use super::{Finding, Machine};

pub(super) fn look(machine: &Machine, settings: &Settings) -> Vec<Finding> {
    let process =
        engine(machine, &settings.node.control_socket).unwrap_or_else(|| "self".to_owned());
    let mut findings = vec![kernel(machine), io_uring(machine, &process)];
    findings.extend(seccomp(machine));
    findings.push(capabilities(machine, settings, &process));
    findings.extend(limits(machine, settings, &process));
    findings.push(clock_source(machine));
    findings.push(synchronised(machine));
    findings.extend(governors(machine, settings));
    findings
}

fn kernel(machine: &Machine) -> Finding {
    let release = machine
        .read("proc/sys/kernel/osrelease")
        .unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let version = (
        numbers.next().and_then(Result::ok).unwrap_or(0),
        numbers.next().and_then(Result::ok).unwrap_or(0),
    );
    match version >= KERNEL_MIN {
        true => Finding::good("kernel", release),
        false => {
            let (major, minor) = KERNEL_MIN;
            let text = format!("{release}; {major}.{minor} or newer is needed");
            Finding::bad(
                "kernel",
                text,
                "apt-get install linux-image-amd64, then reboot",
            )
        }
    }
}

/// io_uring as the executor uses it.
const KERNEL_MIN: (u32, u32) = (5, 8);

fn io_uring(machine: &Machine, process: &str) -> Finding {
    // An engine that has one was permitted it, whatever else holds here.
    let descriptors = format!("proc/{process}/fd");
    let names = machine.list(&descriptors).into_iter();
    let mut links = names.filter_map(|it| machine.link(&format!("{descriptors}/{it}")));
    if links.any(|link| link == "anon_inode:[io_uring]") {
        return Finding::good("io_uring", "in use by the running engine");
    }
    let remedy =
        "sysctl -w kernel.io_uring_disabled=0, and the same in /etc/sysctl.d/holdfast.conf";
    match machine.read("proc/sys/kernel/io_uring_disabled").as_deref() {
        None | Some("0") => Finding::good("io_uring", "permitted by the kernel"),
        Some("1") => Finding::note("io_uring", "for privileged users only", remedy),
        Some(_) => Finding::bad("io_uring", "switched off", remedy),
    }
}

fn seccomp(machine: &Machine) -> Option<Finding> {
    let status = machine.read("proc/self/status")?;
    (field(&status, "Seccomp")? == "2").then(|| {
        let text = "a seccomp filter is in force here: a container, as a rule";
        let remedy = "it has to permit io_uring_setup, io_uring_enter and io_uring_register; Docker's own \
                      does not: security_opt seccomp=unconfined for the engine, as docker-compose.yml \
                      has it (docker run --security-opt seccomp=unconfined)";
        Finding::note("seccomp", text, remedy)
    })
}

/// The process id of the running engine: of those that are called so, the one that has the control
/// socket of the settings. Whose descriptors may not be looked at is taken for it.
fn engine(machine: &Machine, control_socket: &Path) -> Option<String> {
    let sockets = machine.read("proc/net/unix").unwrap_or_default();
    let held: Vec<String> = sockets
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(6);
            let (inode, path) = (fields.next()?, fields.next()?);
            (Path::new(path) == control_socket).then(|| format!("socket:[{inode}]"))
        })
        .collect();
    let is_id = |name: &String| name.bytes().all(|octet| octet.is_ascii_digit());
    let mut processes = machine.list("proc").into_iter().filter(is_id);
    processes.find(|id| {
        let descriptors = machine.list(&format!("proc/{id}/fd"));
        let mut links = descriptors
            .iter()
            .filter_map(|number| machine.link(&format!("proc/{id}/fd/{number}")));
        machine.read(&format!("proc/{id}/comm")).as_deref() == Some("holdfast-media")
            && (descriptors.is_empty() || links.any(|link| held.contains(&link)))
    })
}

fn whose(process: &str) -> &'static str {
    match process {
        "self" => "of this shell; the service may have others",
        _ => "of the running engine",
    }
}

fn capabilities(machine: &Machine, settings: &Settings, process: &str) -> Finding {
    let name = "capabilities";
    let status = machine
        .read(&format!("proc/{process}/status"))
        .unwrap_or_default();
    let effective = field(&status, "CapEff").unwrap_or_default();
    let effective = u64::from_str_radix(effective, 16).unwrap_or(0);
    let has = |bit: u32| effective >> bit & 1 == 1;
    let whose = whose(process);
    if has(CAP_NET_RAW) && has(CAP_NET_ADMIN) {
        let text = format!("CAP_NET_RAW and CAP_NET_ADMIN {whose}: packet ring possible");
        return Finding::good(name, text);
    }
    let text =
        format!("no CAP_NET_RAW or no CAP_NET_ADMIN {whose}: no packet ring, or no drop rule");
    let remedy = "AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN in holdfast-media.service, or \
                  media.ingest = \"udp\"";
    match settings.media.ingest {
        IngestKind::Udp => Finding::good(name, "none are needed with media.ingest = \"udp\""),
        IngestKind::Auto => Finding::note(name, text, remedy),
        IngestKind::PacketRing => Finding::bad(name, text, remedy),
    }
}

const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;

fn limits(machine: &Machine, settings: &Settings, process: &str) -> Vec<Finding> {
    let limits = machine
        .read(&format!("proc/{process}/limits"))
        .unwrap_or_default();
    // The hard one: processes raise the soft one by themselves.
    let hard = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    let at_least = |value: &Option<String>, least: u64| match value.as_deref() {
        Some("unlimited") => true,
        Some(number) => number.parse().is_ok_and(|it: u64| it >= least),
        None => false,
    };
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let whose = whose(process);
    let files = hard("Max open files");
    // Two streams of two sockets and a track each, and a connection.
    let wanted = u64::from(settings.sip.max_calls) * 8;
    let mut findings = Vec::new();
    findings.push(match at_least(&files, wanted) {
        true => Finding::good("open files", format!("{} {whose}", shown(&files))),
        false => Finding::note(
            "open files",
            format!("{} {whose}; sip.max_calls asks for {wanted}", shown(&files)),
            format!("LimitNOFILE={wanted} in holdfast-media.service, or ulimit -Hn {wanted}"),
        ),
    });
    let memory = hard("Max locked memory");
    findings.push(match at_least(&memory, MEMLOCK_MIN) {
        true => Finding::good("locked memory", format!("{} {whose}", shown(&memory))),
        false => Finding::note(
            "locked memory",
            format!(
                "{} octets {whose}; io_uring's queues and the rings are locked",
                shown(&memory)
            ),
            "LimitMEMLOCK=infinity in holdfast-media.service, or ulimit -Hl unlimited",
        ),
    });
    findings
}

/// Octets: what the executors of a few shards lock.
const MEMLOCK_MIN: u64 = 8 * 1024 * 1024;

fn clock_source(machine: &Machine) -> Finding {
    let path = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    match machine.read(path).as_deref() {
        Some(slow @ ("hpet" | "acpi_pm" | "jiffies")) => Finding::note(
            "clock source",
            format!("{slow}: each look at the clock is a system call"),
            format!("echo tsc > /{path}, where the kernel offers it"),
        ),
        Some(source) => Finding::good("clock source", source),
        None => Finding::good("clock source", "not told"),
    }
}

fn synchronised(machine: &Machine) -> Finding {
    let name = "clock";
    let marks = [
        "run/systemd/timesync/synchronized",
        "run/chrony/chronyd.pid",
        "run/chronyd.pid",
        "run/ntpd.pid",
        "var/run/ntpd.pid",
    ];
    match marks.iter().find(|path| machine.root.join(path).exists()) {
        Some(path) => Finding::good(name, format!("kept by a time service (/{path})")),
        None => Finding::note(
            name,
            "no time service seems to keep the clock: recordings are filed and joined by it",
            "apt-get install chrony",
        ),
    }
}

fn governors(machine: &Machine, settings: &Settings) -> Option<Finding> {
    let path = |core: &str| format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
    let governor = |core: &u32| machine.read(&path(&core.to_string()));
    let slow: Vec<String> = settings
        .media
        .cores
        .iter()
        .filter(|core| governor(core).is_some_and(|it| it != "performance"))
        .map(u32::to_string)
        .collect();
    let cores = slow.join(" ");
    (!slow.is_empty()).then(|| {
        Finding::note(
            "governor",
            format!("cores {cores} of media.cores save power: turns take longer"),
            format!(
                "sudo sh -c 'for i in {cores}; do echo performance > /{}; done'",
                path("$i")
            ),
        )
    })
}

/// A field of a status file.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let root = dir.path().to_owned();
        (dir, Machine { root })
    }

    fn levels(files: &[(&str, &str)], settings: &str) -> Vec<(&'static str, Level)> {
        let (_dir, machine) = machine(files);
        let settings = Settings::from_toml(settings).unwrap();
        let findings = look(&machine, &settings);
        for finding in &findings {
            assert_eq!(
                finding.remedy.is_none(),
                finding.level == Level::Good,
                "{finding:?}"
            );
        }
        findings.iter().map(|it| (it.name, it.level)).collect()
    }

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units\n\
                          Max open files            1024                 1048576              files\n\
                          Max locked memory         8388608              unlimited            bytes\n";

    #[test]
    fn a_machine_that_is_as_it_should_be() {
        let found = levels(
            &[
                ("proc/sys/kernel/osrelease", "6.1.0-37-amd64\n"),
                ("proc/sys/kernel/io_uring_disabled", "0\n"),
                (
                    "proc/self/status",
                    "CapEff:\t0000000000000000\nSeccomp:\t0\n",
                ),
                ("proc/42/comm", "holdfast-media\n"),
                ("proc/42/status", "Name:\tx\nCapEff:\t0000000000003000\n"),
                ("proc/42/limits", LIMITS),
                (
                    "sys/devices/system/clocksource/clocksource0/current_clocksource",
                    "tsc\n",
                ),
                ("run/systemd/timesync/synchronized", ""),
                (
                    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
                    "performance\n",
                ),
            ],
            "",
        );
        assert!(
            found.iter().all(|(_, level)| *level == Level::Good),
            "{found:?}"
        );
    }

    #[test]
    fn the_engine_is_the_one_that_has_the_control_socket() {
        let sockets = "Num RefCount Protocol Flags Type St Inode Path\n\
                       0: 00000002 00000000 00010000 0001 01 111 /run/other/control.sock\n\
                       0: 00000002 00000000 00010000 0001 01 222 /run/holdfast/control.sock\n\
                       0: 00000003 00000000 00000000 0001 03 333\n";
        let (dir, machine) = machine(&[
            ("proc/net/unix", sockets),
            ("proc/41/comm", "holdfast-media\n"),
            ("proc/42/comm", "holdfast-media\n"),
            ("proc/43/comm", "holdfast-signal\n"),
        ]);
        for (process, inode) in [(41, 111), (42, 222), (43, 222)] {
            let descriptors = dir.path().join(format!("proc/{process}/fd"));
            std::fs::create_dir(&descriptors).unwrap();
            let socket = format!("socket:[{inode}]");
            std::os::unix::fs::symlink(socket, descriptors.join("7")).unwrap();
        }
        let engine = |path: &str| engine(&machine, Path::new(path));
        assert_eq!(engine("/run/holdfast/control.sock").as_deref(), Some("42"));
        assert_eq!(engine("/run/other/control.sock").as_deref(), Some("41"));
        assert_eq!(engine("/run/third/control.sock"), None);
    }

    #[test]
    fn an_engine_that_has_io_uring_was_permitted_it() {
        let (dir, machine) = machine(&[("proc/sys/kernel/io_uring_disabled", "1\n")]);
        let descriptors = dir.path().join("proc/42/fd");
        std::fs::create_dir_all(&descriptors).unwrap();
        std::os::unix::fs::symlink("socket:[1]", descriptors.join("3")).unwrap();
        assert_eq!(io_uring(&machine, "42").level, Level::Note);
        std::os::unix::fs::symlink("anon_inode:[io_uring]", descriptors.join("7")).unwrap();
        let found = io_uring(&machine, "42");
        assert_eq!(found.text, "in use by the running engine");
        assert_eq!(found.level, Level::Good);
    }

    #[test]
    fn a_machine_where_nothing_fits() {
        let found = levels(
            &[
                ("proc/sys/kernel/osrelease", "5.7.19\n"),
                ("proc/sys/kernel/io_uring_disabled", "2\n"),
                (
                    "proc/self/status",
                    "CapEff:\t0000000000001000\nSeccomp:\t2\n",
                ),
                (
                    "proc/self/limits",
                    "Max open files  10  20  files\nMax locked memory  1  2  bytes\n",
                ),
                (
                    "sys/devices/system/clocksource/clocksource0/current_clocksource",
                    "hpet\n",
                ),
                (
                    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
                    "powersave\n",
                ),
            ],
            "[media]\ningest = \"packet-ring\"",
        );
        let expected = [
            ("kernel", Level::Bad),
            ("io_uring", Level::Bad),
            ("seccomp", Level::Note),
            ("capabilities", Level::Bad),
            ("open files", Level::Note),
            ("locked memory", Level::Note),
            ("clock source", Level::Note),
            ("clock", Level::Note),
            ("governor", Level::Note),
        ];
        assert_eq!(found, expected);
    }
}
