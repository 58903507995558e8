//! The folder of published recordings: which there are, what their manifests say, whether their files
//! are what these say, and which of them are meant by a search.
//!
//! It reads the folder and never writes there. What does not look like a recording is passed over; one whose manifest
//! does not read is told as such.

mod catalogue;
mod day;
mod error;
mod evidence;
mod fingerprint;
#[cfg(feature = "index")]
mod index;
mod search;

pub use catalogue::{Catalogue, Entry, check_id, read_error};
pub use day::{Day, parse_day, parse_moment};
pub use error::CatalogueError;
pub use evidence::{Finding, check_file, check_files, check_files_telling, check_manifest};
pub use fingerprint::{fingerprint, hex, is_within};
#[cfg(feature = "index")]
pub use index::{Index, IndexError, Refreshed};
pub use search::{Found, Query};
