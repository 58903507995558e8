//! `[store]`: where the state of calls is kept, so that it outlives the signaling process.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::convert::path_or;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawStore {
    pub kind: String,
    pub path: String,
    pub when_away: String,
}

impl Default for RawStore {
    fn default() -> Self {
        Self {
            kind: "sqlite".to_owned(),
            path: "auto".to_owned(),
            when_away: "accept".to_owned(),
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// What keeps it.
    pub kind: StoreKind,
    /// The database of [`StoreKind::Sqlite`].
    pub path: PathBuf,
    /// What new calls get while it does not save.
    pub when_away: WhenAway,
}

/// What keeps the state of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A file.
    Sqlite,
    /// Nothing: a restart of signaling ends all dialogs. For measuring what the others cost.
    Memory,
}

/// What new calls get while their state cannot be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// They are recorded, and flagged.
    Accept,
    /// 503.
    Refuse,
}

pub(crate) fn store(checker: &mut Checker<'_>, raw: &RawStore, state_dir: &Path) -> Store {
    Store {
        kind: checker.choice(
            "store.kind",
            &raw.kind,
            &[("sqlite", StoreKind::Sqlite), ("memory", StoreKind::Memory)],
        ),
        path: path_or(checker, "store.path", &raw.path, || {
            state_dir.join("dialogs.sqlite")
        }),
        when_away: checker.choice(
            "store.when_away",
            &raw.when_away,
            &[("accept", WhenAway::Accept), ("refuse", WhenAway::Refuse)],
        ),
    }
}
