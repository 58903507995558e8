//! Stretches of the timeline: half open, in samples at 8 kHz from the start of the recording.

/// From a sample up to, not including, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// The first sample.
    pub(crate) from: i64,
    /// The one after the last.
    pub(crate) to: i64,
}

impl Span {
    /// Its length; zero where it ends before it begins.
    pub(crate) const fn len(self) -> i64 {
        let len = self.to.saturating_sub(self.from);
        if len < 0 { 0 } else { len }
    }

    /// Whether it holds no sample.
    pub(crate) const fn is_empty(self) -> bool {
        self.to <= self.from
    }

    /// What it has in common with another.
    pub(crate) fn common(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            to: self.to.min(other.to),
        }
    }

    /// The same stretch moved.
    pub(crate) const fn moved(self, by: i64) -> Self {
        Self {
            from: self.from.saturating_add(by),
            to: self.to.saturating_add(by),
        }
    }
}

/// Where a run sounds. Stretches less than a second apart are one: nobody else is put between.
///
/// Their number is bounded by the seconds of the recording.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    list: Vec<Span>,
    /// The last one in order, which may still be cut.
    tail: Option<Span>,
    /// Number at which the list, to which late packets are added at its end, is put in order.
    tidy_at: usize,
}

impl Spans {
    /// Adds the stretch that is next in order.
    pub(crate) fn follow(&mut self, span: Span) {
        if let Some(tail) = self.tail.replace(span) {
            self.add(tail);
        }
    }

    /// Cuts the last one in order.
    pub(crate) fn cut(&mut self, to: i64) {
        self.tail = self.tail.map(|tail| Span {
            to: tail.to.min(to.max(tail.from)),
            ..tail
        });
    }

    /// Adds a stretch.
    pub(crate) fn add(&mut self, span: Span) {
        if let Some(last) = self.list.last_mut()
            && span.from >= last.from
            && span.from <= last.to.saturating_add(JOIN_SAMPLES)
        {
            last.to = last.to.max(span.to);
            return;
        }
        // Late packets nearly always fall into the last stretch.
        let within = |known: &Span| known.from <= span.from && span.to <= known.to;
        if self.list.iter().rev().take(4).any(within) {
            return;
        }
        if self.list.len() >= self.tidy_at.max(TIDY_MIN) {
            self.list = join(std::mem::take(&mut self.list), JOIN_SAMPLES);
            self.tidy_at = self.list.len() * 2;
        }
        self.list.push(span);
    }

    /// All stretches in order, apart from each other.
    pub(crate) fn sorted(&self) -> Vec<Span> {
        let known = self.list.iter().chain(&self.tail).copied();
        join(known.collect(), JOIN_SAMPLES)
    }
}

/// Sorts stretches and makes one of those that are at most `distance` apart.
pub(crate) fn join(mut list: Vec<Span>, distance: i64) -> Vec<Span> {
    list.sort_unstable();
    list.dedup_by(|next, kept| {
        let joins = next.from <= kept.to.saturating_add(distance);
        if joins {
            kept.to = kept.to.max(next.to);
        }
        joins
    });
    list
}

/// What of `span` is in none of `taken`, which are sorted and apart.
pub(crate) fn subtract(span: Span, taken: &[Span]) -> Vec<Span> {
    let mut left = Vec::new();
    let mut from = span.from;
    let first = taken.partition_point(|taken| taken.to <= span.from);
    for taken in taken
        .iter()
        .skip(first)
        .take_while(|taken| taken.from < span.to)
    {
        left.push(Span {
            from,
            to: taken.from,
        });
        from = from.max(taken.to);
    }
    left.push(Span { from, to: span.to });
    left.retain(|span| !span.is_empty());
    left
}

/// 1 s.
const JOIN_SAMPLES: i64 = super::RATE;

const TIDY_MIN: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(list: &[(i64, i64)]) -> Vec<Span> {
        list.iter().map(|&(from, to)| Span { from, to }).collect()
    }

    #[test]
    fn what_is_left_of_a_span() {
        let taken = spans(&[(10, 20), (30, 40)]);
        for (span, left) in [
            ((0, 5), &[(0, 5)][..]),
            ((0, 50), &[(0, 10), (20, 30), (40, 50)]),
            ((12, 18), &[]),
            ((15, 35), &[(20, 30)]),
            ((20, 30), &[(20, 30)]),
            ((40, 41), &[(40, 41)]),
            ((5, 5), &[]),
        ] {
            let span = Span {
                from: span.0,
                to: span.1,
            };
            assert_eq!(subtract(span, &taken), spans(left), "{span:?}");
        }
    }

    #[test]
    fn stretches_join_in_any_order() {
        let mut sum = Spans::default();
        for from in [80_000, 0, 160, 8_000, 20_000, 80_160, 320] {
            sum.add(Span {
                from,
                to: from + 160,
            });
        }
        let joined = spans(&[(0, 8_160), (20_000, 20_160), (80_000, 80_320)]);
        assert_eq!(sum.sorted(), joined);
    }

    #[test]
    fn many_late_packets_do_not_grow_the_list() {
        let mut sum = Spans::default();
        for step in 0..100_000_i64 {
            let from = step * 7_919 % 1_600_000;
            sum.add(Span {
                from,
                to: from + 160,
            });
        }
        assert_eq!(sum.sorted().len(), 1);
        assert!(sum.list.len() <= TIDY_MIN, "{}", sum.list.len());
    }
}
