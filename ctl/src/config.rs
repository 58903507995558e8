//! `holdfast config`: the settings file.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_settings::{
    DEFAULT_FILE, LoadError, LocalMachine, Machine, Problem, Settings, SettingsError, SipListen,
    SipTransport, display_size, load, read,
};
use serde_json::{Value, json};

use crate::Verdict;
use crate::error::CommandError;

/// Where settings come from.
pub(crate) enum Source {
    File(PathBuf),
    BuiltIn,
}

impl Source {
    /// The file that was named, else the first that is there of those the server is started with.
    pub fn choose(named: Option<&Path>) -> Self {
        Self::choose_among(named, &USUAL_FILES.map(Path::new))
    }

    fn choose_among(named: Option<&Path>, usual: &[&Path]) -> Self {
        // Where this user may not look, there is one as well: reading it says what is lacking.
        let is_there = |path: &&&Path| {
            let found = path.metadata();
            found.map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |_| true)
        };
        let path = named.or_else(|| usual.iter().find(is_there).copied());
        path.map_or(Self::BuiltIn, |path| Self::File(path.to_path_buf()))
    }

    /// The settings, not held against this machine: recordings may be read anywhere.
    pub fn settings(&self) -> Result<Settings, LoadError> {
        match self {
            Self::File(path) => read(path),
            Self::BuiltIn => Ok(Settings::default()),
        }
    }

    pub fn settings_for_this_machine(&self) -> Result<Settings, LoadError> {
        let settings = match self {
            Self::File(path) => load(path)?,
            Self::BuiltIn => Settings::default(),
        };
        let refused = |source| LoadError::Refused {
            path: PathBuf::from(self.name()),
            source,
        };
        settings.check_machine(&LocalMachine).map_err(refused)?;
        // The files that they name; each start of the server reads them too.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.map_or(0, |now| now.as_secs());
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        settings.read_tls(seconds).map_err(refused)?;
        settings.read_credentials().map_err(refused)?;
        Ok(settings)
    }

    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::BuiltIn => "(built-in defaults)".to_owned(),
        }
    }
}

/// `config check`
pub(crate) fn check(
    out: &mut dyn Write,
    source: &Source,
    any_machine: bool,
    json: bool,
) -> Result<Verdict, CommandError> {
    let settings = if any_machine {
        source.settings()
    } else {
        source.settings_for_this_machine()
    };
    match settings {
        Ok(settings) if json => {
            let document = json!({
                "file": source.name(),
                "good": true,
                "problems": [],
                "settings": effective(&settings),
            });
            writeln!(out, "{document:#}")?;
            Ok(Verdict::Well)
        }
        Ok(settings) => {
            writeln!(out, "{} is good.", source.name())?;
            summary(out, &settings)?;
            Ok(Verdict::Well)
        }
        Err(LoadError::Refused { source: error, .. }) => {
            refused(out, source, &error, json)?;
            Ok(Verdict::Wrong)
        }
        Err(error @ (LoadError::Read { .. } | LoadError::TooLarge { .. })) => Err(error.into()),
    }
}

/// `config show`
pub(crate) fn show(
    out: &mut dyn Write,
    source: &Source,
    json: bool,
) -> Result<Verdict, CommandError> {
    let settings = source.settings()?;
    if json {
        writeln!(out, "{:#}", effective(&settings))?;
    } else {
        writeln!(out, "# {}", source.name())?;
        write!(out, "{}", settings.to_toml())?;
    }
    Ok(Verdict::Well)
}

/// `config default`
pub(crate) fn default(out: &mut dyn Write, json: bool) -> Result<Verdict, CommandError> {
    if json {
        writeln!(out, "{:#}", effective(&Settings::default()))?;
    } else {
        write!(out, "{DEFAULT_FILE}")?;
    }
    Ok(Verdict::Well)
}

/// `config uris`
pub(crate) fn uris(
    out: &mut dyn Write,
    source: &Source,
    json: bool,
) -> Result<Verdict, CommandError> {
    let settings = source.settings()?;
    let local = LocalMachine.addresses().map_err(CommandError::Addresses)?;
    let local: Vec<IpAddr> = local.into_iter().collect();
    let uris: Vec<String> = settings
        .sip
        .listen
        .iter()
        .flat_map(|listen| uris_of(listen, &local))
        .collect();
    if json {
        writeln!(out, "{:#}", json!(uris))?;
    } else {
        for uri in &uris {
            writeln!(out, "{uri}")?;
        }
    }
    Ok(Verdict::Well)
}

