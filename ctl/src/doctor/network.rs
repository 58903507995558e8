//! Ports, buffers, queues of network cards and the cores that serve them, ring and drop rule.

use std::collections::BTreeSet;
use std::process::Command;

use holdfast_control::status::Status;
use holdfast_settings::{IngestKind, MediaInterface, Settings};

use super::{Finding, Level, Machine, ranges};

pub(super) fn look(
    machine: &Machine,
    settings: &Settings,
    status: Option<&Status>,
) -> Vec<Finding> {
    let mut findings = vec![reserved_ports(machine, settings), buffer(machine)];
    findings.extend(queues(machine, settings));
    findings.extend(ingest(machine, settings, status));
    findings
}

/// No other program may be given a port of the media by chance.
fn reserved_ports(machine: &Machine, settings: &Settings) -> Finding {
    let name = "ports";
    let media = settings.media.ports;
    let (first, last) = (u32::from(media.first), u32::from(media.last));
    let local = machine
        .read("proc/sys/net/ipv4/ip_local_port_range")
        .unwrap_or_default();
    let mut local = local
        .split_whitespace()
        .filter_map(|it| it.parse::<u32>().ok());
    let (from, to) = (
        local.next().unwrap_or(32_768),
        local.next().unwrap_or(60_999),
    );
    let reserved = machine
        .read("proc/sys/net/ipv4/ip_local_reserved_ports")
        .unwrap_or_default();
    let is_reserved = ranges(&reserved).any(|(a, b)| a <= first && last <= b);
    if last < from || to < first || is_reserved {
        return Finding::good(
            name,
            format!("{first}-{last} are given to no other program"),
        );
    }
    let text = format!("the kernel gives ports of {first}-{last} to any program ({from}-{to})");
    let all = match reserved.is_empty() {
        true => format!("{first}-{last}"),
        false => format!("{reserved},{first}-{last}"),
    };
    let remedy =
        format!("sysctl -w net.ipv4.ip_local_reserved_ports={all}, and the same in /etc/sysctl.d");
    Finding::note(name, text, remedy)
}

fn buffer(machine: &Machine) -> Finding {
    let octets = machine
        .read("proc/sys/net/core/rmem_max")
        .and_then(|it| it.parse::<u64>().ok());
    match octets {
        Some(octets) if octets < BUFFER_MIN => Finding::note(
            "socket buffer",
            format!(
                "{octets} octets at most: a burst of INVITEs, or of media on plain sockets, is lost"
            ),
            "sysctl -w net.core.rmem_max=4194304, and the same in /etc/sysctl.d",
        ),
        Some(octets) => Finding::good("socket buffer", format!("{octets} octets at most")),
        None => Finding::good("socket buffer", "not told"),
    }
}

const BUFFER_MIN: u64 = 1_048_576;

/// Which cores serve the interrupts of the cards that media may come in by.
fn queues(machine: &Machine, settings: &Settings) -> Vec<Finding> {
    let shards: BTreeSet<u32> = settings.media.cores.iter().copied().collect();
    let interfaces = match &settings.media.interface {
        MediaInterface::Named(name) => vec![name.clone()],
        MediaInterface::Auto => machine.list("sys/class/net"),
    };
    let interrupts = machine.read("proc/interrupts").unwrap_or_default();
    let mut findings = Vec::new();
    for interface in interfaces {
        // Of a card; bridges, tunnels and the loopback have no device behind them.
        if !machine
            .root
            .join(format!("sys/class/net/{interface}/device"))
            .exists()
        {
            continue;
        }
        let queues = machine.list(&format!("sys/class/net/{interface}/queues"));
        let queues = queues.iter().filter(|it| it.starts_with("rx-")).count();
        let numbers = interrupts_of(machine, &interface, &interrupts);
        let mut cores = BTreeSet::new();
        for number in &numbers {
            let list = machine.read(&format!("proc/irq/{number}/smp_affinity_list"));
            cores.extend(list.iter().flat_map(|list| numbers_in(list)));
        }
        let shared: BTreeSet<u32> = cores.intersection(&shards).copied().collect();
        let text = format!(
            "{interface}: {queues} queues, served by cores {}",
            joined(&cores, " ")
        );
        findings.push(match (numbers.is_empty(), shared.is_empty()) {
            (true, _) => Finding::good(
                "queues",
                format!("{interface}: {queues} queues, interrupts not told"),
            ),
            (false, true) => Finding::good("queues", text),
            (false, false) => Finding::note(
                "queues",
                format!(
                    "{text}; media.cores has {} too, so interrupts take time of a shard",
                    joined(&shared, " ")
                ),
                elsewhere(machine, &interface, &shards, &numbers),
            ),
        });
    }
    findings
}

