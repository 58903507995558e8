//! A disk that costs nothing: all that it is asked for is done at once.

use holdfast_journal::{Output, Ticket};
use holdfast_shard::{DiskOrder, DiskResult};

/// What the journal is told of an output: the block of a write comes back.
pub(crate) fn complete<B>(output: Output<B>) -> (Ticket, Option<B>) {
    match output {
        Output::OpenSegment { ticket, .. }
        | Output::Sync { ticket, .. }
        | Output::DeleteSegment { ticket, .. } => (ticket, None),
        Output::Write { ticket, block, .. } => (ticket, Some(block)),
    }
}

/// What the shard is told of an order; nothing where the order ends in silence.
pub(crate) fn carry_out(order: DiskOrder) -> Option<DiskResult> {
    match order {
        DiskOrder::WriteTrack {
            recording,
            slot,
            offset,
            bytes,
            ..
        } => Some(DiskResult::TrackWritten {
            slot,
            recording,
            offset,
            bytes,
            result: Ok(()),
        }),
        DiskOrder::Sync => Some(DiskResult::Synced(Ok(()))),
        DiskOrder::SaveCheckpoint { .. } => Some(DiskResult::CheckpointSaved(Ok(()))),
        DiskOrder::SaveState { .. }
        | DiskOrder::WriteDocument { .. }
        | DiskOrder::Publish { .. }
        | DiskOrder::Remove { .. } => None,
    }
}
