//! The stages themselves.

mod append;
mod demux_guard;
mod order;
mod protected;
mod render;
mod shard;
mod streams;
mod track;

pub(crate) use append::Append;
pub(crate) use demux_guard::{DemuxGuard, FeedAlone};
pub(crate) use order::{Reorder, Sequence};
pub(crate) use protected::Protect;
pub(crate) use render::{Depacketise, Render};
pub(crate) use shard::WholeShard;
pub(crate) use track::Track;
