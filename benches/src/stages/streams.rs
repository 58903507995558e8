//! The streams and recordings that are fed: two streams each, PCMU and telephone-event.

use std::collections::BTreeMap;
use std::net::IpAddr;

use holdfast_control::{Life, Recording, Stream, StreamMode};
use holdfast_manifest::Codec;
use holdfast_units::{RecordingId, StreamId};

use crate::feed::{LOCAL, STARTED, local_port, remote};

/// What the payload types mean.
pub(crate) fn codecs() -> BTreeMap<u8, Codec> {
    let codec = |name: &str| Codec {
        name: name.into(),
        clock_rate: 8_000,
        channels: 1,
        fmtp: None,
    };
    BTreeMap::from([(0, codec("PCMU")), (101, codec("telephone-event"))])
}

/// Identity of a stream.
pub(crate) const fn stream_id(stream: usize) -> StreamId {
    StreamId(1 << 40 | stream as u64)
}

/// Recordings of all streams.
pub(crate) fn recordings(streams: usize) -> impl Iterator<Item = Recording> {
    (0..streams).step_by(2).map(move |first| {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&(first as u64).to_be_bytes());
        Recording {
            id: RecordingId::from_bytes(id),
            shard: 0,
            revision: 1,
            started: STARTED,
            life: Life::Active,
            streams: (first..streams.min(first + 2)).map(desired).collect(),
        }
    })
}

fn desired(stream: usize) -> Stream {
    let remote = remote(stream);
    let leg = (stream % 2) as u16;
    Stream {
        id: stream_id(stream),
        number: leg + 1,
        media_line: leg,
        media: "audio".into(),
        label: Some((leg + 1).to_string()),
        channel: leg,
        address: IpAddr::V4(LOCAL),
        rtp_port: local_port(stream),
        rtcp_port: local_port(stream) + 1,
        mode: StreamMode::Record,
        codecs: codecs(),
        peer_rtp: Some(remote),
        peer_rtcp: Some((remote.ip(), remote.port() + 1).into()),
        signaling_peer: Some(remote.ip()),
        cname: "recorder.example.com".into(),
        send_reports: true,
        srtp: None,
    }
}
