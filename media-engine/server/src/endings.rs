//! The end of a recording waits for what is still on its way from the kernel.
//!
//! The packet ring gives a block of packets when it is full or its time is over, so a BYE may be
//! heard before the packets that came before it. Nothing waits for an end: the peer has its answer.
//! Where packets are left in the ring because the disk does not follow, an end waits as long.

use std::collections::VecDeque;
use std::time::Duration;

use holdfast_control::Life;
use holdfast_shard::Command;
use holdfast_units::{MonoTime, RecordingId};

/// How long an end waits: the time of a ring's block, twice, as the kernel may look at it late, and
/// some ticks.
const DELAY: Duration = Duration::from_millis(50);

/// Ends of recordings that wait, with what was said of these recordings since.
#[derive(Debug, Default)]
pub struct Endings {
    waiting: VecDeque<(MonoTime, Command)>,
}

impl Endings {
    /// Takes a command, and gives it back where it need not wait.
    pub fn take(&mut self, now: MonoTime, command: Command) -> Option<Command> {
        let recording = recording_of(&command);
        let is_waited_for = recording.is_some()
            && self
                .waiting
                .iter()
                .any(|(_, waiting)| recording_of(waiting) == recording);
        if !is_waited_for && !is_end(&command) {
            return Some(command);
        }
        self.waiting.push_back((now + DELAY, command));
        None
    }

    /// A command whose time has come, where everything that had arrived until `drained_at` has been
    /// taken.
    pub fn due(&mut self, drained_at: MonoTime) -> Option<Command> {
        self.waiting.front().filter(|(at, _)| *at <= drained_at)?;
        self.waiting.pop_front().map(|(_, command)| command)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

fn is_end(command: &Command) -> bool {
    matches!(command, Command::Recording(recording) if recording.life != Life::Active)
}

fn recording_of(command: &Command) -> Option<RecordingId> {
    match command {
        Command::Recording(recording) => Some(recording.id),
        Command::Document(document) => Some(document.recording),
        Command::Connected
        | Command::Disconnected
        | Command::ReconcileDone
        | Command::Willing(_)
        | Command::AskLatencies
        | Command::AskMedia(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_control::Recording;
    use holdfast_manifest::EndReason;
    use holdfast_units::WallTime;

    use super::*;

    fn command(id: u8, is_end: bool) -> Command {
        let at = WallTime(0);
        let reason = EndReason::Bye;
        Command::Recording(Recording {
            id: RecordingId::from_bytes([id; 16]),
            shard: 0,
            revision: 1,
            started: at,
            life: if is_end {
                Life::Ended { reason, at }
            } else {
                Life::Active
            },
            streams: Vec::new(),
        })
    }

    #[test]
    fn an_end_waits_and_nothing_of_its_recording_overtakes_it() {
        let (mut endings, start) = (Endings::default(), MonoTime(1));
        assert!(endings.take(start, command(1, false)).is_some());
        assert!(endings.take(start, command(1, true)).is_none());
        assert!(endings.take(start, command(1, false)).is_none());
        assert!(
            endings.take(start, command(2, false)).is_some(),
            "another recording"
        );
        assert!(endings.due(start + DELAY / 2).is_none());
        let due: Vec<bool> = std::iter::from_fn(|| endings.due(start + DELAY))
            .map(|c| is_end(&c))
            .collect();
        assert_eq!(due, [true, false]);
        assert!(endings.is_empty());
    }

    #[test]
    fn what_is_of_no_recording_does_not_wait() {
        let mut endings = Endings::default();
        assert!(endings.take(MonoTime(1), command(1, true)).is_none());
        assert!(endings.take(MonoTime(1), Command::ReconcileDone).is_some());
    }
}
