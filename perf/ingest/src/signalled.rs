//! The media of calls that another program signals, which tells in a log which ports and keys it offered
//! and which ports were answered.
//!
//! Each call that is up has a place of two streams within the 20 ms that a packet takes, and keeps it to
//! its end; the next call gets it then.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_load::invite::{Codec, Participant};
use holdfast_load::media::LegPlan;
use holdfast_load::pattern::{self, LegKey, StreamStart};
use holdfast_load::srtp::{self, SUITE};
use holdfast_load::verify::{CallTruth, LegTruth, MetadataTruth, Speaker};
use holdfast_srtp::{MasterKey, Mki, RtpTransform};

use crate::engine::label;
use crate::road::Road;
use crate::sender::{Batch, PACKET_TIME, PROGRESS_INTERVAL, SLEEP_MIN, Target};

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Calls in all.
    pub calls: u32,
    /// Calls at once.
    pub up: u32,
    /// Packets of each stream.
    pub count: u32,
    /// Whether each offer has keys, and the packets are encrypted.
    pub is_encrypted: bool,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Calls that came up and were sent to their end.
    pub calls: u32,
    /// Most calls at once.
    pub up_max: u32,
    /// Packets.
    pub packets: u64,
    /// How late the latest batch left.
    pub late_max: Duration,
    /// From the first call to the last packet.
    pub took: Duration,
}

/// A call that is up.
#[derive(Debug)]
struct Call {
    call_id: String,
    /// SIPp's number of it, which is in the names of who takes part.
    name: String,
    legs: [(Target, StreamStart); 2],
    sent: u32,
}

/// Sends each call's packets from the moment its line is in the log, and says to `ended` what has been
/// sent of it. Gives up where no call is up and none comes up for a while. `progress` is told how many
/// calls are up, have ended, and how many packets were sent.
pub fn send(
    road: &mut Road,
    log: &Path,
    plan: &Plan,
    ended: mpsc::Sender<CallTruth>,
    mut progress: impl FnMut(u32, u32, u64),
) -> io::Result<Sent> {
    let mut log = Log::new(log);
    // A call is replaced by the next one while its own BYE is under way.
    let places = plan.up as usize * 2;
    let interval = PACKET_TIME.as_nanos() as u64 / (2 * places as u64);
    let in_batch = (road.batch(Duration::from_nanos(interval)) / 2).max(1);
    let mut batch = Batch::new(in_batch * 2);
    let mut calls: Vec<Option<Call>> = (0..places).map(|_| None).collect();
    let (mut sent, mut numbered, mut up) = (Sent::default(), 0, 0);
    let (mut start, mut last_news) = (Instant::now(), Instant::now());
    let mut next_progress = Instant::now() + PROGRESS_INTERVAL;
    let mut round = 0;
    while sent.calls < plan.calls && (up > 0 || last_news.elapsed() < PATIENCE) {
        for line in log.news()? {
            let free = calls.iter_mut().find(|place| place.is_none());
            let place = free.ok_or_else(|| io::Error::other("more calls are up than were told"))?;
            *place = Some(Call::parse(&line, numbered, plan)?);
            if numbered == 0 {
                (start, round) = (Instant::now(), 0);
            }
            numbered += 1;
            up += 1;
            last_news = Instant::now();
        }
        sent.up_max = sent.up_max.max(up);
        for (index, places) in calls.chunks_mut(in_batch).enumerate() {
            let mut size = 0;
            for call in places.iter_mut().flatten() {
                for (target, first) in &call.legs {
                    batch.set(size, road, target, *first, call.sent);
                    size += 1;
                }
                call.sent += 1;
            }
            if size == 0 {
                continue;
            }
            let before = (index * in_batch * 2) as u64 * interval;
            let due = PACKET_TIME * round + Duration::from_nanos(before);
            if let Some(early) = due.checked_sub(start.elapsed()) {
                thread::sleep(early.max(SLEEP_MIN));
            }
            batch.send(road, size)?;
            sent.late_max = sent.late_max.max(start.elapsed().saturating_sub(due));
            sent.packets += size as u64;
            for place in places {
                if let Some(call) = place.take_if(|call| call.sent == plan.count) {
                    sent.calls += 1;
                    up -= 1;
                    last_news = Instant::now();
                    // Who does not listen has failed, and says so.
                    let _ = ended.send(call.truth());
                }
            }
        }
        round += 1;
        if let Some(early) = (PACKET_TIME * round).checked_sub(start.elapsed()) {
            thread::sleep(early);
        }
        if Instant::now() >= next_progress {
            next_progress += PROGRESS_INTERVAL;
            progress(up, sent.calls, sent.packets);
        }
    }
    sent.took = start.elapsed();
    Ok(sent)
}

