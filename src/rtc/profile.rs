//! What a session of one role may negotiate: codecs, header extensions, buffers. A role is a listener today; publishers and
//! viewers get profiles of their own. Runs on whatever thread builds a session; decides nothing about packets or addresses.

use std::sync::Arc;
use std::time::Instant;

use str0m::Rtc;
use str0m::config::DtlsCert;
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, Pt};
use str0m::rtp::Extension;

use crate::rtc::srtp::provider::{self, SessionKeys};

/// Packets the engine may hold. It sends each at once, and resends come from the track's timeline.
const SEND_BUFFER_PACKETS: usize = 2;

/// What every session of a role shares.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Certificate of this process; its fingerprint is in every answer.
    pub certificate: DtlsCert,
    /// What the session may receive or send.
    pub role: Role,
    /// Whether packets are sealed beside the engine where that is possible. If not, all of them pass through the engine:
    /// the reference that tests and benches compare with.
    pub seal: bool,
}

/// What a session is for.
#[derive(Clone, Debug)]
pub enum Role {
    /// It receives one track of Opus.
    Listener(OpusTrack),
}

/// The properties of a track of Opus that SDP tells (RFC 7587 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusTrack {
    /// Whether it has two channels.
    pub stereo: bool,
    /// Whether it carries in-band FEC.
    pub fec: bool,
    /// Duration of its shortest packet, rounded up to whole milliseconds.
    pub min_packet_ms: u8,
}

impl OpusTrack {
    /// The value of `a=fmtp`, without the payload type.
    pub fn parameters(&self) -> String {
        let OpusTrack { stereo, fec, min_packet_ms } = *self;
        let (stereo, fec) = (u8::from(stereo), u8::from(fec));
        format!("minptime={min_packet_ms};stereo={stereo};sprop-stereo={stereo};useinbandfec={fec}")
    }
}

impl Profile {
    /// An engine for one session with the client's numbers for Opus and for the mid's header extension (RFC 9143 §15.1), and
    /// where its SRTP keys will be found.
    pub fn build_engine(
        &self,
        payload_type: u8,
        mid_extension: Option<u8>,
        now: Instant,
    ) -> (Rtc, Option<Arc<SessionKeys>>) {
        let engine = Rtc::builder()
            .set_ice_lite(true)
            .set_rtp_mode(true)
            // Only what clients report; the engine does not see packets that are sealed beside it.
            .enable_raw_packets(self.seal)
            // Nothing but the mid: every other extension costs memory and time, and tells nothing that is acted upon.
            .clear_extension_map()
            .set_crypto_provider(provider::provider())
            .set_dtls_cert(self.certificate.clone())
            .set_send_buffer_audio(SEND_BUFFER_PACKETS)
            // A listener sends no media; a receive buffer would only cost memory.
            .set_reordering_size_audio(1)
            // The wrapped provider checks the certificate, by every hash function that a client may use.
            .set_fingerprint_verification(false)
            .clear_codecs();
        let mut engine =
            mid_extension.into_iter().fold(engine, |engine, id| engine.set_extension(id, Extension::RtpMid));
        let number = Pt::new_with_value(payload_type);
        engine.codec_config().add_config(
            number,
            None,
            Codec::Opus,
            Frequency::FORTY_EIGHT_KHZ,
            Some(2),
            FormatParams::default(),
        );
        let engine = engine.build(now);
        (engine, provider::take_session_keys())
    }
}
