//! One encoded chunk of a track, as it travels from the encoder to every receiver. Plain data: it knows no device, no codec
//! library and no WebRTC engine.

use std::sync::Arc;
use std::time::Instant;

/// The one rate behind the capture: Opus works at 48 kHz inside, and RTP counts Opus in 48 kHz samples (RFC 7587 §4.1).
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// One encoded chunk of a station (RFC 6716), shared by all its listeners.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The RTP payload (RFC 7587 §4.2).
    pub payload: Arc<[u8]>,
    /// Where the chunk begins, in samples per channel since the station started. It advances over silence, gaps and
    /// packets that were never sent.
    pub rtp_time_samples: u64,
    /// When the first sample was captured.
    pub captured: Instant,
}
