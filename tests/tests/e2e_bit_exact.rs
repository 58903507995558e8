//! What ffmpeg sends on each leg of a call is what is in its channel, sample for sample.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_e2e::audio::{Audio, from_a_law, from_mu_law};
use holdfast_e2e::caller::{Call, Caller};
use holdfast_e2e::system::{Options, System};
use holdfast_e2e::talk::is_silent;
use holdfast_e2e::tools::{Running, Tool};
use holdfast_load::invite::Codec;
use holdfast_load::verify::{Published, find};

/// What the two parties sound like: nothing alike, and nothing that repeats.
const SIGNALS: [&str; 2] = [
    "aevalsrc=0.8*sin(2*PI*(100*t+400*t*t)):s=8000:d=4",
    "anoisesrc=r=8000:d=4:seed=7:amplitude=0.5",
];

/// A recording, and what was sent to be recorded.
struct Recorded {
    /// The recording lies in its folder.
    _system: System,
    published: Published,
    sent: Vec<Vec<u8>>,
}

#[test]
fn mu_law_on_both_legs_is_kept_as_mu_law() {
    let Some(recorded) = record([Codec::Pcmu, Codec::Pcmu]) else {
        return;
    };
    let Recorded {
        published, sent, ..
    } = &recorded;
    let audio = Audio::of(&published.folder);
    assert_eq!((audio.tag, audio.bits, audio.rate), (7, 8, 8_000));
    assert_kept(&audio, sent, Codec::Pcmu);
}

#[test]
fn a_law_on_both_legs_is_kept_as_a_law() {
    let Some(recorded) = record([Codec::Pcma, Codec::Pcma]) else {
        return;
    };
    let Recorded {
        published, sent, ..
    } = &recorded;
    let audio = Audio::of(&published.folder);
    assert_eq!((audio.tag, audio.bits, audio.rate), (6, 8, 8_000));
    assert_kept(&audio, sent, Codec::Pcma);
}

#[test]
fn one_law_on_each_leg_is_decoded_by_the_tables() {
    let Some(recorded) = record([Codec::Pcmu, Codec::Pcma]) else {
        return;
    };
    let Recorded {
        published, sent, ..
    } = &recorded;
    let audio = Audio::of(&published.folder);
    assert_eq!((audio.tag, audio.bits, audio.rate), (1, 16, 8_000));
    let laws: [fn(u8) -> i16; 2] = [from_mu_law, from_a_law];
    for (channel, (law, octets)) in laws.into_iter().zip(sent).enumerate() {
        let samples = audio.linear(channel);
        let expected: Vec<i16> = octets.iter().map(|&octet| law(octet)).collect();
        let begin = samples
            .windows(expected.len())
            .position(|window| window == expected)
            .expect("every sample of the leg");
        let around = [&samples[..begin], &samples[begin + expected.len()..]].concat();
        // A-law has no zero: its silence is the value next to it.
        assert!(
            around.iter().all(|sample| (0..=8).contains(sample)),
            "channel {channel}"
        );
    }
    assert!(
        published
            .manifest
            .flags
            .iter()
            .any(|flag| flag == "decoded")
    );
}

/// Records a call of two signals; gives what each leg sent. `None` where ffmpeg is absent.
fn record(codecs: [Codec; 2]) -> Option<Recorded> {
    let ffmpeg = Tool::find("ffmpeg")?;
    let system = System::start(&Options::new());
    let mut caller = Caller::new(&system);
    let mut prepared = caller.prepare(codecs[0]);
    prepared.offer.legs[1].codec = codecs[1];
    let mut call = caller.place(prepared);
    let files: Vec<PathBuf> = (0..2)
        .map(|leg| make_signal(&ffmpeg, system.root(), leg, codecs[leg]))
        .collect();
    // ffmpeg takes the ports that the offer names.
    let from: Vec<SocketAddr> = call.ports.drain(..).map(|ports| ports.address).collect();
    let senders: Vec<Running> = (0..2)
        .map(|leg| {
            send(
                &ffmpeg,
                system.root(),
                &call,
                leg,
                codecs[leg],
                from[leg].port(),
            )
        })
        .collect();
    for sender in senders {
        let output = sender.finish(Duration::from_secs(30));
        assert!(output.status.success(), "{output:?}");
    }
    caller.hang_up(&call);
    let published = system.published(&call.call_id);
    let sent: Vec<Vec<u8>> = files
        .iter()
        .map(|file| std::fs::read(file).expect("what was sent"))
        .collect();
    for (stream, octets) in published.manifest.streams.iter().zip(&sent) {
        let counts = (stream.packets, stream.lost, stream.late, stream.duplicate);
        assert_eq!(counts, (octets.len() as u64 / 160, 0, 0, 0), "{stream:?}");
    }
    Some(Recorded {
        _system: system,
        published,
        sent,
    })
}

/// Writes the octets of a leg, and linear samples that ffmpeg encodes to the same octets again.
fn make_signal(ffmpeg: &Tool, folder: &Path, leg: usize, codec: Codec) -> PathBuf {
    let (linear, raw) = (format!("leg{leg}.wav"), format!("leg{leg}.raw"));
    let quiet = ["-nostdin", "-v", "error", "-y"];
    let make = [
        "-f",
        "lavfi",
        "-i",
        SIGNALS[leg],
        "-ac",
        "1",
        "-c:a",
        "pcm_s16le",
        &linear,
    ];
    ffmpeg.output(folder, &[&quiet[..], &make].concat());
    let (encoder, format) = words(codec);
    let encode = ["-i", &linear, "-c:a", encoder, "-f", format, &raw];
    ffmpeg.output(folder, &[&quiet[..], &encode].concat());
    folder.join(raw)
}

/// Sends a leg in real time. The filter cuts packets of 20 ms: the reader of raw G.711 would cut
/// 1,024 octets.
fn send(ffmpeg: &Tool, folder: &Path, call: &Call, leg: usize, codec: Codec, from: u16) -> Running {
    let to = call.answer.lines[leg].rtp.expect("a port in the answer");
    let input = format!("amovie=leg{leg}.wav,asetnsamples=n=160:p=0");
    let rtcp = from + 1;
    let output = format!("rtp://{to}?localrtpport={from}&localrtcpport={rtcp}&pkt_size=172");
    let (encoder, _) = words(codec);
    let arguments = [
        "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", &input, "-c:a", encoder, "-f",
        "rtp", &output,
    ];
    ffmpeg.start(folder, &arguments)
}

/// ffmpeg's names of a law: encoder and file format.
const fn words(codec: Codec) -> (&'static str, &'static str) {
    match codec {
        Codec::Pcmu => ("pcm_mulaw", "mulaw"),
        Codec::Pcma => ("pcm_alaw", "alaw"),
        Codec::G722 | Codec::L16 => panic!("no law"),
    }
}

/// Each leg is in its channel, whole, with nothing but silence around it.
fn assert_kept(audio: &Audio, sent: &[Vec<u8>], codec: Codec) {
    assert_eq!(audio.channels.len(), sent.len());
    for (channel, (samples, octets)) in audio.channels.iter().zip(sent).enumerate() {
        let begin = find(samples, octets).expect("every sample of the leg");
        let around = [&samples[..begin], &samples[begin + octets.len()..]].concat();
        assert!(is_silent(&around, codec), "channel {channel}");
    }
}
