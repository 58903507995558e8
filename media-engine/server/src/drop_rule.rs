//! The nftables rule that ends the way of media packets once the rings have them.
//!
//! Without it each packet also climbs the IP stack, only to be refused by the socket that holds its
//! port, and that costs more than recording it. The rule names ports, addresses and interfaces, so
//! nothing else is touched; it is made anew at each start and goes with a clean end. What a killed
//! engine leaves is replaced by the next.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use tracing::warn;

use crate::rings::Target;

/// Why there is no rule.
#[derive(Debug, thiserror::Error)]
pub enum DropRuleError {
    #[error("no nft (apt-get install nftables)")]
    NoTool,
    #[error("running nft")]
    Run(#[source] io::Error),
    #[error("nft: {0}")]
    Refused(String),
    #[error(
        "ports {first}-{last} are also given to clients of this host, whose answers it would drop; \
         set the sysctl net.ipv4.ip_local_reserved_ports={first}-{last}"
    )]
    Ephemeral { first: u16, last: u16 },
    #[error("interface name {0:?} cannot be written in a rule")]
    Name(String),
}

/// A rule in force. Dropping it takes it away.
#[derive(Debug)]
pub struct DropRule {
    table: String,
}

impl DropRule {
    /// Puts a rule in force, in place of what an engine with the same state left.
    pub fn install(
        state_dir: &Path,
        targets: &[Target],
        (first, last): (u16, u16),
    ) -> Result<Self, DropRuleError> {
        if is_ephemeral(first, last) {
            return Err(DropRuleError::Ephemeral { first, last });
        }
        let table = table_name(state_dir);
        run(&script(&table, targets, (first, last))?)?;
        Ok(Self { table })
    }

    /// Leaves it in force when this process ends; answers its name.
    pub fn leave(mut self) -> String {
        let table = std::mem::take(&mut self.table);
        std::mem::forget(self);
        table
    }

    /// Its name in the kernel's rules.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl Drop for DropRule {
    fn drop(&mut self) {
        if let Err(error) = run(&removal(&self.table)) {
            let table = &self.table;
            warn!(%error, table, "the drop rule stays; delete it by hand: nft delete table netdev");
        }
    }
}

/// Takes away what a killed engine left: it would keep packets from plain sockets. Who may not change
/// rules has most likely left none.
pub fn remove_leftover(state_dir: &Path) {
    let _ = run(&removal(&table_name(state_dir)));
}

/// One table for each engine of this host: state is what two engines cannot share.
fn table_name(state_dir: &Path) -> String {
    let path = state_dir.canonicalize();
    let path = path.as_deref().unwrap_or(state_dir);
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let name: String = digest
        .iter()
        .take(4)
        .map(|octet| format!("{octet:02x}"))
        .collect();
    format!("holdfast-{name}")
}

/// In one transaction: all of it or nothing. A table is made before it is deleted, because deleting
/// one that is not there is an error.
fn script(
    table: &str,
    targets: &[Target],
    (first, last): (u16, u16),
) -> Result<String, DropRuleError> {
    let mut text = removal(table);
    text.push_str(&format!("table netdev {table} {{\n"));
    for (index, target) in targets.iter().enumerate() {
        let device = &target.interface;
        if !device
            .chars()
            .all(|c| c.is_ascii_graphic() && c != '"' && c != '\\')
        {
            return Err(DropRuleError::Name(device.clone()));
        }
        text.push_str(&format!(
            "\tchain ingress-{index} {{\n\
             \t\ttype filter hook ingress device \"{device}\" priority 0; policy accept;\n"
        ));
        let drop = format!("udp dport {first}-{last} drop");
        match &target.destinations {
            None => text.push_str(&format!("\t\t{drop}\n")),
            Some(addresses) => {
                for (word, is_ipv4) in [("ip", true), ("ip6", false)] {
                    let set = addresses.iter().filter(|it| it.is_ipv4() == is_ipv4);
                    let set: BTreeSet<&IpAddr> = set.collect();
                    let names: Vec<String> = set.iter().map(ToString::to_string).collect();
                    if !names.is_empty() {
                        let names = names.join(", ");
                        text.push_str(&format!("\t\t{word} daddr {{ {names} }} {drop}\n"));
                    }
                }
            }
        }
        text.push_str("\t}\n");
    }
    text.push_str("}\n");
    Ok(text)
}

fn removal(table: &str) -> String {
    format!("table netdev {table}\ndelete table netdev {table}\n")
}

/// `nft` is not in every user's PATH.
fn run(script: &str) -> Result<(), DropRuleError> {
    let path = std::env::var("PATH").unwrap_or_default();
    let child = Command::new("nft")
        .args(["-f", "-"])
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DropRuleError::NoTool,
        _ => DropRuleError::Run(error),
    })?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read to the end says why in its output.
        let _ = input.write_all(script.as_bytes());
    }
    let output = child.wait_with_output().map_err(DropRuleError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("it says nothing");
    Err(DropRuleError::Refused(first.to_owned()))
}

