//! One listener's RTP stream: sequence numbers, counts, and the sealing of packets beside the engine.
//!
//! Pure. What is the same for all listeners, the payload, is encrypted straight into the batch that leaves; nothing is
//! allocated, queued or copied twice. Only GCM is sealed here (RFC 7714), which every browser of today speaks; a session
//! with an older profile, and every packet for which the way to the client is in doubt, goes through the engine, which
//! stays in step because the sequence numbers are ours either way.

use std::time::{Duration, Instant};

use crate::media::packet::{Packet, SAMPLE_RATE_HZ};
use crate::rtc::srtp::gcm::{Gcm, NONCE_BYTES, TAG_BYTES};
use crate::rtc::udp::batch::{Batch, DATAGRAM_BYTES, Route};

/// RTP's own header, without contributing sources (RFC 3550 §5.1).
const SHORT_HEADER_BYTES: usize = 12;

/// With one header extension: profile and length, an id, a mid of up to 16 bytes, padding (RFC 8285 §4.2).
const LONG_HEADER_BYTES: usize = SHORT_HEADER_BYTES + 4 + 20;

/// Resends are paid from a purse that each new packet fills by one: a quarter of the packets may be sent twice, sixteen
/// at once. That mends a loss of one packet in ten, and whoever asks without end gains nothing.
const RESEND_COST: u8 = 4;
const PURSE: u8 = 16 * RESEND_COST;

/// How a listener's packets leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not at all: there is no path. No sequence number is spent.
    Nowhere,
    /// Through the engine.
    Engine,
    /// Sealed here, to this address.
    Sealed(Route),
}

/// What RTP says of a stream in every packet.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// Synchronization source.
    pub ssrc: u32,
    /// Opus, as the client numbered it.
    pub payload_type: u8,
    /// Number of the header extension for the mid (RFC 9143 §15.1), if the client has one, and the mid.
    pub mid: Option<(u8, &'a str)>,
}

/// See the head of the file.
pub struct Voice {
    /// Present way; the fanout keeps it true.
    pub way: Way,
    /// Whose it is.
    pub seat: usize,
    next_sequence: u64,
    packets: u32,
    octets: u32,
    /// RTP time of the last packet, and when it was sent.
    last: Option<(u32, Instant)>,
    /// Sequence number and place in the station's stream with which the present row of sealed packets began.
    row: (u64, u64),
    purse: u8,
    sealer: Option<Sealer>,
}

/// Key, nonce and header of one session.
struct Sealer {
    key: Gcm,
    /// Salt and SSRC of the nonce (RFC 7714 §8.1); rollover counter and sequence number come upon it.
    nonce: [u8; NONCE_BYTES],
    /// The header with the extension; without it, the first twelve bytes.
    header: [u8; LONG_HEADER_BYTES],
    header_bytes: usize,
    /// Packets from this sequence number on have the short header. A packet sent again must be the same to the bit, or a
    /// nonce would protect two different packets.
    short_from: u64,
}

impl Voice {
    /// A stream that goes through the engine.
    pub fn new(seat: usize, first_sequence: u64) -> Voice {
        Voice {
            way: Way::Nowhere,
            seat,
            next_sequence: first_sequence,
            packets: 0,
            octets: 0,
            last: None,
            row: (first_sequence, u64::MAX),
            purse: PURSE,
            sealer: None,
        }
    }

    /// Lets packets be sealed here. `salt` is that of the key (RFC 3711 §4.3).
    pub fn seal_with(&mut self, key: Gcm, salt: [u8; NONCE_BYTES], stream: Stream<'_>) {
        self.sealer = Sealer::new(key, salt, stream);
    }

    /// Whether packets can be sealed here.
    pub fn can_seal(&self) -> bool {
        self.sealer.is_some()
    }

    /// Lets the processor fetch the key, which lies elsewhere.
    pub fn fetch_key(&self) {
        if let Some(sealer) = &self.sealer {
            sealer.key.fetch();
        }
    }

    /// The client has heard of this stream: it need not be named in every packet any more (RFC 9143 §15.1).
    pub fn acknowledge(&mut self) {
        if let Some(sealer) = &mut self.sealer {
            sealer.short_from = sealer.short_from.min(self.next_sequence);
        }
    }

    /// The sequence number for a packet that goes through the engine.
    pub fn number(&mut self, packet: &Packet, now: Instant) -> u64 {
        let sequence = self.next_sequence;
        self.count(packet, now);
        self.next_sequence += 1;
        // The engine's header may differ, so this packet shall not be sent again from here.
        self.row = (self.next_sequence, u64::MAX);
        sequence
    }