/// The command that has interrupts served by cores without a shard, of the card's socket where there are.
fn elsewhere(
    machine: &Machine,
    interface: &str,
    shards: &BTreeSet<u32>,
    numbers: &[String],
) -> String {
    let cores_of = |path: &str| -> BTreeSet<u32> {
        let list = machine.read(path).unwrap_or_default();
        numbers_in(&list).collect()
    };
    let free = &cores_of("sys/devices/system/cpu/online") - shards;
    let device = format!("sys/class/net/{interface}/device");
    let near = &cores_of(&format!("{device}/local_cpulist"))
        | &cores_of(&format!("{device}/../local_cpulist"));
    let near = &free & &near;
    let cores = if near.is_empty() { &free } else { &near };
    if cores.is_empty() {
        return "fewer media.cores: no core of this machine is without a shard".to_owned();
    }
    format!(
        "sudo sh -c 'for i in {}; do echo {} > /proc/irq/$i/smp_affinity_list; done', and where irqbalance \
         runs: sudo systemctl disable --now irqbalance; or choose other media.cores",
        numbers.join(" "),
        joined(cores, ",")
    )
}

/// Numbers as the kernel lists them: `0-3,8`.
fn numbers_in(list: &str) -> impl Iterator<Item = u32> {
    ranges(list).flat_map(|(first, last)| first..=last)
}

fn joined(numbers: &BTreeSet<u32>, between: &str) -> String {
    let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
    words.join(between)
}

/// Numbers of the interrupts of a card: its device's list, else by its name, or, on virtio, by that of
/// its device; else those of the device that virtio is on, which has the list there.
fn interrupts_of(machine: &Machine, interface: &str, interrupts: &str) -> Vec<String> {
    let device = format!("sys/class/net/{interface}/device");
    let of_device = machine.list(&format!("{device}/msi_irqs"));
    if !of_device.is_empty() {
        return of_device;
    }
    let virtio = machine.link(&device);
    let virtio = virtio.as_deref().and_then(|it| it.rsplit('/').next());
    let input = virtio.map(|it| format!("{it}-input."));
    let is_of_it = |word: &str| {
        word.split('-').any(|part| part == interface)
            || input.as_ref().is_some_and(|it| word.starts_with(it))
    };
    let named = interrupts.lines().filter(|line| {
        let word = line.split_whitespace().next_back();
        word.is_some_and(is_of_it)
    });
    let named: Vec<String> = named
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect();
    match named.is_empty() {
        true => machine.list(&format!("{device}/../msi_irqs")),
        false => named,
    }
}

/// How the running engine receives, or what one that is started will need.
fn ingest(machine: &Machine, settings: &Settings, status: Option<&Status>) -> Vec<Finding> {
    let name = "ingest";
    let wants_sockets = settings.media.ingest == IngestKind::Udp;
    let statistics = status.and_then(|it| it.engine.statistics.as_ref());
    match statistics.map(|it| it.ingest.as_str()) {
        None if wants_sockets => {
            let text = "plain sockets, once an engine runs: media.ingest = \"udp\"";
            vec![Finding::good(name, text)]
        }
        None => vec![
            Finding::note(
                name,
                "no engine is heard of; a packet ring will need CAP_NET_RAW, its drop rule \
                 CAP_NET_ADMIN, nft and ports that are given to no other program",
                "mend what \"server\" says below, and look again",
            ),
            drop_rule(machine, settings, false),
        ],
        Some("packet-ring") => vec![
            Finding::good(name, "packet ring"),
            drop_rule(machine, settings, true),
        ],
        Some(_) if wants_sockets => {
            vec![Finding::good(
                name,
                "plain sockets, as media.ingest wants it",
            )]
        }
        Some(_) => vec![Finding::note(
            name,
            "plain sockets: several times the CPU of a packet ring",
            "journalctl -u holdfast-media | grep 'no packet ring' says why",
        )],
    }
}

