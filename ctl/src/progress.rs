//! How far long work has come: one line on standard error, rewritten in place.
//!
//! Where standard error is no terminal, nothing is written there.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::time::{Duration, Instant};

/// What is being done, and how much of it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub doing: &'static str,
    /// Recordings that are done, of so many; where there are several.
    pub recordings: Option<(usize, usize)>,
    /// Octets that are done.
    pub octets: u64,
    /// Of so many, where that is known.
    pub octets_of: Option<u64>,
}

/// The line of some work, which goes when the work ends.
pub(crate) struct Progress(Option<RefCell<Screen>>);

struct Screen {
    work: Work,
    pace: Pace,
    is_shown: bool,
}

/// When the line was written last.
#[derive(Default)]
struct Pace(Option<Instant>);

impl Progress {
    pub fn begin(work: Work) -> Self {
        let screen = Screen {
            work,
            pace: Pace::default(),
            is_shown: false,
        };
        let is_terminal = io::stderr().is_terminal();
        let progress = Self(is_terminal.then(|| RefCell::new(screen)));
        progress.update(|_| {});
        progress
    }

    /// Changes what is told, which is shown unless it was just now.
    pub fn update(&self, change: impl FnOnce(&mut Work)) {
        let Some(screen) = &self.0 else { return };
        let mut screen = screen.borrow_mut();
        change(&mut screen.work);
        if screen.pace.is_due(Instant::now()) {
            screen.is_shown = true;
            // A terminal that is gone does not end the work.
            let _ = write!(io::stderr(), "{ERASE}holdfast: {}", screen.work);
        }
    }

    /// So many octets more are done.
    pub fn add(&self, octets: usize) {
        self.update(|work| work.octets += octets as u64);
    }

    /// Takes the line away, so that something else can be written; the next change shows it again.
    pub fn hide(&self) {
        let Some(screen) = &self.0 else { return };
        if std::mem::take(&mut screen.borrow_mut().is_shown) {
            let _ = write!(io::stderr(), "{ERASE}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.hide();
    }
}

impl Pace {
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|shown| now >= shown + SHOWN_AGAIN);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.doing)?;
        let mebi = |octets: u64| octets >> 20;
        let done = mebi(self.octets);
        if let Some((done, of)) = self.recordings {
            write!(f, ", {done} of {of} recordings")?;
        }
        match self.octets_of {
            Some(of) => write!(f, ", {done} of {} MiB", mebi(of)),
            None => write!(f, ", {done} MiB"),
        }
    }
}

/// Adds what is read through it.
pub(crate) struct Counted<'a, R> {
    pub inner: R,
    pub progress: &'a Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(octets)?;
        self.progress.add(count);
        Ok(count)
    }
}

/// To the begin of the line, and what stands there goes.
const ERASE: &str = "\r\x1b[K";
/// Often enough to be seen moving.
const SHOWN_AGAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_and_of_how_much() {
        let one = Work {
            doing: "verifying",
            octets: 5 << 20,
            octets_of: Some((7 << 20) + 3),
            ..Work::default()
        };
        assert_eq!(one.to_string(), "verifying, 5 of 7 MiB");
        let all = Work {
            recordings: Some((1, 3)),
            octets_of: None,
            ..one
        };
        assert_eq!(all.to_string(), "verifying, 1 of 3 recordings, 5 MiB");
    }

    #[test]
    fn the_line_is_written_ten_times_a_second_at_most() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        let mut shown = Vec::new();
        for milliseconds in 0..=250 {
            if pace.is_due(begin + Duration::from_millis(milliseconds)) {
                shown.push(milliseconds);
            }
        }
        assert_eq!(shown, [0, 100, 200]);
    }
}