impl Call {
    /// Reads `CALL-ID NUMBER OFFERED OFFERED ADDRESS ANSWERED ANSWERED`, and where packets are encrypted
    /// `KEY KEY`, as they were offered in `inline:`.
    fn parse(line: &str, number: u32, plan: &Plan) -> io::Result<Self> {
        let odd = || io::Error::new(io::ErrorKind::InvalidData, format!("in the log: {line}"));
        let fields: Vec<&str> = line.split(' ').collect();
        let (call, keys) = fields.split_at_checked(7).ok_or_else(odd)?;
        let &[call_id, name, from_1, from_2, address, to_1, to_2] = call else {
            return Err(odd());
        };
        let keys = match (keys, plan.is_encrypted) {
            ([], false) => [None, None],
            (&[key_1, key_2], true) => [Some(key_1), Some(key_2)],
            _ => return Err(odd()),
        };
        let port = |text: &str| text.parse::<u16>().map_err(|_| odd());
        let address = address.parse().map_err(|_| odd())?;
        let leg = |leg, from, to, offered: Option<&str>| {
            let key = LegKey { call: number, leg };
            let protection = offered.map(|text| transform(text).ok_or_else(odd));
            // What is encrypted wraps on its way.
            let start = match offered {
                Some(_) => srtp::stream_start(key, plan.count),
                None => pattern::stream_start(key),
            };
            let target = Target {
                key,
                to: SocketAddrV4::new(address, port(to)?),
                from: Some(port(from)?),
                protection: protection.transpose()?,
            };
            Ok::<_, io::Error>((target, start))
        };
        Ok(Self {
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            legs: [
                leg(0, from_1, to_1, keys[0])?,
                leg(1, from_2, to_2, keys[1])?,
            ],
            sent: 0,
        })
    }

    /// What was sent of it.
    fn truth(self) -> CallTruth {
        let legs = self.legs.iter().map(|(target, _)| LegTruth {
            label: label(target.key.leg),
            plan: LegPlan::plain(target.key, Codec::Pcmu, self.sent),
        });
        CallTruth {
            legs: legs.collect(),
            metadata: Some(metadata(&self.name)),
            call_id: self.call_id,
        }
    }
}

/// What protects packets under a key as `inline:` has it (RFC 4568 section 6.1).
fn transform(key: &str) -> Option<RtpTransform> {
    let octets = STANDARD.decode(key).ok()?;
    let master = MasterKey::new(SUITE, &octets)?;
    Some(RtpTransform::new(&master, Mki::default()))
}

/// What the scenarios of perf/sipp say of a call, with the names that perf/steady/run puts there.
fn metadata(number: &str) -> MetadataTruth {
    let speaker = |leg: u8, id: &str, user: &str, name: &str| Speaker {
        id: id.to_owned(),
        who: Participant {
            aor: format!("sip:{user}@example.com"),
            name: format!("{name} {number}"),
        },
        label: label(leg),
    };
    MetadataTruth {
        document: None,
        group: GROUP.to_owned(),
        session: SESSION.to_owned(),
        sip_session: SIP_SESSION.to_owned(),
        speakers: vec![
            speaker(0, ALICE, "alice", "Caller"),
            speaker(1, BOB, "bob", "Callee"),
        ],
    }
}

/// A log that grows.
#[derive(Debug)]
struct Log<'a> {
    path: &'a Path,
    file: Option<File>,
    /// A line whose end is not there yet.
    rest: String,
}

impl<'a> Log<'a> {
    const fn new(path: &'a Path) -> Self {
        Self {
            path,
            file: None,
            rest: String::new(),
        }
    }

