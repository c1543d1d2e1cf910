//! One receiver's RTP stream: sequence numbers, counts, and the sealing of packets beside the engine.
//!
//! Pure. The payload, which is the same for all receivers, is encrypted straight into the batch that leaves; nothing is
//! allocated, queued or copied twice. Only GCM is sealed here (RFC 7714), which every browser of today speaks. The packets
//! of a session with an older profile go through the engine; the sequence numbers are assigned here in both cases.

use std::time::{Duration, Instant};

use crate::media::packet::{Packet, SAMPLE_RATE_HZ};
use crate::rtc::srtp::gcm::{Gcm, NONCE_BYTES, TAG_BYTES};
use crate::rtc::srtp::provider::Sent;
use crate::rtc::udp::batch::{Batch, DATAGRAM_BYTES, Route};

/// RTP's own header, without contributing sources (RFC 3550 §5.1).
const SHORT_HEADER_BYTES: usize = 12;

/// With one header extension: profile and length, an id, a mid of up to 16 bytes, padding (RFC 8285 §4.2).
const LONG_HEADER_BYTES: usize = SHORT_HEADER_BYTES + 4 + 20;

/// The retransmit budget: each new packet adds one, each resend costs this much. So a quarter of the packets may be sent
/// twice, sixteen at once. That repairs a loss of one packet in ten, and a client that asks without end gains nothing.
const RETRANSMIT_COST: u8 = 4;
const RETRANSMIT_BUDGET: u8 = 16 * RETRANSMIT_COST;

/// What SDP has negotiated about a stream, as RTP says it in every packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamParameters {
    /// Synchronization source.
    pub ssrc: u32,
    /// The client's number for the codec.
    pub payload_type: u8,
    /// The client's id of the header extension for the mid (RFC 9143 §15.1), if it has one, and the mid.
    pub mid: Option<(u8, String)>,
}

/// One receiver's RTP stream.
pub struct SendTrack {
    /// Between which addresses its packets travel at present; without a path to the client they are left out, and no sequence
    /// number is used. The session it belongs to is the only one that knows, and tells every change.
    pub route: Option<Route>,
    /// Key of the session that it belongs to.
    pub session: usize,
    next_sequence: u64,
    packets: u32,
    octets: u32,
    /// RTP time of the last packet, and when it was sent.
    last: Option<(u32, Instant)>,
    /// Sequence number and timeline index of the first packet of the present unbroken run of sealed packets.
    run_start: (u64, u64),
    retransmit_budget: u8,
    sealer: Option<Sealer>,
}

/// Key, nonce and header of one session.
struct Sealer {
    key: Gcm,
    /// Salt and SSRC of the nonce (RFC 7714 §8.1); rollover counter and sequence number are added for each packet.
    nonce: [u8; NONCE_BYTES],
    /// The header with the extension; without it, the first twelve bytes.
    header: [u8; LONG_HEADER_BYTES],
    header_bytes: usize,
    /// Packets from this sequence number on have the short header. A resent packet must be the same to the bit, or one nonce
    /// would protect two different packets.
    short_from: u64,
}

impl SendTrack {
    /// A stream of the session with that key; its packets go through the engine.
    pub fn new(session: usize, first_sequence: u64) -> SendTrack {
        SendTrack {
            route: None,
            session,
            next_sequence: first_sequence,
            packets: 0,
            octets: 0,
            last: None,
            run_start: (first_sequence, u64::MAX),
            retransmit_budget: RETRANSMIT_BUDGET,
            sealer: None,
        }
    }

    /// From now on packets are sealed here. `salt` belongs to the key (RFC 3711 §4.3).
    pub fn seal_with(&mut self, key: Gcm, salt: [u8; NONCE_BYTES], stream: &StreamParameters) {
        self.sealer = Sealer::new(key, salt, stream);
    }

    /// Whether packets can be sealed here.
    pub fn can_seal(&self) -> bool {
        self.sealer.is_some()
    }

    /// Prefetches the key, which lies in memory of its own.
    pub fn prefetch_key(&self) {
        if let Some(sealer) = &self.sealer {
            sealer.key.prefetch();
        }
    }

    /// The client reports on this stream, so packets need not carry the mid any more (RFC 9143 §15.1).
    pub fn acknowledge(&mut self) {
        if let Some(sealer) = &mut self.sealer {
            sealer.short_from = sealer.short_from.min(self.next_sequence);
        }
    }

