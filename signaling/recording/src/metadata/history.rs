//! Intervals in which something held: stated by the recording client on its clock, seen by this
//! server on its own. Both are kept; neither ever replaces the other (RFC 7865 §6.6.1: times can
//! recur, so an association is a list of intervals).
//!
//! Invariant: only the last interval may be open.

use holdfast_units::WallTime;
use serde::{Deserialize, Serialize};

use super::model::Times;
use super::time::SourceTime;

/// A moment on two clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// As the recording client stated it.
    pub source: Option<SourceTime>,
    /// When the document arrived here.
    pub arrival: WallTime,
}

/// From when to when something held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// The beginning; `None` where only an end was ever stated.
    pub from: Option<Moment>,
    /// The end; `None` while it lasts.
    pub to: Option<End>,
}

/// The end of an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub moment: Moment,
    /// Who says so.
    pub cause: EndCause,
}

/// Why an interval ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EndCause {
    /// The recording client said so.
    Stated,
    /// Inferred: a complete document no longer mentions it.
    Omitted,
    /// Inferred: its session has a stop time.
    SessionStopped,
    /// Inferred: the recording session ended.
    RecordingEnded,
}

/// All intervals of one thing, in the order they became known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    intervals: Vec<Interval>,
}

/// What an update did to a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) is_opened: bool,
    pub(super) is_closed: bool,
    /// A time was corrected or completed.
    pub(super) is_changed: bool,
    /// An end without a beginning.
    pub(super) is_stray: bool,
}

/// What an update is measured against.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) arrival: WallTime,
    /// The document names all that exists.
    pub(super) is_whole: bool,
    /// The session concerned has a stop time.
    pub(super) is_stopped: bool,
}

impl History {
    /// The intervals, in the order they became known.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// Whether it holds now.
    pub fn is_open(&self) -> bool {
        self.intervals.last().is_some_and(|last| last.to.is_none())
    }

    pub(super) fn open(&mut self, moment: Moment) -> bool {
        let is_new = !self.is_open();
        if is_new {
            self.intervals.push(Interval {
                from: Some(moment),
                to: None,
            });
        }
        is_new
    }

    pub(super) fn close(&mut self, end: &End) -> bool {
        match self.intervals.last_mut() {
            Some(last) if last.to.is_none() => {
                last.to = Some(end.clone());
                true
            }
            _ => false,
        }
    }

    /// Applies an association element: it touches the times it states and nothing else.
    pub(super) fn associate(&mut self, times: &Times, context: Context) -> Steps {
        match (&times.associate, &times.disassociate) {
            (None, None) => self.mentioned(context),
            (Some(from), None) => self.begin(from, context),
            (None, Some(to)) => self.end(to, context),
            (Some(from), Some(to)) if to.is_before(from) => {
                // Left and came back: the end is that of the interval before.
                if self.is_open() && self.last_began_at(from) {
                    return Steps::default();
                }
                let left = self.end(to, context);
                let back = self.begin(from, context);
                Steps {
                    is_opened: back.is_opened,
                    is_closed: left.is_closed,
                    is_changed: left.is_changed || back.is_changed,
                    is_stray: left.is_stray,
                }
            }
            (Some(from), Some(to)) => self.whole(from, to, context),
        }
    }

    /// Applies a media association, whose element is the whole new picture: what it does not list
    /// is over (RFC 7865 §6.8.1).
    pub(super) fn picture(&mut self, is_listed: bool, times: &Times, context: Context) -> Steps {
        let (from, to) = (times.associate.as_ref(), times.disassociate.as_ref());
        let stated = |source: Option<&SourceTime>| Moment {
            source: source.cloned(),
            arrival: context.arrival,
        };
        let is_rejoin = to.zip(from).is_some_and(|(to, from)| to.is_before(from));
        if let Some(to) = to.filter(|_| !is_rejoin) {
            let end = End {
                moment: stated(Some(to)),
                cause: EndCause::Stated,
            };
            if self.close(&end) {
                return Steps {
                    is_closed: true,
                    ..Steps::default()
                };
            }
            if !is_listed || self.ended_at(to) {
                return Steps::default();
            }
            self.intervals.push(Interval {
                from: Some(stated(from)),
                to: Some(end),
            });
            return Steps {
                is_opened: true,
                is_closed: true,
                ..Steps::default()
            };
        }
        let is_continued = !is_rejoin || from.is_some_and(|from| self.last_began_at(from));
        if self.is_open() && is_listed && is_continued {
            return Steps::default();
        }
        let end = End {
            moment: stated(to),
            cause: EndCause::Stated,
        };
        let is_closed = self.close(&end);
        let is_over = context.is_stopped && self.last_cause() == Some(EndCause::SessionStopped);
        let is_opened = is_listed && !is_over && {
            // A picture repeated with its old time after a pause did not begin again back then.
            let from = from.filter(|from| !self.last_began_at(from));
            self.open(stated(from))
        };
        Steps {
            is_opened,
            is_closed,
            ..Steps::default()
        }
    }

    /// Named without any time.
    fn mentioned(&mut self, context: Context) -> Steps {
        let is_over = match self.last_cause() {
            Some(EndCause::Stated) => !context.is_whole,
            Some(EndCause::SessionStopped) => context.is_stopped,
            Some(EndCause::Omitted | EndCause::RecordingEnded) | None => false,
        };
        let moment = Moment {
            source: None,
            arrival: context.arrival,
        };
        Steps {
            is_opened: !is_over && self.open(moment),
            ..Steps::default()
        }
    }

