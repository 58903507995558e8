//! The store of calls, and calls that went from one process or node to another.

use std::fmt;

use holdfast_control::status::Store;

use super::Out;

pub(super) fn of_store(out: &mut Out<'_>, store: &Store) -> fmt::Result {
    out.gauges(
        "store_info",
        "Always 1; store.kind",
        [(vec![("kind", store.kind.as_str())], 1.0)],
    )?;
    out.gauges(
        "store_epoch",
        "Number of this process among all starts of nodes that share the store; absent where it is not shared",
        store.epoch.map(|epoch| (vec![], epoch as f64)),
    )?;
    out.gauges(
        "store_lease_seconds",
        "How long others take this node for alive after its last word; absent where the store is not shared",
        store.lease_ms.map(|ms| (vec![], ms as f64 / 1e3)),
    )?;
    out.counter(
        "store_outages",
        "How often the state of calls could not be saved",
        store.outages,
    )?;
    out.counters(
        "store_away_seconds",
        "For how long it could not, together and until now",
        [(vec![], store.away_us as f64 / 1e6)],
    )?;
    out.counters(
        "calls_handed_over",
        "Calls that went from one process or node to another: restored (of the process before), adopted (of \
         a dead node), taken (by another node), unreadable (saved, and of no use)",
        [
            ("restored", store.restored),
            ("adopted", store.adopted),
            ("taken", store.taken),
            ("unreadable", store.unreadable),
        ]
        .map(|(how, count)| (vec![("how", how)], count as f64)),
    )
}