    /// Seals the packet at `place` of the station's stream into the batch. False if it cannot be done.
    pub fn seal(&mut self, packet: &Packet, place: u64, now: Instant, batch: &mut Batch) -> bool {
        let (Way::Sealed(route), Some(sealer)) = (self.way, &self.sealer) else { return false };
        let sequence = self.next_sequence;
        let length = sealer.sealed_bytes(sequence, packet);
        if !batch.push(route, length, |out| sealer.seal(sequence, packet, out)) {
            return false;
        }
        if self.place_of(sequence) != Some(place) {
            self.row = (sequence, place);
        }
        self.count(packet, now);
        self.next_sequence += 1;
        self.purse = (self.purse + 1).min(PURSE);
        true
    }

    /// The place in the station's stream of a packet the client misses, by its 16 bits of sequence number; None if it was
    /// not sealed here, or if the purse is empty.
    pub fn place_of_missing(&self, sequence: u16) -> Option<u64> {
        let last = self.next_sequence.checked_sub(1)?;
        let behind = (last as u16).wrapping_sub(sequence);
        let sequence = last.checked_sub(u64::from(behind))?;
        self.place_of(sequence).filter(|_| self.purse >= RESEND_COST)
    }

    /// Seals a packet once more, the same to the bit.
    pub fn reseal(&mut self, packet: &Packet, place: u64) -> Option<(Route, Vec<u8>)> {
        let (Way::Sealed(route), Some(sealer)) = (self.way, &self.sealer) else { return None };
        let sequence = self.row.0 + place.checked_sub(self.row.1)?;
        let mut bytes = vec![0; sealer.sealed_bytes(sequence, packet).min(DATAGRAM_BYTES)];
        if !sealer.seal(sequence, packet, &mut bytes) {
            return None;
        }
        self.purse = self.purse.checked_sub(RESEND_COST)?;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        Some((route, bytes))
    }

    /// What a sender report of this moment says (RFC 3550 §6.4.1): RTP time, packets and payload bytes.
    pub fn report(&self, now: Instant) -> (u32, u32, u32) {
        let rtp_time =
            self.last.map_or(0, |(rtp_time, at)| rtp_time.wrapping_add(samples(now.saturating_duration_since(at))));
        (rtp_time, self.packets, self.octets)
    }

    fn place_of(&self, sequence: u64) -> Option<u64> {
        let (first_sequence, first_place) = self.row;
        sequence.checked_sub(first_sequence)?.checked_add(first_place)
    }

    fn count(&mut self, packet: &Packet, now: Instant) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        self.last = Some((rtp_time(packet), now));
    }
}