    fn begin(&mut self, from: &SourceTime, context: Context) -> Steps {
        let is_same = self.last_began_at(from);
        if self.is_open() {
            if let Some(moment) = self
                .intervals
                .last_mut()
                .and_then(|last| last.from.as_mut())
                && !is_same
            {
                moment.source = Some(from.clone());
            }
            return Steps {
                is_changed: !is_same,
                ..Steps::default()
            };
        }
        let is_repeated = is_same
            && match self.last_cause() {
                Some(EndCause::Stated) => true,
                Some(EndCause::SessionStopped) => context.is_stopped,
                Some(EndCause::Omitted | EndCause::RecordingEnded) | None => false,
            };
        let moment = Moment {
            source: Some(from.clone()),
            arrival: context.arrival,
        };
        Steps {
            is_opened: !is_repeated && self.open(moment),
            ..Steps::default()
        }
    }

    fn end(&mut self, to: &SourceTime, context: Context) -> Steps {
        let moment = Moment {
            source: Some(to.clone()),
            arrival: context.arrival,
        };
        let end = End {
            moment,
            cause: EndCause::Stated,
        };
        if self.close(&end) {
            return Steps {
                is_closed: true,
                ..Steps::default()
            };
        }
        if self.ended_at(to) {
            return Steps::default();
        }
        match self.intervals.last_mut() {
            // What was inferred gives way to what is stated.
            Some(last) if is_end_inferred(last) => {
                last.to = Some(end);
                Steps {
                    is_changed: true,
                    ..Steps::default()
                }
            }
            _ => {
                self.intervals.push(Interval {
                    from: None,
                    to: Some(end),
                });
                Steps {
                    is_stray: true,
                    ..Steps::default()
                }
            }
        }
    }

    /// An interval with both ends.
    fn whole(&mut self, from: &SourceTime, to: &SourceTime, context: Context) -> Steps {
        let moment = |time: &SourceTime| Moment {
            source: Some(time.clone()),
            arrival: context.arrival,
        };
        let end = End {
            moment: moment(to),
            cause: EndCause::Stated,
        };
        if let Some(known) = self
            .intervals
            .iter_mut()
            .rev()
            .find(|known| known.began_at(from))
        {
            let is_closed = known.to.is_none();
            let is_same = known.ended_at(to);
            if !is_same {
                known.to = Some(end);
            }
            return Steps {
                is_closed,
                is_changed: !is_closed && !is_same,
                ..Steps::default()
            };
        }
        let past = Interval {
            from: Some(moment(from)),
            to: Some(end),
        };
        let open_from = self.intervals.last().filter(|last| last.to.is_none());
        let open_from = open_from.map(|last| last.from.as_ref().and_then(|at| at.source.as_ref()));
        match open_from {
            None => self.intervals.push(past),
            // It lies before the one that lasts.
            Some(Some(began)) if !began.is_before(to) => {
                self.intervals
                    .insert(self.intervals.len().saturating_sub(1), past);
            }
            Some(_) => {
                if let Some(last) = self.intervals.last_mut() {
                    let arrival = last.from.as_ref().map_or(context.arrival, |at| at.arrival);
                    let from = Moment {
                        source: Some(from.clone()),
                        arrival,
                    };
                    *last = Interval {
                        from: Some(from),
                        to: past.to,
                    };
                }
                return Steps {
                    is_closed: true,
                    ..Steps::default()
                };
            }
        }
        Steps {
            is_opened: true,
            is_closed: true,
            ..Steps::default()
        }
    }

    pub(super) fn last_cause(&self) -> Option<EndCause> {
        self.intervals
            .last()
            .and_then(|last| last.to.as_ref())
            .map(|end| end.cause)
    }

    fn last_began_at(&self, from: &SourceTime) -> bool {
        self.intervals
            .last()
            .is_some_and(|last| last.began_at(from))
    }

    fn ended_at(&self, to: &SourceTime) -> bool {
        self.intervals.iter().any(|interval| interval.ended_at(to))
    }

    /// Estimated octets.
    pub(super) fn weight(&self) -> usize {
        let moment = |moment: &Moment| moment.source.as_ref().map_or(0, |time| time.text().len());
        let interval = |interval: &Interval| {
            size_of::<Interval>()
                + interval.from.as_ref().map_or(0, moment)
                + interval.to.as_ref().map_or(0, |end| moment(&end.moment))
        };
        self.intervals.iter().map(interval).sum()
    }
}

impl Interval {
    fn began_at(&self, time: &SourceTime) -> bool {
        let source = self.from.as_ref().and_then(|moment| moment.source.as_ref());
        source.is_some_and(|source| source.is_same(time))
    }

    fn ended_at(&self, time: &SourceTime) -> bool {
        let stated = self.to.as_ref().filter(|end| end.cause == EndCause::Stated);
        let source = stated.and_then(|end| end.moment.source.as_ref());
        source.is_some_and(|source| source.is_same(time))
    }
}

fn is_end_inferred(interval: &Interval) -> bool {
    interval
        .to
        .as_ref()
        .is_some_and(|end| end.cause != EndCause::Stated)
}