/// Where a listener is reached: an unspecified address stands for those of its family that
/// others can reach, or for loopback where there is no other.
fn uris_of(listen: &SipListen, local: &[IpAddr]) -> Vec<String> {
    let address = listen.address;
    let mut hosts = vec![address.ip()];
    if address.ip().is_unspecified() {
        hosts = local
            .iter()
            .copied()
            .filter(|ip| ip.is_ipv4() == address.is_ipv4())
            .collect();
        if hosts.iter().any(|ip| is_reachable(*ip)) {
            hosts.retain(|ip| is_reachable(*ip));
        }
    }
    let transport = listen.transport.as_str();
    let uri = |host| {
        let address = SocketAddr::new(host, address.port());
        match listen.transport {
            // RFC 5630: that is what sips means.
            SipTransport::Tls => format!("sips:{address}"),
            SipTransport::Udp | SipTransport::Tcp => format!("sip:{address};transport={transport}"),
        }
    };
    hosts.into_iter().map(uri).collect()
}

/// Whether other machines can name this address as it stands.
fn is_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}

/// What follows from the settings and is easily overlooked.
fn summary(out: &mut dyn Write, settings: &Settings) -> Result<(), CommandError> {
    for listen in &settings.sip.listen {
        let transport = listen.transport.as_str().to_ascii_uppercase();
        writeln!(out, "  SIP over {transport} on {}", listen.address)?;
    }
    let media = &settings.media;
    for (shard, core) in media.cores.iter().enumerate() {
        if let Some(ports) = media.shard_ports(shard) {
            let (first, last, pairs) = (ports.first, ports.last, ports.pairs());
            writeln!(
                out,
                "  core {core} receives {pairs} streams on ports {first}-{last}"
            )?;
        }
    }
    let journal = &settings.journal;
    let shards = u64::try_from(media.cores.len()).unwrap_or(u64::MAX);
    let octets = journal
        .segment_size
        .saturating_mul(u64::from(journal.segments_max))
        .saturating_mul(shards);
    writeln!(
        out,
        "  journal in {}, {}",
        journal.dir.display(),
        display_size(octets)
    )?;
    writeln!(out, "  recordings in {}", settings.recordings.dir.display())?;
    Ok(())
}

fn refused(
    out: &mut dyn Write,
    source: &Source,
    error: &SettingsError,
    json: bool,
) -> Result<(), CommandError> {
    if json {
        let problem = |problem: &Problem| {
            json!({
                "key": problem.key,
                "line": problem.line,
                "message": problem.to_string(),
            })
        };
        let problems: Vec<Value> = error.problems().iter().map(problem).collect();
        let document = json!({ "file": source.name(), "good": false, "problems": problems });
        writeln!(out, "{document:#}")?;
    } else {
        writeln!(out, "{} is refused:", source.name())?;
        for problem in error.problems() {
            writeln!(out, "  {problem}")?;
        }
    }
    Ok(())
}

/// Every key with its value. `Settings` is written and read here by the same library.
fn effective(settings: &Settings) -> Value {
    let table: toml::Table = settings
        .to_toml()
        .parse()
        .expect("what was written as TOML reads");
    serde_json::to_value(table).expect("tables of plain values")
}

/// Where the server's settings usually are: those of the installed services before those of a clone.
const USUAL_FILES: [&str; 2] = ["/etc/holdfast/holdfast.toml", "config/holdfast.toml"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_the_services_come_before_those_of_a_clone() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let usual = [first.as_path(), second.as_path()];
        let chosen = |named: Option<&Path>| Source::choose_among(named, &usual).name();
        assert_eq!(chosen(None), Source::BuiltIn.name());
        std::fs::write(&second, "").unwrap();
        assert_eq!(chosen(None), second.display().to_string());
        std::fs::write(&first, "").unwrap();
        assert_eq!(chosen(None), first.display().to_string());
        assert_eq!(chosen(Some(&second)), second.display().to_string());
        assert!(USUAL_FILES[0].starts_with("/etc/"), "{USUAL_FILES:?}");
    }

    #[test]
    fn an_unspecified_address_stands_for_those_that_others_can_reach() {
        let local: Vec<IpAddr> = ["127.0.0.1", "192.0.2.1", "::1", "fe80::1", "2001:db8::1"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        for (listen, local, expected) in [
            (
                "udp:0.0.0.0:5060",
                &local[..],
                vec!["sip:192.0.2.1:5060;transport=udp"],
            ),
            (
                "tcp:[::]:5060",
                &local[..],
                vec!["sip:[2001:db8::1]:5060;transport=tcp"],
            ),
            (
                "udp:0.0.0.0:5060",
                &local[..1],
                vec!["sip:127.0.0.1:5060;transport=udp"],
            ),
            (
                "tcp:127.0.0.1:6000",
                &local[..],
                vec!["sip:127.0.0.1:6000;transport=tcp"],
            ),
        ] {
            let settings = Settings::from_toml(&format!("[sip]\nlisten = [\"{listen}\"]"));
            assert_eq!(
                uris_of(&settings.unwrap().sip.listen[0], local),
                expected,
                "{listen}"
            );
        }
    }
}