/// Whether the kernel gives ports of the range to whoever asks for any.
fn is_ephemeral(first: u16, last: u16) -> bool {
    let read = |name| {
        let path = Path::new("/proc/sys/net/ipv4").join(name);
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let (range, reserved) = (read("ip_local_port_range"), read("ip_local_reserved_ports"));
    overlaps(&range, &reserved, first, last)
}

/// Both as the kernel writes them: `32768 60999` and `8080,9000-9100`.
fn overlaps(range: &str, reserved: &str, first: u16, last: u16) -> bool {
    let mut bounds = range.split_whitespace().filter_map(|it| it.parse().ok());
    let (Some(from), Some(to)) = (bounds.next(), bounds.next()) else {
        return false;
    };
    let is_reserved = |port: u16| {
        reserved.trim().split(',').any(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let bound = |text: &str| text.parse::<u16>().ok();
            matches!((bound(from), bound(to)), (Some(from), Some(to)) if from <= port && port <= to)
        })
    };
    (first.max(from)..=last.min(to)).any(|port| !is_reserved(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(interface: &str, destinations: Option<&[&str]>) -> Target {
        let addresses = |all: &[&str]| all.iter().map(|it| it.parse().unwrap()).collect();
        Target {
            interface: interface.to_owned(),
            takes_vlans: false,
            is_loopback: destinations.is_none(),
            destinations: destinations.map(addresses),
        }
    }

    #[test]
    fn the_script_names_ports_addresses_and_interfaces() {
        let targets = [
            target("eth0", Some(&["192.0.2.2", "2001:db8::2", "192.0.2.3"])),
            target("lo", None),
        ];
        let text = script("holdfast-1", &targets, (10_000, 19_999)).unwrap();
        assert_eq!(
            text,
            "table netdev holdfast-1\n\
             delete table netdev holdfast-1\n\
             table netdev holdfast-1 {\n\
             \tchain ingress-0 {\n\
             \t\ttype filter hook ingress device \"eth0\" priority 0; policy accept;\n\
             \t\tip daddr { 192.0.2.2, 192.0.2.3 } udp dport 10000-19999 drop\n\
             \t\tip6 daddr { 2001:db8::2 } udp dport 10000-19999 drop\n\
             \t}\n\
             \tchain ingress-1 {\n\
             \t\ttype filter hook ingress device \"lo\" priority 0; policy accept;\n\
             \t\tudp dport 10000-19999 drop\n\
             \t}\n\
             }\n"
        );
        let odd = script("holdfast-1", &[target("a\"b", None)], (10, 11));
        assert!(matches!(odd, Err(DropRuleError::Name(_))));
    }

    #[test]
    fn engines_with_other_state_have_other_tables() {
        let (one, two) = (table_name(Path::new("/a")), table_name(Path::new("/b")));
        assert_ne!(one, two);
        assert_eq!(one, table_name(Path::new("/a")));
        assert_eq!(one.len(), "holdfast-".len() + 8);
    }

    #[test]
    fn ports_that_clients_may_get_are_not_dropped() {
        let range = "32768\t60999\n";
        for (first, last, reserved, expected) in [
            (10_000, 19_999, "\n", false),
            (30_000, 32_767, "\n", false),
            (30_000, 32_769, "\n", true),
            (60_998, 65_535, "\n", true),
            (61_000, 65_535, "\n", false),
            (40_000, 40_009, "8080,40000-40009\n", false),
            (40_000, 40_009, "40000-40004,40006-40009\n", true),
        ] {
            assert_eq!(overlaps(range, reserved, first, last), expected, "{first}");
        }
        assert!(!overlaps("", "", 1, 65_535));
    }

    /// In a network namespace of this thread's own.
    #[test]
    fn a_rule_is_installed_replaced_and_removed() {
        use nix::sched::{CloneFlags, unshare};
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            return eprintln!("SKIPPED: a network namespace needs root");
        }
        let dir = tempfile::tempdir().unwrap();
        let rules = || {
            let output = Command::new("nft")
                .args(["list", "ruleset"])
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let here = [target("lo", None)];
        let rule = match DropRule::install(dir.path(), &here, (10_000, 10_099)) {
            Err(DropRuleError::NoTool) => return eprintln!("SKIPPED: no nft"),
            Err(DropRuleError::Refused(said)) if said.contains("not supported") => {
                return eprintln!("SKIPPED: this kernel has no such rules: {said}");
            }
            other => other.unwrap(),
        };
        assert!(rules().contains("udp dport 10000-10099 drop"));
        // As if it had been killed: nothing is taken away, and the next one replaces it.
        std::mem::forget(rule);
        let rule = DropRule::install(dir.path(), &here, (10_000, 10_049)).unwrap();
        assert!(rules().contains("10000-10049") && !rules().contains("10000-10099"));
        drop(rule);
        assert_eq!(rules(), "");
        std::mem::forget(DropRule::install(dir.path(), &here, (10_000, 10_049)).unwrap());
        remove_leftover(dir.path());
        remove_leftover(dir.path());
        assert_eq!(rules(), "");
    }
}