    /// Counts a packet that goes through the engine.
    ///
    /// Returns its sequence number.
    pub fn next_engine_sequence(&mut self, packet: &Packet, now: Instant) -> u64 {
        let sequence = self.next_sequence;
        self.count(packet, now);
        self.next_sequence += 1;
        // The engine's header may differ, so this packet must not be resent from here.
        self.run_start = (self.next_sequence, u64::MAX);
        sequence
    }

    /// Seals the packet with that timeline index into the batch. False if there is no direct path, no key or no room.
    pub fn seal(&mut self, packet: &Packet, index: u64, now: Instant, batch: &mut Batch) -> bool {
        let (Some(route), Some(sealer)) = (self.route, &self.sealer) else { return false };
        let sequence = self.next_sequence;
        let length = sealer.sealed_bytes(sequence, packet);
        if !batch.push(route, length, |out| sealer.seal(sequence, packet, out)) {
            return false;
        }
        if self.index_of(sequence) != Some(index) {
            self.run_start = (sequence, index);
        }
        self.count(packet, now);
        self.next_sequence += 1;
        self.retransmit_budget = (self.retransmit_budget + 1).min(RETRANSMIT_BUDGET);
        true
    }

    /// The timeline index of a packet that the client misses, by the 16 bits of its sequence number. None if it was not
    /// sealed here, or if the retransmit budget is spent.
    pub fn index_of_missing(&self, sequence: u16) -> Option<u64> {
        let last = self.next_sequence.checked_sub(1)?;
        let behind = (last as u16).wrapping_sub(sequence);
        let sequence = last.checked_sub(u64::from(behind))?;
        self.index_of(sequence).filter(|_| self.retransmit_budget >= RETRANSMIT_COST)
    }

    /// Seals a packet once more, the same to the bit.
    pub fn reseal(&mut self, packet: &Packet, index: u64) -> Option<(Route, Vec<u8>)> {
        let (Some(route), Some(sealer)) = (self.route, &self.sealer) else { return None };
        let sequence = self.run_start.0 + index.checked_sub(self.run_start.1)?;
        let mut bytes = vec![0; sealer.sealed_bytes(sequence, packet).min(DATAGRAM_BYTES)];
        if !sealer.seal(sequence, packet, &mut bytes) {
            return None;
        }
        self.retransmit_budget = self.retransmit_budget.checked_sub(RETRANSMIT_COST)?;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        Some((route, bytes))
    }

    /// What a sender report of this moment says (RFC 3550 §6.4.1), if packets are sealed here. Otherwise the engine has
    /// counted them itself.
    pub fn sent(&self, now: Instant) -> Option<Sent> {
        let sealer = self.sealer.as_ref()?;
        let rtp_time =
            self.last.map_or(0, |(rtp_time, at)| rtp_time.wrapping_add(samples(now.saturating_duration_since(at))));
        Some(Sent { ssrc: sealer.ssrc(), rtp_time, packets: self.packets, octets: self.octets })
    }

    fn index_of(&self, sequence: u64) -> Option<u64> {
        let (first_sequence, first_index) = self.run_start;
        sequence.checked_sub(first_sequence)?.checked_add(first_index)
    }

    fn count(&mut self, packet: &Packet, now: Instant) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        self.last = Some((rtp_time(packet), now));
    }
}

impl Sealer {
    /// None if the mid does not fit into a one-byte extension (RFC 8285 §4.2); the engine sends such a stream.
    fn new(key: Gcm, salt: [u8; NONCE_BYTES], stream: &StreamParameters) -> Option<Sealer> {
        let mut header = [0; LONG_HEADER_BYTES];
        header[0] = 0x80;
        header[1] = stream.payload_type & 0x7f;
        header[8..12].copy_from_slice(&stream.ssrc.to_be_bytes());
        let mut header_bytes = SHORT_HEADER_BYTES;
        if let Some((id, mid)) = &stream.mid {
            let id = *id;
            if !(1..=14).contains(&id) || !(1..=16).contains(&mid.len()) {
                return None;
            }
            let words = (1 + mid.len()).div_ceil(4);
            header[12..16].copy_from_slice(&[0xbe, 0xde, 0, words as u8]);
            header[16] = id << 4 | (mid.len() - 1) as u8;
            header[17..17 + mid.len()].copy_from_slice(mid.as_bytes());
            header_bytes += 4 + 4 * words;
        }
        let mut nonce = salt;
        for (byte, ssrc) in nonce[2..6].iter_mut().zip(stream.ssrc.to_be_bytes()) {
            *byte ^= ssrc;
        }
        Some(Sealer { key, nonce, header, header_bytes, short_from: u64::MAX })
    }