fn drop_rule(machine: &Machine, settings: &Settings, is_wanted_now: bool) -> Finding {
    // It is not in every user's PATH.
    let path = std::env::var("PATH").unwrap_or_default();
    let listed = Command::new("nft")
        .args(["list", "tables", "netdev"])
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output();
    let tables = listed.map(|it| {
        let told = it.status.success();
        told.then(|| String::from_utf8_lossy(&it.stdout).into_owned())
    });
    let are_ports_ours = reserved_ports(machine, settings).level == Level::Good;
    rule_in(tables.ok(), are_ports_ours, is_wanted_now)
}

/// What `nft` tells: not here; may not be asked; the tables.
fn rule_in(tables: Option<Option<String>>, are_ports_ours: bool, is_wanted_now: bool) -> Finding {
    let name = "drop rule";
    let again = match is_wanted_now {
        true => ", then systemctl restart holdfast-media",
        false => "",
    };
    let Some(tables) = tables else {
        let remedy = format!("apt-get install nftables{again}");
        return Finding::note(name, "no nft here to make or to tell one", remedy);
    };
    let listed = tables.as_deref().unwrap_or_default().lines();
    let mut listed = listed.filter(|line| line.contains("holdfast"));
    if let Some(table) = listed.next() {
        return Finding::good(name, table.trim());
    }
    if !are_ports_ours {
        let text =
            "none: it would drop what others of this host are sent, who are given media.ports too";
        return Finding::note(name, text, format!("what \"ports\" says above{again}"));
    }
    match (tables, is_wanted_now) {
        (_, false) => Finding::good(name, "nft and ports are there for one"),
        (None, true) => Finding::note(
            name,
            "nft may not be asked by this user",
            "sudo holdfast doctor",
        ),
        (Some(_), true) => Finding::note(
            name,
            "none: each packet also climbs the IP stack, which costs more than recording it",
            "journalctl -u holdfast-media | grep 'no drop rule' says why; by hand: adapt a copy of \
             share/holdfast/nftables.conf and load it with nft -f",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)], settings: &str) -> Vec<Finding> {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let root = dir.path().to_owned();
        let settings = Settings::from_toml(settings).unwrap();
        look(&Machine { root }, &settings, None)
    }

    #[test]
    fn ports_that_others_may_be_given_are_told_with_those_that_are_reserved_already() {
        for (local, reserved, level) in [
            ("32768\t60999", "", Level::Good),
            ("1024\t65535", "", Level::Note),
            ("1024\t65535", "80,10000-19999", Level::Good),
            ("1024\t65535", "80,10000-19998", Level::Note),
        ] {
            let found = &findings(
                &[
                    ("proc/sys/net/ipv4/ip_local_port_range", local),
                    ("proc/sys/net/ipv4/ip_local_reserved_ports", reserved),
                    ("proc/sys/net/core/rmem_max", "212992"),
                ],
                "",
            );
            assert_eq!(found[0].level, level, "{found:?}");
            assert_eq!(found[1].level, Level::Note);
            if level == Level::Note && !reserved.is_empty() {
                let remedy = found[0].remedy.as_deref().unwrap();
                assert!(
                    remedy.contains(&format!("={reserved},10000-19999")),
                    "{remedy}"
                );
            }
        }
    }

    #[test]
    fn interrupts_on_the_core_of_a_shard_are_told() {
        let files = |core| {
            vec![
                ("sys/class/net/eth0/device/vendor", "x"),
                ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0"),
                ("sys/class/net/eth0/queues/tx-0/xps_cpus", "0"),
                ("sys/class/net/lo/mtu", "65536"),
                (
                    "proc/interrupts",
                    "  CPU0 CPU1\n 45: 1 2 PCI-MSI 1-edge eth0-rx-0\n 46: 1 2 PCI-MSI 1-edge eth01\n",
                ),
                ("proc/irq/45/smp_affinity_list", core),
                ("proc/irq/46/smp_affinity_list", "0"),
            ]
        };
        let level = |core| {
            findings(&files(core), "")
                .into_iter()
                .find(|it| it.name == "queues")
                .unwrap()
        };
        assert_eq!(level("0-1").level, Level::Note);
        let other = level("1,3");
        assert_eq!(
            (other.level, other.text.as_str()),
            (Level::Good, "eth0: 1 queues, served by cores 1 3")
        );
    }

    #[test]
    fn the_queues_of_virtio_are_found_and_given_cores_without_a_shard() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        write("sys/devices/pci/virtio2/net/eth0/queues/rx-0/rps_cpus", "0");
        write("sys/devices/pci/local_cpulist", "0-1");
        write("sys/devices/pci/msi_irqs/47", "");
        write("sys/devices/system/cpu/online", "0-3");
        write("proc/irq/38/smp_affinity_list", "0-3");
        write("proc/irq/40/smp_affinity_list", "0");
        write("proc/irq/47/smp_affinity_list", "3");
        let link = |target: &str, path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, path).unwrap();
        };
        link("../../devices/pci/virtio2/net/eth0", "sys/class/net/eth0");
        link(
            "../../../virtio2",
            "sys/devices/pci/virtio2/net/eth0/device",
        );
        let machine = Machine {
            root: dir.path().to_owned(),
        };
        let found = |settings: &str| {
            let settings = Settings::from_toml(settings).unwrap();
            queues(&machine, &settings).remove(0)
        };
        // By the list of the device that virtio is on.
        let by_list = found("");
        assert_eq!(by_list.text, "eth0: 1 queues, served by cores 3");
        let interrupts = "  CPU0\n 37: 0 PCI-MSIX 0-edge virtio2-config\n 38: 1 PCI-MSIX 1-edge \
                          virtio2-input.0\n 39: 1 PCI-MSIX 2-edge virtio2-output.0\n 40: 1 PCI-MSIX \
                          3-edge virtio2-input.1\n 41: 1 PCI-MSIX 1-edge virtio21-input.0\n";
        write("proc/interrupts", interrupts);
        let remedy = found("").remedy.unwrap();
        let command =
            "sudo sh -c 'for i in 38 40; do echo 1 > /proc/irq/$i/smp_affinity_list; done'";
        assert!(remedy.starts_with(command), "{remedy}");
        let remedy = found("[media]\ncores = [0, 1]").remedy.unwrap();
        assert!(remedy.contains("echo 2,3 >"), "{remedy}");
        let remedy = found("[media]\ncores = [0, 1, 2, 3]").remedy.unwrap();
        assert!(remedy.starts_with("fewer media.cores"), "{remedy}");
    }

    #[test]
    fn what_ring_and_rule_will_need_is_told_while_no_engine_runs() {
        let range = ("proc/sys/net/ipv4/ip_local_port_range", "1024 65535");
        let told = |settings: &str| {
            let found = findings(&[range], settings);
            let named = |name| found.iter().find(|it| it.name == name).cloned();
            (
                named("ingest").map(|it| it.level),
                named("drop rule").map(|it| it.level),
            )
        };
        assert_eq!(told(""), (Some(Level::Note), Some(Level::Note)));
        assert_eq!(told("[media]\ningest = \"udp\""), (Some(Level::Good), None));
    }

    #[test]
    fn a_rule_that_is_not_there_is_mended_by_what_stands_in_its_way() {
        let tables = |text: &str| Some(Some(text.to_owned()));
        for (tables, are_ports_ours, is_wanted_now, level, remedy) in [
            (
                None,
                true,
                true,
                Level::Note,
                "apt-get install nftables, then systemctl",
            ),
            (None, true, false, Level::Note, "apt-get install nftables"),
            (Some(None), true, true, Level::Note, "sudo holdfast doctor"),
            (Some(None), true, false, Level::Good, ""),
            (
                Some(None),
                false,
                false,
                Level::Note,
                "what \"ports\" says above",
            ),
            (
                tables(""),
                false,
                true,
                Level::Note,
                "what \"ports\" says above, then",
            ),
            (
                tables("table netdev x\n"),
                true,
                true,
                Level::Note,
                "journalctl",
            ),
            (
                tables("table netdev holdfast-1\n"),
                true,
                true,
                Level::Good,
                "",
            ),
        ] {
            let found = rule_in(tables, are_ports_ours, is_wanted_now);
            assert_eq!(found.level, level, "{found:?}");
            let said = found.remedy.clone().unwrap_or_default();
            assert!(said.starts_with(remedy), "{found:?}");
        }
    }
}
