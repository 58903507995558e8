//! Audio that was placed when the tracks were read for the plan, kept so that they need not be read again.
//!
//! What follows without a gap is one stretch: a voice without silence suppression is a single one.

use std::fmt;

use crate::timeline::{Law, Placement};

/// The audio of one track, in the order in which it was placed.
#[derive(Default)]
pub(super) struct Kept {
    stretches: Vec<Stretch>,
    octets: Vec<u8>,
}

/// Octets that follow one another in one run.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    run: usize,
    at: i64,
    law: Law,
    size: usize,
}

impl Kept {
    /// Keeps audio, unless that makes it more than so many octets in all.
    pub(super) fn push(
        &mut self,
        placement: &Placement<'_>,
        octets_max: usize,
    ) -> Result<(), TooMuch> {
        let &Placement {
            run,
            at,
            law,
            payload,
        } = placement;
        let stretches = (self.stretches.len() + 1) * size_of::<Stretch>();
        if self.octets.len() + payload.len() + stretches > octets_max {
            return Err(TooMuch);
        }
        self.octets.extend_from_slice(payload);
        let size = payload.len();
        match self.stretches.last_mut() {
            Some(last) if last.goes_on(run, at, law) => last.size += size,
            _ => self.stretches.push(Stretch { run, at, law, size }),
        }
        Ok(())
    }

    /// Octets that it takes.
    pub(super) fn size(&self) -> usize {
        self.octets.len() + self.stretches.len() * size_of::<Stretch>()
    }

    /// What was kept, in pieces of a length that a window takes at a time.
    pub(super) fn pieces(&self) -> Pieces<'_> {
        Pieces {
            stretches: self.stretches.iter(),
            octets: &self.octets,
            current: None,
        }
    }
}

impl Stretch {
    fn goes_on(&self, run: usize, at: i64, law: Law) -> bool {
        self.run == run
            && self.law == law
            && at.checked_sub_unsigned(self.size as u64) == Some(self.at)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("stretches", &self.stretches.len())
            .field("octets", &self.octets.len())
            .finish()
    }
}

/// There is more audio than is kept.
#[derive(Debug)]
pub(super) struct TooMuch;

/// Hands out what was kept.
pub(super) struct Pieces<'a> {
    stretches: std::slice::Iter<'a, Stretch>,
    octets: &'a [u8],
    /// The rest of the stretch that was begun.
    current: Option<Stretch>,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Placement<'a>;

    fn next(&mut self) -> Option<Placement<'a>> {
        let stretch = self
            .current
            .take()
            .or_else(|| self.stretches.next().copied())?;
        let (payload, rest) = self.octets.split_at(stretch.size.min(PIECE_SIZE));
        self.octets = rest;
        if payload.len() < stretch.size {
            self.current = Some(Stretch {
                at: stretch.at.saturating_add_unsigned(payload.len() as u64),
                size: stretch.size - payload.len(),
                ..stretch
            });
        }
        Some(Placement {
            run: stretch.run,
            at: stretch.at,
            law: stretch.law,
            payload,
        })
    }
}

/// Octets handed out at once: 1 s. What of them lies beyond the window is copied.
const PIECE_SIZE: usize = 8_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(run: usize, at: i64, law: Law, payload: &[u8]) -> Placement<'_> {
        Placement {
            run,
            at,
            law,
            payload,
        }
    }

    #[test]
    fn what_was_kept_comes_out_as_it_was_placed() {
        let octets: Vec<u8> = (0..20_000_u32).map(|at| at as u8).collect();
        let (first, second) = octets.split_at(12_345);
        let mut kept = Kept::default();
        for placement in [
            placement(0, -5, Law::Mu, first),
            placement(0, 12_340, Law::Mu, second),
            placement(0, 20_000, Law::Mu, b"behind a gap"),
            placement(1, 20_012, Law::Mu, b"another run"),
            placement(1, 20_023, Law::A, b"another law"),
            placement(1, 7, Law::A, b"late"),
            placement(1, 11, Law::A, b""),
        ] {
            kept.push(&placement, 1 << 20).unwrap();
        }
        assert_eq!(kept.stretches.len(), 5, "{kept:?}");
        let mut pieces = kept.pieces();
        let mut next = || pieces.next().map(|it| (it.run, it.at, it.law, it.payload));
        assert_eq!(next(), Some((0, -5, Law::Mu, &octets[..8_000])));
        assert_eq!(next(), Some((0, 7_995, Law::Mu, &octets[8_000..16_000])));
        assert_eq!(next(), Some((0, 15_995, Law::Mu, &octets[16_000..])));
        assert_eq!(next(), Some((0, 20_000, Law::Mu, &b"behind a gap"[..])));
        assert_eq!(next(), Some((1, 20_012, Law::Mu, &b"another run"[..])));
        assert_eq!(next(), Some((1, 20_023, Law::A, &b"another law"[..])));
        assert_eq!(next(), Some((1, 7, Law::A, &b"late"[..])));
        assert_eq!(next(), None);
    }

    #[test]
    fn not_more_is_kept_than_is_allowed() {
        let mut kept = Kept::default();
        let room = 2 * (100 + size_of::<Stretch>());
        assert!(
            kept.push(&placement(0, 0, Law::Mu, &[1; 100]), room)
                .is_ok()
        );
        assert!(
            kept.push(&placement(0, 200, Law::Mu, &[1; 101]), room)
                .is_err()
        );
        assert!(
            kept.push(&placement(0, 200, Law::Mu, &[1; 100]), room)
                .is_ok()
        );
        assert_eq!(kept.size(), room);
    }
}
