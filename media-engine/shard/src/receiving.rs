//! Which streams receive: from a port that is opened to the counts of a stream that has ended.

use holdfast_control::Stream;
use holdfast_units::{MonoTime, RecordingId, WallTime};

use crate::assembled::LiveCounts;
use crate::live::LiveStream;
use crate::output::Output;
use crate::shard::Shard;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Shard<B> {
    /// The place of the stream that has this port; beyond the end where it is none of ours.
    pub(crate) fn pair(&self, port: u16) -> usize {
        usize::from(port.wrapping_sub(self.config.ports.first) >> 1)
    }

    pub(crate) fn live(&self, stream: &Stream) -> Option<&LiveStream> {
        let live = self.live.get(self.pair(stream.rtp_port))?.as_deref()?;
        (live.desired.id == stream.id).then_some(live)
    }

    pub(crate) fn live_mut(&mut self, stream: &Stream) -> Option<&mut LiveStream> {
        let pair = self.pair(stream.rtp_port);
        let live = self.live.get_mut(pair)?.as_deref_mut()?;
        (live.desired.id == stream.id).then_some(live)
    }

    /// Asks for the ports that a stream needs and does not have yet; answers whether there are any.
    pub(crate) fn open(&mut self, stream: &Stream) -> bool {
        let has = self.live(stream).map(|live| live.desired.rtcp_port);
        let rtp_port = match has {
            None => stream.rtp_port,
            Some(rtcp_port) if rtcp_port == stream.rtcp_port => return false,
            // rtcp-mux, from now on: no further port.
            Some(_) if stream.rtcp_port == stream.rtp_port => return false,
            // No longer rtcp-mux: only the port for RTCP is new.
            Some(_) => stream.rtcp_port,
        };
        self.outputs.push_back(Output::Open {
            stream: stream.id,
            address: stream.address,
            rtp_port,
            rtcp_port: stream.rtcp_port,
        });
        true
    }

    /// Gives up the ports that were opened for a stream and are not in use.
    pub(crate) fn close_unused(&mut self, stream: &Stream) {
        let used = self.live(stream).map(|live| live.desired.rtcp_port);
        match used {
            None => self.close_all(stream),
            Some(rtcp_port) if rtcp_port != stream.rtcp_port => {
                self.close_rtcp(stream);
            }
            Some(_) => {}
        }
    }

    fn close_all(&mut self, stream: &Stream) {
        self.outputs.push_back(Output::Close {
            port: stream.rtp_port,
        });
        self.close_rtcp(stream);
    }

    /// Closes the port for RTCP, where it has one of its own.
    fn close_rtcp(&mut self, stream: &Stream) {
        if stream.rtcp_port != stream.rtp_port {
            self.outputs.push_back(Output::Close {
                port: stream.rtcp_port,
            });
        }
    }

    /// Lets a stream be as it is wanted now; its ports are open.
    pub(crate) fn receive(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        recording: RecordingId,
        wanted: &Stream,
    ) {
        let random = self.random.next_u32();
        let keys = self.assembly.keys().clone();
        let Some(live) = self.live_mut(wanted) else {
            return self.insert_live(now, wall, recording, wanted.clone());
        };
        let former = live.desired.clone();
        live.change(now, wall, &keys, wanted.clone(), random);
        if former.rtcp_port != wanted.rtcp_port {
            self.close_rtcp(&former);
        }
    }

    pub(crate) fn insert_live(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        recording: RecordingId,
        stream: Stream,
    ) {
        let pair = self.pair(stream.rtp_port);
        let random = [self.random.next_u32(), self.random.next_u32()];
        let mut live = LiveStream::new(
            now,
            self.assembly.keys(),
            recording,
            stream,
            self.config.guard,
            random,
        );
        if let Some(counts) = self.ended_counts.remove(&live.desired.id) {
            live.restore(counts.refused, counts.kernel_drops);
        }
        let assembled = self.assembly.stream_mut(live.desired.id);
        if let Some((source, ssrc)) = assembled.and_then(|stream| stream.last_sender()) {
            live.restore_latch(wall, source, ssrc);
        }
        if let Some(place) = self.live.get_mut(pair) {
            *place = Some(Box::new(live));
        }
    }

    pub(crate) fn remove_live(&mut self, stream: &Stream) {
        if self.live(stream).is_none() {
            return;
        }
        let pair = self.pair(stream.rtp_port);
        self.send_goodbye(pair);
        if let Some(mut live) = self.live.get_mut(pair).and_then(Option::take) {
            live.give_up_held();
            let counts = LiveCounts {
                refused: *live.refused(),
                kernel_drops: live.kernel_drops,
            };
            self.refused_before.add(&counts.refused);
            self.ended_counts.insert(stream.id, counts);
            self.close_all(&live.desired);
        }
    }
}