    fn ssrc(&self) -> u32 {
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    fn header_bytes_of(&self, sequence: u64) -> usize {
        if sequence < self.short_from { self.header_bytes } else { SHORT_HEADER_BYTES }
    }

    fn sealed_bytes(&self, sequence: u64, packet: &Packet) -> usize {
        self.header_bytes_of(sequence) + packet.payload.len() + TAG_BYTES
    }

    /// RFC 7714 §5 and §8: writes the whole packet; `out` is as long as it.
    fn seal(&self, sequence: u64, packet: &Packet, out: &mut [u8]) -> bool {
        let header_bytes = self.header_bytes_of(sequence);
        let Some((header, rest)) = out.split_at_mut_checked(header_bytes) else { return false };
        let Some((body, tag)) = rest.split_last_chunk_mut::<TAG_BYTES>() else { return false };
        if body.len() != packet.payload.len() {
            return false;
        }
        header.copy_from_slice(&self.header[..header_bytes]);
        header[0] |= if header_bytes > SHORT_HEADER_BYTES { EXTENSION_BIT } else { 0 };
        header[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
        header[4..8].copy_from_slice(&rtp_time(packet).to_be_bytes());
        body.copy_from_slice(&packet.payload);
        // Rollover counter and sequence number are the lower 48 bits of the packet's index (RFC 3711 §3.3.1).
        let mut nonce = self.nonce;
        for (byte, index) in nonce[6..].iter_mut().zip(&sequence.to_be_bytes()[2..]) {
            *byte ^= index;
        }
        self.key.seal(&nonce, header, body, tag)
    }
}

/// RFC 3550 §5.1.
const EXTENSION_BIT: u8 = 0x10;

/// RTP's 32-bit timestamp is the track's 64-bit time, modulo 2³² (RFC 3550 §5.1).
fn rtp_time(packet: &Packet) -> u32 {
    packet.rtp_time_samples as u32
}

fn samples(duration: Duration) -> u32 {
    (duration.as_micros() * u128::from(SAMPLE_RATE_HZ) / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{Aad, Nonce};
    use str0m::crypto::AeadAes128Gcm;

    use super::*;
    use crate::rtc::srtp::keys::Key;
    use crate::rtc::srtp::provider::gcm_key;

    const SALT: [u8; 12] = *b"Quid pro quo";
    const SSRC: u32 = 0x8041_f8d3;

    fn stream(ssrc: u32, mid: Option<(u8, &str)>) -> StreamParameters {
        StreamParameters { ssrc, payload_type: 0x40, mid: mid.map(|(id, mid)| (id, mid.to_owned())) }
    }

    fn key() -> Key {
        std::array::from_fn::<u8, 16, _>(|n| n as u8).into()
    }

    fn packet(payload: &[u8], rtp_time_samples: u64) -> Packet {
        Packet { payload: payload.into(), rtp_time_samples, captured: Instant::now() }
    }

    fn route() -> Route {
        Route { source: "192.0.2.1:8088".parse().unwrap(), destination: "192.0.2.7:5000".parse().unwrap() }
    }

    fn send_track(first_sequence: u64, mid: Option<(u8, &str)>) -> SendTrack {
        let mut track = SendTrack::new(0, first_sequence);
        track.seal_with(Gcm::new(&key()).unwrap(), SALT, &stream(SSRC, mid));
        track.route = Some(route());
        track
    }

    /// Decrypts with the nonce that the engine computes: sequence number and payload.
    fn open(datagram: &[u8], header_bytes: usize, rollovers: u32) -> Option<(u16, Vec<u8>)> {
        let (header, body) = datagram.split_at(header_bytes);
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let nonce = AeadAes128Gcm::rtp_iv(SALT, SSRC, rollovers, sequence);
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        Some((sequence, gcm_key(&key()).ok()?.open_in_place(nonce, Aad::from(header), &mut body).ok()?.to_vec()))
    }

    #[test]
    fn a_sealed_packet_equals_the_rfcs_example() {
        // RFC 7714 §16.1.1: sequence number 0xf17b, time 0x8041f8d3, source 0x5501a0b2.
        let mut track = SendTrack::new(0, 0xf17b);
        track.seal_with(Gcm::new(&key()).unwrap(), SALT, &stream(0x5501_a0b2, None));
        track.route = Some(route());
        let mut batch = Batch::default();
        let packet = packet(b"Gallia est omnis divisa in partes tres", 0x8041_f8d3);
        assert!(track.seal(&packet, 0, Instant::now(), &mut batch));
        let expected =
            *b"\x80\x40\xf1\x7b\x80\x41\xf8\xd3\x55\x01\xa0\xb2\xf2\x4d\xe3\xa3\xfb\x34\xde\x6c\xac\xba\x86\x1c\
            \x9d\x7e\x4b\xca\xbe\x63\x3b\xd5\x0d\x29\x4e\x6f\x42\xa5\xf4\x7a\x51\xc7\xd1\x9b\x36\xde\x3a\xdf\x88\x33\
            \x89\x9d\x7f\x27\xbe\xb1\x6a\x91\x52\xcf\x76\x5e\xe4\x39\x0c\xce";
        assert_eq!(batch.iter().next().unwrap().1, expected);
    }

    #[test]
    fn sequence_numbers_and_rollover_counter_never_stop() {
        for first in [0xfffe, 0x1_fffe, 0xffff_fffe, 0xffff_ffff_fffe] {
            let mut track = send_track(first, None);
            for n in 0..4 {
                let mut batch = Batch::default();
                assert!(track.seal(&packet(b"sound", n * 960), n, Instant::now(), &mut batch));
                let index = first + n;
                let opened = open(batch.iter().next().unwrap().1, 12, (index >> 16) as u32);
                assert_eq!(opened, Some((index as u16, b"sound".to_vec())), "{index:x}");
            }
        }
    }

    #[test]
    fn packets_carry_the_mid_until_the_client_reports_and_resends_are_the_same_to_the_bit() {
        let mut track = send_track(7, Some((4, "audio")));
        let mut sent = vec![];
        for n in 0..4 {
            let mut batch = Batch::default();
            if n == 2 {
                track.acknowledge();
                track.acknowledge();
            }
            track.seal(&packet(&[n as u8; 30], n * 960), 100 + n, Instant::now(), &mut batch);
            sent.push(batch.iter().next().unwrap().1.to_vec());
        }
        assert_eq!(sent[1][0], 0x90);
        assert_eq!(sent[1][12..24], *b"\xbe\xde\0\x02\x44audio\0\0");
        assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [70, 70, 58, 58]);
        assert!(open(&sent[1], 24, 0).is_some() && open(&sent[2], 12, 0).is_some());
        for n in (0..4).rev() {
            assert_eq!(track.index_of_missing(7 + n as u16), Some(100 + n));
            let (_, again) = track.reseal(&packet(&[n as u8; 30], n * 960), 100 + n).unwrap();
            assert_eq!(again, sent[n as usize]);
        }
        assert_eq!((track.index_of_missing(6), track.index_of_missing(11)), (None, None));
        assert_eq!(track.sent(Instant::now()).unwrap().packets, 8);
    }

    #[test]
    fn a_mid_that_does_not_fit_a_one_byte_extension_is_left_to_the_engine() {
        assert!(!send_track(0, Some((15, "0"))).can_seal());
        assert!(!send_track(0, Some((1, ""))).can_seal());
        assert!(send_track(0, Some((14, "0123456789abcdef"))).can_seal());
    }

    #[test]
    fn a_client_that_asks_for_every_packet_again_gets_a_quarter() {
        let mut track = send_track(0, None);
        let mut resent = 0;
        for n in 0..10_000 {
            let packet = packet(b"sound", n * 960);
            track.seal(&packet, n, Instant::now(), &mut Batch::default());
            for _ in 0..10 {
                if let Some(index) = track.index_of_missing(n as u16) {
                    resent += usize::from(track.reseal(&packet, index).is_some());
                }
            }
        }
        assert!((2_500..2_600).contains(&resent), "{resent}");
    }

    #[test]
    fn packets_of_the_engine_and_packets_left_out_are_not_resent() {
        let mut track = send_track(0, None);
        let now = Instant::now();
        let seal =
            |track: &mut SendTrack, index| assert!(track.seal(&packet(b"x", 0), index, now, &mut Batch::default()));
        seal(&mut track, 50);
        assert_eq!(track.next_engine_sequence(&packet(b"x", 0), now), 1);
        seal(&mut track, 52);
        // Two packets of the track were not sent, and no sequence number was used.
        seal(&mut track, 55);
        seal(&mut track, 56);
        let indexes = [0, 1, 2, 3, 4].map(|sequence| track.index_of_missing(sequence));
        assert_eq!(indexes, [None, None, None, Some(55), Some(56)]);
    }
}