    /// The calls that came up since: what follows `media ` in whole lines that begin so.
    fn news(&mut self) -> io::Result<Vec<String>> {
        if self.file.is_none() {
            match File::open(self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(file) = &mut self.file {
            file.read_to_string(&mut self.rest)?;
        }
        let whole = self.rest.rfind('\n').map_or(0, |at| at + 1);
        let news = self.rest[..whole].lines();
        let news = news.filter_map(|line| Some(line.strip_prefix("media ")?.to_owned()));
        let news = news.collect();
        self.rest.drain(..whole);
        Ok(news)
    }
}

// As in perf/sipp.
const GROUP: &str = "7+OTCyoxTmqmqyA/1weDAg==";
const SESSION: &str = "hVpd7YQgRW2nD22h7q60JQ==";
const SIP_SESSION: &str =
    "ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2";
const ALICE: &str = "srfBElmCRp2QB23b7Mpk0w==";
const BOB: &str = "zSfPoSvdSDCmU3A3TRDxAw==";

/// How long no call comes up before there will be none.
const PATIENCE: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const fn plan(is_encrypted: bool) -> Plan {
        Plan {
            calls: 1,
            up: 1,
            count: 50,
            is_encrypted,
        }
    }

    #[test]
    fn a_line_tells_where_from_and_where_to() {
        let line = "7-1@127.0.0.1 3 36000 36002 127.0.0.1 10000 10002";
        let call = Call::parse(line, 7, &plan(false)).unwrap();
        let legs: Vec<_> = call
            .legs
            .iter()
            .map(|(target, _)| (target.from, target.to.port()))
            .collect();
        assert_eq!(legs, [(Some(36_000), 10_000), (Some(36_002), 10_002)]);
        let truth = call.truth();
        assert_eq!(truth.call_id, "7-1@127.0.0.1");
        assert_eq!(truth.legs[1].plan.key, LegKey { call: 7, leg: 1 });
        assert_eq!(truth.metadata.unwrap().speakers[1].who.name, "Callee 3");
    }

    #[test]
    fn each_leg_is_encrypted_with_the_key_that_its_line_offered() {
        let keys = [0, 1].map(|leg| LegKey { call: 9, leg });
        let [key_1, key_2] = keys.map(|key| STANDARD.encode(srtp::master(key)));
        let line = format!("7-1@h 3 36000 36002 127.0.0.1 10000 10002 {key_1} {key_2}");
        let call = Call::parse(&line, 7, &plan(true)).unwrap();
        let packet = [&[0x80, 0, 0, 1], &[7; 168][..]].concat();
        for ((target, start), key) in call.legs.iter().zip(keys) {
            let [mut found, mut right] = [Vec::new(), Vec::new()];
            let protection = target.protection.as_ref().unwrap();
            protection.protect(&packet, 0, &mut found).unwrap();
            let own = srtp::transform(key);
            own.protect(&packet, 0, &mut right).unwrap();
            assert_eq!(found, right);
            assert!(u32::from(start.sequence) + 50 > 0x1_0000, "it wraps");
        }
        let plain = "7-1@h 3 36000 36002 127.0.0.1 10000 10002";
        let short = format!("{plain} {key_1} {}", &key_2[..36]);
        for (line, is_encrypted) in [(&line[..], false), (plain, true), (&short, true)] {
            let parsed = Call::parse(line, 7, &plan(is_encrypted));
            assert!(parsed.is_err(), "{line}");
        }
    }

    #[test]
    fn the_scenario_says_what_is_looked_for() {
        let plain = include_str!("../../sipp/demo.xml");
        for scenario in [plain, include_str!("../../sipp/siprec_srtp.xml")] {
            for id in [GROUP, SESSION, SIP_SESSION, ALICE, BOB] {
                assert!(scenario.contains(id), "{id}");
            }
            let speakers = metadata("1").speakers;
            assert!(speakers.iter().all(|one| scenario.contains(&one.who.aor)));
        }
    }

    #[test]
    fn a_line_that_is_none_is_refused() {
        for line in [
            "",
            "a 1 1 2 127.0.0.1 3",
            "a 1 1 2 here 3 4",
            "a 1 1 2 127.0.0.1 3 70000",
        ] {
            assert!(Call::parse(line, 0, &plan(false)).is_err(), "{line}");
        }
    }

    #[test]
    fn a_line_counts_when_it_is_whole_and_once() {
        let path = std::env::temp_dir().join(format!("holdfast-log-{}", std::process::id()));
        let mut log = Log::new(&path);
        assert!(log.news().unwrap().is_empty(), "it is not there yet");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"media one\nother\nmedia tw").unwrap();
        assert_eq!(log.news().unwrap(), ["one"]);
        file.write_all(b"o\n").unwrap();
        assert_eq!(log.news().unwrap(), ["two"]);
        assert!(log.news().unwrap().is_empty());
        std::fs::remove_file(&path).unwrap();
    }
}