impl Sealer {
    /// None if the mid does not fit in a one-byte extension, which the engine then sends its own way.
    fn new(key: Gcm, salt: [u8; NONCE_BYTES], stream: Stream<'_>) -> Option<Sealer> {
        let mut header = [0; LONG_HEADER_BYTES];
        header[0] = 0x80;
        header[1] = stream.payload_type & 0x7f;
        header[8..12].copy_from_slice(&stream.ssrc.to_be_bytes());
        let mut header_bytes = SHORT_HEADER_BYTES;
        if let Some((id, mid)) = stream.mid {
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

/// RTP's 32-bit clock is the station's 64-bit one, cut (RFC 3550 §5.1).
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
    const STREAM: Stream<'_> = Stream { ssrc: 0x8041_f8d3, payload_type: 0x40, mid: None };

    fn key() -> Key {
        std::array::from_fn::<u8, 16, _>(|n| n as u8).into()
    }

    fn packet(payload: &[u8], rtp_time_samples: u64) -> Packet {
        Packet { payload: payload.into(), rtp_time_samples, captured: Instant::now() }
    }

    fn route() -> Route {
        Route { source: "192.0.2.1:8088".parse().unwrap(), destination: "192.0.2.7:5000".parse().unwrap() }
    }

    fn voice(first_sequence: u64, mid: Option<(u8, &str)>) -> Voice {
        let mut voice = Voice::new(0, first_sequence);
        voice.seal_with(Gcm::new(&key()).unwrap(), SALT, Stream { mid, ..STREAM });
        voice.way = Way::Sealed(route());
        voice
    }

    /// Decrypts, with the nonce as the engine makes it: sequence number and payload.
    fn open(datagram: &[u8], header_bytes: usize, rollovers: u32) -> Option<(u16, Vec<u8>)> {
        let (header, body) = datagram.split_at(header_bytes);
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let nonce = AeadAes128Gcm::rtp_iv(SALT, STREAM.ssrc, rollovers, sequence);
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        Some((sequence, gcm_key(&key()).ok()?.open_in_place(nonce, Aad::from(header), &mut body).ok()?.to_vec()))
    }

    #[test]
    fn a_packet_is_sealed_as_the_rfc_shows() {
        // RFC 7714 §16.1.1: sequence number 0xf17b, time 0x8041f8d3, source 0x5501a0b2.
        let mut voice = Voice::new(0, 0xf17b);
        voice.seal_with(Gcm::new(&key()).unwrap(), SALT, Stream { ssrc: 0x5501_a0b2, ..STREAM });
        voice.way = Way::Sealed(route());
        let mut batch = Batch::default();
        let packet = packet(b"Gallia est omnis divisa in partes tres", 0x8041_f8d3);
        assert!(voice.seal(&packet, 0, Instant::now(), &mut batch));
        let expected =
            *b"\x80\x40\xf1\x7b\x80\x41\xf8\xd3\x55\x01\xa0\xb2\xf2\x4d\xe3\xa3\xfb\x34\xde\x6c\xac\xba\x86\x1c\
            \x9d\x7e\x4b\xca\xbe\x63\x3b\xd5\x0d\x29\x4e\x6f\x42\xa5\xf4\x7a\x51\xc7\xd1\x9b\x36\xde\x3a\xdf\x88\x33\
            \x89\x9d\x7f\x27\xbe\xb1\x6a\x91\x52\xcf\x76\x5e\xe4\x39\x0c\xce";
        assert_eq!(batch.iter().next().unwrap().1, expected);
    }

    #[test]
    fn sequence_numbers_and_rollover_counter_run_on_without_end() {
        for first in [0xfffe, 0x1_fffe, 0xffff_fffe, 0xffff_ffff_fffe] {
            let mut voice = voice(first, None);
            for n in 0..4 {
                let mut batch = Batch::default();
                assert!(voice.seal(&packet(b"sound", n * 960), n, Instant::now(), &mut batch));
                let index = first + n;
                let opened = open(batch.iter().next().unwrap().1, 12, (index >> 16) as u32);
                assert_eq!(opened, Some((index as u16, b"sound".to_vec())), "{index:x}");
            }
        }
    }

    #[test]
    fn the_mid_is_in_every_packet_until_the_client_has_heard_of_the_stream_and_resends_are_the_same_to_the_bit() {
        let mut voice = voice(7, Some((4, "audio")));
        let mut sent = vec![];
        for n in 0..4 {
            let mut batch = Batch::default();
            if n == 2 {
                voice.acknowledge();
                voice.acknowledge();
            }
            voice.seal(&packet(&[n as u8; 30], n * 960), 100 + n, Instant::now(), &mut batch);
            sent.push(batch.iter().next().unwrap().1.to_vec());
        }
        assert_eq!(sent[1][0], 0x90);
        assert_eq!(sent[1][12..24], *b"\xbe\xde\0\x02\x44audio\0\0");
        assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [70, 70, 58, 58]);
        assert!(open(&sent[1], 24, 0).is_some() && open(&sent[2], 12, 0).is_some());
        for n in (0..4).rev() {
            assert_eq!(voice.place_of_missing(7 + n as u16), Some(100 + n));
            let (_, again) = voice.reseal(&packet(&[n as u8; 30], n * 960), 100 + n).unwrap();
            assert_eq!(again, sent[n as usize]);
        }
        assert_eq!((voice.place_of_missing(6), voice.place_of_missing(11)), (None, None));
        assert_eq!(voice.report(Instant::now()).1, 8);
    }

    #[test]
    fn a_mid_that_fits_in_no_short_extension_is_left_to_the_engine() {
        assert!(!voice(0, Some((15, "0"))).can_seal());
        assert!(!voice(0, Some((1, ""))).can_seal());
        assert!(voice(0, Some((14, "0123456789abcdef"))).can_seal());
    }

    #[test]
    fn whoever_asks_for_everything_again_gets_a_quarter() {
        let mut voice = voice(0, None);
        let mut resent = 0;
        for n in 0..10_000 {
            let packet = packet(b"sound", n * 960);
            voice.seal(&packet, n, Instant::now(), &mut Batch::default());
            for _ in 0..10 {
                if let Some(place) = voice.place_of_missing(n as u16) {
                    resent += usize::from(voice.reseal(&packet, place).is_some());
                }
            }
        }
        assert!((2_500..2_600).contains(&resent), "{resent}");
    }

    #[test]
    fn what_the_engine_sent_or_what_was_left_out_is_not_sent_again() {
        let mut voice = voice(0, None);
        let now = Instant::now();
        let seal = |voice: &mut Voice, place| assert!(voice.seal(&packet(b"x", 0), place, now, &mut Batch::default()));
        seal(&mut voice, 50);
        assert_eq!(voice.number(&packet(b"x", 0), now), 1);
        seal(&mut voice, 52);
        // Two packets of the station were not sent, and no number was spent.
        seal(&mut voice, 55);
        seal(&mut voice, 56);
        let places = [0, 1, 2, 3, 4].map(|sequence| voice.place_of_missing(sequence));
        assert_eq!(places, [None, None, None, Some(55), Some(56)]);
    }
}
