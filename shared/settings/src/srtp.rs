//! Encrypted media: `[srtp]`, and what a `[[peer]]` has of its own.

use holdfast_units::SrtpSuite;

use crate::check::{Checker, quoted};
use crate::raw::{RawPeer, RawSrtp};
use crate::settings::{KeysWithoutTls, Srtp, SrtpPreference};

pub(crate) fn srtp(checker: &mut Checker<'_>, raw: &RawSrtp) -> Srtp {
    Srtp {
        suites: suites(checker, "srtp.suites", &raw.suites),
        prefer: checker.choice(
            "srtp.prefer",
            &raw.prefer,
            &[
                ("offer", SrtpPreference::Offer),
                ("own", SrtpPreference::Own),
            ],
        ),
        keys_without_tls: checker.choice(
            "srtp.keys_without_tls",
            &raw.keys_without_tls,
            &[
                ("refuse", KeysWithoutTls::Refuse),
                ("accept", KeysWithoutTls::Accept),
            ],
        ),
        opportunistic: raw.opportunistic,
    }
}

pub(crate) fn of_peer(checker: &mut Checker<'_>, at: &str, raw: &RawPeer, all: &Srtp) -> Srtp {
    Srtp {
        suites: match raw.srtp_suites.as_slice() {
            [only] if only == "default" => all.suites.clone(),
            own => suites(checker, &format!("{at}.srtp_suites"), own),
        },
        prefer: all.prefer,
        keys_without_tls: checker.choice(
            &format!("{at}.srtp_keys_without_tls"),
            &raw.srtp_keys_without_tls,
            &[
                ("default", all.keys_without_tls),
                ("refuse", KeysWithoutTls::Refuse),
                ("accept", KeysWithoutTls::Accept),
            ],
        ),
        opportunistic: checker.choice(
            &format!("{at}.srtp_opportunistic"),
            &raw.srtp_opportunistic,
            &[("default", all.opportunistic), ("on", true), ("off", false)],
        ),
    }
}

fn suites(checker: &mut Checker<'_>, key: &str, raw: &[String]) -> Vec<SrtpSuite> {
    let known = SrtpSuite::ALL.map(|suite| (suite.name(), suite));
    let mut suites = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let suite = checker.choice(&key, text, &known);
        if checker.is_good(&key) && suites.contains(&suite) {
            checker.clash(
                &key,
                quoted(text),
                "it stands there twice",
                "name each once",
            );
        }
        suites.push(suite);
    }
    suites
}
