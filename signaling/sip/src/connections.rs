//! How many connections there may be, in all and from one source, and which of them gives way.
//!
//! It opens and closes nothing: the shell asks before it takes a connection, and says what became
//! of it. Where all places are taken, the oldest connection that has not brought a message yet
//! gives way, of a source that has its share the source's own oldest: whoever only holds connections
//! open does not keep others out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::transport::{Flow, source_of};

/// The connections that are open.
#[derive(Clone, Debug)]
pub struct Connections {
    total_max: usize,
    per_source_max: usize,
    source_by_flow: BTreeMap<Flow, IpAddr>,
    count_by_source: BTreeMap<IpAddr, usize>,
    /// Those that have brought no message yet. Flows are numbered in the order they came.
    silent: BTreeSet<Flow>,
    /// The same, by source.
    silent_by_source: BTreeSet<(IpAddr, Flow)>,
}

/// What becomes of a connection that somebody opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is taken.
    Free,
    /// It is taken, and this one is closed for it.
    Of(Flow),
    /// It is closed.
    None(Crowd),
}

/// Who takes all the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Crowd {
    /// Everybody together.
    #[error("as many connections as there may be")]
    All,
    /// The source itself.
    #[error("as many connections from one source as there may be")]
    Source,
}

impl Connections {
    /// None are open.
    pub const fn new(total_max: usize, per_source_max: usize) -> Self {
        Self {
            total_max,
            per_source_max,
            source_by_flow: BTreeMap::new(),
            count_by_source: BTreeMap::new(),
            silent: BTreeSet::new(),
            silent_by_source: BTreeSet::new(),
        }
    }

    /// A peer opens a connection. Where there is a place, it counts from now on.
    pub fn handle_accepted(&mut self, flow: Flow, remote: IpAddr) -> Place {
        let source = source_of(remote);
        let of_source = self.count_by_source.get(&source).copied().unwrap_or(0);
        let (crowd, oldest) = if of_source >= self.per_source_max {
            let mut own = self.silent_by_source.range((source, Flow(0))..);
            let own = own.next().filter(|(other, _)| *other == source);
            (Crowd::Source, own.map(|(_, flow)| *flow))
        } else if self.source_by_flow.len() >= self.total_max {
            (Crowd::All, self.silent.first().copied())
        } else {
            self.note_silent(flow, source);
            return Place::Free;
        };
        let Some(oldest) = oldest else {
            return Place::None(crowd);
        };
        self.handle_closed(oldest);
        self.note_silent(flow, source);
        Place::Of(oldest)
    }

    /// We open a connection: a call needs it, so it is not refused.
    pub fn handle_opened(&mut self, flow: Flow, remote: IpAddr) {
        self.note(flow, source_of(remote));
    }

    /// A whole message came: the connection is worth keeping.
    pub fn handle_message(&mut self, flow: Flow) {
        if self.silent.remove(&flow)
            && let Some(source) = self.source_by_flow.get(&flow)
        {
            self.silent_by_source.remove(&(*source, flow));
        }
    }

    /// A connection is gone.
    pub fn handle_closed(&mut self, flow: Flow) {
        self.handle_message(flow);
        let Some(source) = self.source_by_flow.remove(&flow) else {
            return;
        };
        if let Some(count) = self.count_by_source.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.count_by_source.remove(&source);
            }
        }
    }

    /// Open connections.
    pub fn count(&self) -> usize {
        self.source_by_flow.len()
    }

    fn note_silent(&mut self, flow: Flow, source: IpAddr) {
        self.note(flow, source);
        self.silent.insert(flow);
        self.silent_by_source.insert((source, flow));
    }

    fn note(&mut self, flow: Flow, source: IpAddr) {
        self.source_by_flow.insert(flow, source);
        *self.count_by_source.entry(source).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_oldest_silent_connection_gives_way() {
        let mut open = Connections::new(3, 3);
        for number in 1..=3 {
            assert_eq!(open.handle_accepted(Flow(number), ip(1)), Place::Free);
        }
        open.handle_message(Flow(1));
        assert_eq!(open.handle_accepted(Flow(4), ip(2)), Place::Of(Flow(2)));
        assert_eq!(open.count(), 3);
        open.handle_message(Flow(3));
        open.handle_message(Flow(4));
        let crowded = Place::None(Crowd::All);
        assert_eq!(open.handle_accepted(Flow(5), ip(2)), crowded);
        open.handle_closed(Flow(1));
        assert_eq!(open.handle_accepted(Flow(6), ip(2)), Place::Free);
    }

    #[test]
    fn one_source_has_its_share_and_gets_it_back() {
        let mut open = Connections::new(10, 2);
        let mut accept = |flow, last| {
            let place = open.handle_accepted(Flow(flow), ip(last));
            open.handle_message(Flow(flow));
            place
        };
        assert_eq!(accept(1, 1), Place::Free);
        assert_eq!(accept(2, 1), Place::Free);
        let crowded = Place::None(Crowd::Source);
        assert_eq!(accept(3, 1), crowded);
        assert_eq!(accept(4, 2), Place::Free);
        open.handle_closed(Flow(1));
        open.handle_closed(Flow(1));
        assert_eq!(open.handle_accepted(Flow(5), ip(1)), Place::Free);
        // Its own silent one gives way, not that of another.
        assert_eq!(open.handle_accepted(Flow(6), ip(2)), Place::Free);
        assert_eq!(open.handle_accepted(Flow(7), ip(1)), Place::Of(Flow(5)));
        open.handle_message(Flow(7));
        assert_eq!(open.handle_accepted(Flow(8), ip(1)), crowded);
        assert_eq!(open.count(), 4);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let mut open = Connections::new(10, 1);
        let ip = |text: &str| text.parse().expect("an address");
        assert_eq!(
            open.handle_accepted(Flow(1), ip("2001:db8::1")),
            Place::Free
        );
        open.handle_message(Flow(1));
        let crowded = Place::None(Crowd::Source);
        assert_eq!(open.handle_accepted(Flow(2), ip("2001:db8::2:1")), crowded);
        let next = ip("2001:db8:0:1::1");
        assert_eq!(open.handle_accepted(Flow(3), next), Place::Free);
    }

    #[test]
    fn our_own_connections_count_and_are_never_refused() {
        let mut open = Connections::new(1, 1);
        open.handle_opened(Flow(1), ip(1));
        open.handle_opened(Flow(2), ip(1));
        assert_eq!(open.count(), 2);
        let crowded = Place::None(Crowd::Source);
        assert_eq!(open.handle_accepted(Flow(3), ip(1)), crowded);
        assert_eq!(
            open.handle_accepted(Flow(4), ip(2)),
            Place::None(Crowd::All)
        );
    }
}
