//! A session recording client that knows what it sent.
//!
//! It places real SIPREC calls, sends G.711 whose every octet is a function of call, leg and packet
//! number, and then reads the published recordings back sample by sample. Its SIP, SDP and WAV
//! readers are its own: a tester that shared the server's would share its mistakes too. Shared are SRTP
//! (that others agree with it is shown elsewhere, with libsrtp and ffmpeg), the model of the manifest,
//! and how files are held against that, which is nothing that the server does.
//!
//! It refuses to be a general user agent: one transaction per call at a time, no forking, no
//! authentication, no transcoding.

pub mod agent;
pub mod answer;
pub mod arrivals;
pub mod audit;
pub mod hostile;
pub mod invite;
pub mod limits;
pub mod media;
pub mod pattern;
pub mod run;
pub mod sip;
pub mod srtp;
pub mod stats;
pub mod survivors;
pub mod tls;
pub mod uac;
pub mod verify;
pub mod wav;
