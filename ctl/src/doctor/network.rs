//! Ports, buffers, queues of network cards and the cores that serve them, ring and drop rule.

use std::collections::BTreeSet;
use std::process::Command;

use holdfast_control::status::Status;
use holdfast_settings::{IngestKind, MediaInterface, Settings};

use super::{Finding, Machine};

pub(super) fn look(
    machine: &Machine,
    settings: &Settings,
    status: Option<&Status>,
) -> Vec<Finding> {
    let mut findings = vec![reserved_ports(machine, settings), buffer(machine)];
    findings.extend(queues(machine, settings));
    findings.extend(ingest(settings, status));
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
    let ranges = reserved.split(',').filter_map(range);
    let is_reserved = ranges.into_iter().any(|(a, b)| a <= first && last <= b);
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

fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
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
            cores.extend(
                list.iter()
                    .flat_map(|list| list.split(','))
                    .filter_map(range)
                    .flat_map(|(a, b)| a..=b),
            );
        }
        let shown = |cores: &BTreeSet<u32>| {
            cores
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let shared: BTreeSet<u32> = cores.intersection(&shards).copied().collect();
        let text = format!(
            "{interface}: {queues} queues, served by cores {}",
            shown(&cores)
        );
        findings.push(match (shared.is_empty(), numbers.first()) {
            (_, None) => Finding::good("queues", format!("{interface}: {queues} queues, interrupts not told")),
            (true, Some(_)) => Finding::good("queues", text),
            (false, Some(number)) => Finding::note(
                "queues",
                format!("{text}; media.cores has {} too, so interrupts take time of a shard", shown(&shared)),
                format!(
                    "echo CORES > /proc/irq/{number}/smp_affinity_list for each queue, with cores of the \
                     same socket beside media.cores, and stop irqbalance; or choose other media.cores"
                ),
            ),
        });
    }
    findings
}

/// Numbers of the interrupts of a card: by its name, else by its device's list.
fn interrupts_of(machine: &Machine, interface: &str, interrupts: &str) -> Vec<String> {
    let of_device = machine.list(&format!("sys/class/net/{interface}/device/msi_irqs"));
    if !of_device.is_empty() {
        return of_device;
    }
    let named = interrupts.lines().filter(|line| {
        let mut words = line.split_whitespace().rev();
        words
            .next()
            .is_some_and(|word| word.split('-').any(|part| part == interface))
    });
    named
        .filter_map(|line| {
            line.split_once(':')
                .map(|(number, _)| number.trim().to_owned())
        })
        .collect()
}

/// How the running engine receives.
fn ingest(settings: &Settings, status: Option<&Status>) -> Vec<Finding> {
    let Some(statistics) = status.and_then(|it| it.engine.statistics.as_ref()) else {
        return Vec::new();
    };
    let name = "ingest";
    if statistics.ingest == "packet-ring" {
        return vec![Finding::good(name, "packet ring"), drop_rule()];
    }
    vec![match settings.media.ingest {
        IngestKind::Udp => Finding::good(name, "plain sockets, as media.ingest wants it"),
        IngestKind::Auto | IngestKind::PacketRing => Finding::note(
            name,
            "plain sockets: several times the CPU of a packet ring",
            "journalctl -u holdfast-media | grep 'no packet ring' says why",
        ),
    }]
}

fn drop_rule() -> Finding {
    let name = "drop rule";
    let listed = Command::new("nft")
        .args(["list", "tables", "netdev"])
        .output();
    match listed {
        Ok(output) if output.status.success() => {
            let tables = String::from_utf8_lossy(&output.stdout).into_owned();
            match tables.lines().find(|line| line.contains("holdfast")) {
                Some(table) => Finding::good(name, table.trim().to_owned()),
                None => Finding::note(
                    name,
                    "none: each packet also climbs the IP stack, which costs more than recording it",
                    "give holdfast-media CAP_NET_ADMIN, or nft -f config/nftables.conf",
                ),
            }
        }
        Ok(_) => Finding::note(
            name,
            "nft may not be asked by this user",
            "sudo holdfast doctor",
        ),
        Err(_) => Finding::note(name, "no nft here to ask", "apt-get install nftables"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

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
}
