//! Messages out of a byte stream (RFC 3261 §18.3, RFC 5626 §3.5.1).
//!
//! The framer never guesses: without one usable Content-Length it does not know where the next
//! message begins, so the stream is broken, which is said once, and the connection must close.
//! It holds at most one message and what was delivered together with it.

use holdfast_units::MonoTime;

use crate::limits::Limits;
use crate::message::{Head, ParseError, ParseFault, content_length};

/// Cuts a stream into messages.
#[derive(Clone, Debug)]
pub struct StreamFramer {
    limits: Limits,
    buffer: Vec<u8>,
    state: State,
    /// When the last octets came.
    fed_at: MonoTime,
    /// When the first octet of the message in the buffer came.
    begun_at: Option<MonoTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between messages; counts the CRLFs in a row.
    Between { breaks: u8 },
    /// Looking for the end of the headers, from this offset on.
    Head { scanned: usize },
    /// Waiting for the buffer to hold so many octets.
    Body { length: usize },
    /// Framing is lost; everything further is ignored.
    Broken,
}

/// What came out of the stream.
#[derive(Clone, Debug)]
pub enum Frame {
    /// One whole message.
    Message(Vec<u8>),
    /// A keepalive: write one CRLF back.
    Pong,
    /// The connection cannot go on: hand this to
    /// [`Endpoint::handle_broken_stream`](crate::Endpoint::handle_broken_stream), which answers
    /// where it can and closes.
    Broken(BrokenStream),
}

/// Why framing was lost, and as much of the message as is needed to answer it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct BrokenStream {
    /// The reason.
    pub fault: StreamFault,
    pub(crate) refusal: Option<ParseError>,
}

/// Why framing was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// No Content-Length, which RFC 3261 §20.14 demands on a stream.
    #[error("no Content-Length on a stream")]
    LengthMissing,
    /// Content-Length is no number, or two numbers.
    #[error("unusable Content-Length")]
    LengthBad,
    /// Headers beyond the limit.
    #[error("headers too large")]
    HeadTooLarge,
    /// Body beyond the limit.
    #[error("body too large")]
    BodyTooLarge,
    /// The message did not arrive in time.
    #[error("message did not arrive in time")]
    TooSlow,
}

impl StreamFramer {
    /// A framer for one connection.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            buffer: Vec::new(),
            state: State::Between { breaks: 0 },
            fed_at: MonoTime::ZERO,
            begun_at: None,
        }
    }

    /// Takes what was read. Drain [`StreamFramer::poll_frame`] before the next read: that bounds
    /// the buffer.
    pub fn handle_bytes(&mut self, now: MonoTime, bytes: &[u8]) {
        if self.state == State::Broken {
            return;
        }
        self.fed_at = now;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, keepalive or fault.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        loop {
            match self.state {
                State::Between { breaks } => {
                    if let Some(frame) = self.skip_breaks(breaks) {
                        return Some(frame);
                    }
                    if self.buffer.is_empty() || self.state != (State::Head { scanned: 0 }) {
                        return None;
                    }
                }
                State::Head { scanned } => match head_end(&self.buffer, scanned) {
                    Some(end) => {
                        if let Err(fault) = self.read_length(end) {
                            return Some(self.fail(fault, end));
                        }
                    }
                    None if self.buffer.len() > self.limits.head_bytes_max => {
                        return Some(self.fail(StreamFault::HeadTooLarge, self.buffer.len()));
                    }
                    None => {
                        self.state = State::Head {
                            scanned: self.buffer.len(),
                        };
                        return None;
                    }
                },
                State::Body { length } if self.buffer.len() >= length => {
                    return Some(self.take_message(length));
                }
                State::Body { .. } | State::Broken => return None,
            }
        }
    }

    /// When the message in the buffer must be complete.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        self.begun_at
            .map(|begun_at| begun_at + self.limits.message_duration_max)
    }

    /// Lets time pass; yields the fault where a message took too long.
    pub fn handle_timeout(&mut self, now: MonoTime) -> Option<Frame> {
        self.poll_timeout().filter(|deadline| *deadline <= now)?;
        Some(self.fail(StreamFault::TooSlow, 0))
    }

    /// RFC 5626 §4.4.1: two CRLFs between messages are a ping; one alone means nothing.
    fn skip_breaks(&mut self, mut breaks: u8) -> Option<Frame> {
        let mut at = 0;
        let mut frame = None;
        while frame.is_none() {
            match self.buffer.get(at..).unwrap_or_default() {
                [b'\r', b'\n', ..] => {
                    at += 2;
                    breaks += 1;
                    if breaks == 2 {
                        breaks = 0;
                        frame = Some(Frame::Pong);
                    }
                }
                [b'\r'] => break,
                [b'\r' | b'\n', ..] => at += 1,
                [] => break,
                [_, ..] => {
                    self.buffer.drain(..at);
                    self.state = State::Head { scanned: 0 };
                    self.begun_at = Some(self.fed_at);
                    return None;
                }
            }
        }
        self.buffer.drain(..at);
        self.state = State::Between { breaks };
        frame
    }

    fn read_length(&mut self, head_end: usize) -> Result<(), StreamFault> {
        if head_end > self.limits.head_bytes_max {
            return Err(StreamFault::HeadTooLarge);
        }
        let octets = self.buffer.get(..head_end).unwrap_or_default();
        let head = Head::read(octets, self.limits.head_bytes_max);
        let length = content_length(&head.headers).map_err(|_| StreamFault::LengthBad)?;
        let length = length.ok_or(StreamFault::LengthMissing)?;
        if length > self.limits.body_bytes_max {
            return Err(StreamFault::BodyTooLarge);
        }
        self.state = State::Body {
            length: head_end.saturating_add(length),
        };
        Ok(())
    }

    fn take_message(&mut self, length: usize) -> Frame {
        let rest = self.buffer.split_off(length);
        let message = std::mem::replace(&mut self.buffer, rest);
        self.state = State::Between { breaks: 0 };
        self.begun_at = None;
        Frame::Message(message)
    }

    fn fail(&mut self, fault: StreamFault, head_end: usize) -> Frame {
        let parse_fault = match fault {
            StreamFault::LengthMissing => Some(ParseFault::Missing("Content-Length")),
            StreamFault::LengthBad => Some(ParseFault::Bad("Content-Length")),
            StreamFault::HeadTooLarge => Some(ParseFault::HeadTooLarge),
            StreamFault::BodyTooLarge => Some(ParseFault::BodyTooLarge),
            StreamFault::TooSlow => None,
        };
        let head = self.buffer.get(..head_end).unwrap_or_default();
        let refusal = parse_fault.map(|fault| ParseError::of_head(head, &self.limits, fault));
        self.buffer = Vec::new();
        self.state = State::Broken;
        self.begun_at = None;
        Frame::Broken(BrokenStream { fault, refusal })
    }
}

/// Offset after the blank line that ends the headers. Looks at each octet once: a line end is
/// searched from where the last search stopped, less what a split blank line may need.
fn head_end(buffer: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3);
    let tail = buffer.get(from..)?;
    let mut breaks = tail
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'\n')
        .map(|(at, _)| at);
    breaks.find_map(|at| match tail.get(at + 1..)? {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
