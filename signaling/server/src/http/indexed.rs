//! Searches of published recordings: by the index as soon as it has all of them, else by reading manifests.
//!
//! The index is a convenience: whatever is wrong with it is told once, and searches go on without it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use holdfast_catalogue::{Catalogue, CatalogueError, Found, Index, IndexError, Query, Refreshed};
use tracing::{info, warn};

use crate::chain;
use crate::clock::Clock;
use crate::limits::HTTP_MANIFESTS_MAX;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Indexed {
    catalogue: Catalogue,
    path: PathBuf,
    clock: Clock,
    /// `None` until all of the folder is in it, and where there can be none.
    index: Mutex<Option<Index>>,
}

impl Indexed {
    /// Of the recordings in `dir`, with an index at `path`.
    pub(super) fn new(dir: PathBuf, path: PathBuf) -> Self {
        Self {
            catalogue: Catalogue::new(dir),
            path,
            clock: Clock::start(),
            index: Mutex::new(None),
        }
    }

    /// Has the index follow the folder. With many recordings that takes a while at the first time.
    pub(super) fn build(&self) {
        let since = self.clock.now();
        let built = Index::open(&self.path, self.catalogue.clone()).and_then(|mut index| {
            let refreshed = match index.refresh(self.clock.wall()) {
                // The engine makes the folder, and may start later.
                Err(IndexError::Catalogue(_)) => Refreshed::default(),
                result => result?,
            };
            Ok((index, refreshed))
        });
        match built {
            Ok((index, refreshed)) => {
                let took = self.clock.now().since(since);
                let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                let (added, removed) = (refreshed.added, refreshed.removed);
                info!(added, removed, ms, "recordings are found by an index");
                *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(index);
            }
            Err(error) => warn_without(&error),
        }
    }

    /// The newest recordings that are meant, at most `count` of them.
    ///
    /// # Errors
    ///
    /// The folder does not read.
    pub(super) fn search(&self, query: &Query, count: usize) -> Result<Found, CatalogueError> {
        let mut place = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let by_index = place.as_mut().map(|index| {
            index.refresh(self.clock.wall())?;
            index.search(query, count)
        });
        match by_index {
            Some(Ok(found)) => return Ok(found),
            Some(Err(IndexError::Catalogue(error))) => return Err(error),
            Some(Err(error)) => {
                // It is made anew at the next start.
                *place = None;
                warn_without(&error);
            }
            None => {}
        }
        drop(place);
        self.catalogue.search(query, count, HTTP_MANIFESTS_MAX)
    }
}

fn warn_without(error: &IndexError) {
    let error = chain(error);
    warn!(error, "recordings are searched without an index");
}
