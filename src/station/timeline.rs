//! The latest packets of one station, for every reader that does not get them live: resends, and later rewind, recording
//! and links to other hosts.
//!
//! One writer, the encoder's thread, appends and never takes a lock, allocates or waits. Any number of readers on any
//! threads look packets up by index and never hold the writer up. The memory is allocated once: a ring of slots and a ring
//! of payload words. What the writer overwrites while a reader copies it is detected and counts as too old: every word is an
//! atomic, and the writer announces which words it is about to reuse before it touches them (a sequence lock; see Boehm,
//! "Can Seqlocks Get Along With Programming Language Memory Models?", MSPC 2012).
//!
//! Pure: it knows neither clock nor thread. It decides nothing about who reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use crate::media::packet::Packet;

/// Packets kept at least, for resends: five seconds at 20 ms, two thirds of a second at 2.5 ms. A receiver asks for nothing
/// that would come too late to be heard.
const MIN_PACKETS: usize = 256;

/// Longest payload kept: three Opus frames of the greatest size (RFC 6716 §3.4), as a packet of 60 ms may have.
const MAX_PAYLOAD_BYTES: usize = 4_000;

/// Variable bitrate may exceed the target for a while; this much room is added.
const BITRATE_MARGIN: f64 = 1.5;

const WORD_BYTES: usize = 8;

/// How much a timeline keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    packets: usize,
    payload_bytes: usize,
}

impl Capacity {
    /// Enough for `kept` of packets of that duration at that bitrate, and never less than resends need.
    pub fn new(kept: Duration, packet: Duration, bitrate_bps: u32) -> Capacity {
        let packets = (kept.as_secs_f64() / packet.as_secs_f64()).ceil() as usize;
        let packets = packets.max(MIN_PACKETS);
        let seconds = packets as f64 * packet.as_secs_f64();
        let bytes = seconds * f64::from(bitrate_bps) / 8.0 * BITRATE_MARGIN;
        // Each payload is rounded up to whole words.
        Capacity { packets, payload_bytes: bytes as usize + packets * WORD_BYTES + MAX_PAYLOAD_BYTES }
    }
}

/// Creates an empty timeline.
pub fn new(capacity: Capacity, now: Instant) -> (TimelineWriter, Timeline) {
    let ring = Arc::new(Ring {
        epoch: now,
        slots: (0..capacity.packets).map(|_| Slot::default()).collect(),
        words: (0..capacity.payload_bytes.div_ceil(WORD_BYTES)).map(|_| AtomicU64::new(0)).collect(),
        claimed_packets: AtomicU64::new(0),
        claimed_words: AtomicU64::new(0),
        head: AtomicU64::new(0),
    });
    (TimelineWriter { ring: ring.clone(), next_word: 0 }, Timeline { ring })
}

/// The end that appends. There is one.
#[derive(Debug)]
pub struct TimelineWriter {
    ring: Arc<Ring>,
    /// Words ever used; the place in the ring is the remainder.
    next_word: u64,
}

/// A reading end. A clone reads the same timeline.
#[derive(Clone, Debug)]
pub struct Timeline {
    ring: Arc<Ring>,
}

struct Ring {
    /// Capture times are kept as nanoseconds since this moment.
    epoch: Instant,
    slots: Box<[Slot]>,
    words: Box<[AtomicU64]>,
    /// Packets that the writer has begun to write.
    claimed_packets: AtomicU64,
    /// Payload words that the writer has begun to write.
    claimed_words: AtomicU64,
    /// Packets that the writer has finished.
    head: AtomicU64,
}

#[derive(Default)]
struct Slot {
    first_word: AtomicU64,
    payload_bytes: AtomicU32,
    rtp_time_samples: AtomicU64,
    captured_nanos: AtomicU64,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("head", &self.head).finish_non_exhaustive()
    }
}

impl TimelineWriter {
    /// Appends a packet.
    ///
    /// Returns its index: packets are numbered from 0, without gaps. A payload of more than 4,000 bytes, which Opus never
    /// makes, is kept as an empty one.
    pub fn push(&mut self, packet: &Packet) -> u64 {
        let ring = &*self.ring;
        let payload = if packet.payload.len() <= MAX_PAYLOAD_BYTES { &packet.payload[..] } else { &[] };
        let index = ring.head.load(Ordering::Relaxed);
        let first_word = self.next_word;
        self.next_word += payload.len().div_ceil(WORD_BYTES) as u64;
        ring.claimed_packets.store(index + 1, Ordering::Relaxed);
        ring.claimed_words.store(self.next_word, Ordering::Relaxed);
        // A reader that sees one of the words below also sees the two claims above.
        fence(Ordering::Release);
        for (n, chunk) in payload.chunks(WORD_BYTES).enumerate() {
            let mut word = [0; WORD_BYTES];
            word[..chunk.len()].copy_from_slice(chunk);
            ring.word(first_word + n as u64).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        let slot = ring.slot(index);
        slot.first_word.store(first_word, Ordering::Relaxed);
        slot.payload_bytes.store(payload.len() as u32, Ordering::Relaxed);
        slot.rtp_time_samples.store(packet.rtp_time_samples, Ordering::Relaxed);
        let captured = packet.captured.saturating_duration_since(ring.epoch);
        slot.captured_nanos.store(u64::try_from(captured.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        ring.head.store(index + 1, Ordering::Release);
        index
    }
}

impl Timeline {
    /// The index that the next packet will have, which is the number of packets so far.
    pub fn head(&self) -> u64 {
        self.ring.head.load(Ordering::Acquire)
    }

    /// The packet with that index, as a copy. None if it is not there yet or no longer.
    pub fn get(&self, index: u64) -> Option<Packet> {
        let ring = &*self.ring;
        if index >= self.head() {
            return None;
        }
        let slot = ring.slot(index);
        let first_word = slot.first_word.load(Ordering::Relaxed);
        let payload_bytes = (slot.payload_bytes.load(Ordering::Relaxed) as usize).min(MAX_PAYLOAD_BYTES);
        let rtp_time_samples = slot.rtp_time_samples.load(Ordering::Relaxed);
        let captured_nanos = slot.captured_nanos.load(Ordering::Relaxed);
        let mut payload = Vec::with_capacity(payload_bytes.next_multiple_of(WORD_BYTES));
        for n in 0..payload_bytes.div_ceil(WORD_BYTES) as u64 {
            payload.extend(ring.word(first_word.wrapping_add(n)).load(Ordering::Relaxed).to_le_bytes());
        }
        payload.truncate(payload_bytes);
        // If any of these loads saw a later packet's value, the loads below see that packet's claim.
        fence(Ordering::Acquire);
        let packets = ring.claimed_packets.load(Ordering::Relaxed);
        let words = ring.claimed_words.load(Ordering::Relaxed);
        let is_whole = packets <= index + ring.slots.len() as u64 && words <= first_word + ring.words.len() as u64;
        is_whole.then(|| Packet {
            payload: payload.into(),
            rtp_time_samples,
            captured: ring.epoch + Duration::from_nanos(captured_nanos),
        })
    }

    /// A cursor that begins with the next packet.
    pub fn follow(&self) -> Cursor {
        Cursor { timeline: self.clone(), next: self.head() }
    }

    /// The least index that may still be there.
    fn oldest(&self) -> u64 {
        self.head().saturating_sub(self.ring.slots.len() as u64)
    }
}

impl Ring {
    fn slot(&self, index: u64) -> &Slot {
        &self.slots[(index % self.slots.len() as u64) as usize]
    }

    fn word(&self, position: u64) -> &AtomicU64 {
        &self.words[(position % self.words.len() as u64) as usize]
    }
}

/// A reader's place in a timeline.
#[derive(Clone, Debug)]
pub struct Cursor {
    timeline: Timeline,
    next: u64,
}

/// What a cursor finds.
#[derive(Debug)]
pub enum Read {
    /// The next packet and its index.
    Packet(u64, Packet),
    /// The reader was too slow: so many packets are gone. The cursor now stands at the oldest packet that is there.
    Skipped(u64),
    /// Nothing new yet.
    Wait,
}

impl Cursor {
    /// The next packet, if there is one. Never waits.
    pub fn read(&mut self) -> Read {
        let index = self.next;
        if index >= self.timeline.head() {
            return Read::Wait;
        }
        if let Some(packet) = self.timeline.get(index) {
            self.next += 1;
            return Read::Packet(index, packet);
        }
        // At least one is skipped, also when only payload words were reused.
        self.next = self.timeline.oldest().max(index + 1);
        Read::Skipped(self.next - index)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    const PACKET: Duration = Duration::from_millis(20);

    /// A packet whose every part follows from its index, of a size that changes.
    fn packet(index: u64, epoch: Instant) -> Packet {
        let length = 1 + (index * 37 % 400) as usize;
        let payload: Vec<u8> = (0..length).map(|n| (index as usize + n * 7) as u8).collect();
        Packet {
            payload: payload.into(),
            rtp_time_samples: index * 960,
            captured: epoch + Duration::from_millis(index * 20),
        }
    }

    fn timeline(kept: Duration, epoch: Instant) -> (TimelineWriter, Timeline) {
        new(Capacity::new(kept, PACKET, 128_000), epoch)
    }

    fn assert_is(found: &Packet, index: u64, epoch: Instant) {
        let expected = packet(index, epoch);
        assert_eq!(found.payload, expected.payload, "payload of {index}");
        assert_eq!((found.rtp_time_samples, found.captured), (expected.rtp_time_samples, expected.captured));
    }

    #[test]
    fn a_packet_is_found_by_its_index_until_it_is_too_old() {
        let epoch = Instant::now();
        let (mut writer, timeline) = timeline(Duration::ZERO, epoch);
        for n in 0..1_000 {
            assert_eq!(writer.push(&packet(n, epoch)), n);
        }
        for n in 1_000 - MIN_PACKETS as u64..1_000 {
            assert_is(&timeline.get(n).unwrap(), n, epoch);
        }
        assert!(timeline.get(1_000 - MIN_PACKETS as u64 - 1).is_none() && timeline.get(1_000).is_none());
    }

    #[test]
    fn ten_minutes_are_ten_minutes_and_nothing_is_allocated_for_a_packet() {
        let epoch = Instant::now();
        let minutes = Duration::from_secs(600);
        let capacity = Capacity::new(minutes, PACKET, 96_000);
        assert_eq!(capacity.packets, 30_000);
        let payload_mb = capacity.payload_bytes as f64 / 1e6;
        assert!((7.0..12.0).contains(&payload_mb), "{payload_mb} MB for ten minutes at 96 kbit/s");
        let (mut writer, timeline) = timeline(minutes, epoch);
        for n in 0..40_000 {
            writer.push(&packet(n, epoch));
        }
        assert_is(&timeline.get(40_000 - 30_000).unwrap(), 10_000, epoch);
    }

    #[test]
    fn payloads_larger_than_the_bitrate_promised_push_old_packets_out_and_never_mix() {
        let epoch = Instant::now();
        let (mut writer, timeline) = new(Capacity::new(Duration::ZERO, PACKET, 6_000), epoch);
        let large = |n: u64| Packet { payload: vec![n as u8; 3_999].into(), ..packet(n, epoch) };
        for n in 0..100 {
            writer.push(&large(n));
        }
        assert!(timeline.get(0).is_none());
        let kept = (0..100).filter_map(|n| Some((n, timeline.get(n)?))).collect::<Vec<_>>();
        assert!(kept.len() > 1 && kept.len() < 50, "{}", kept.len());
        assert!(kept.iter().all(|(n, found)| found.payload.iter().all(|byte| u64::from(*byte) == *n)));
    }

    #[test]
    fn a_cursor_reads_every_packet_once_and_a_slow_one_goes_on_at_the_oldest() {
        let epoch = Instant::now();
        let (mut writer, timeline) = timeline(Duration::ZERO, epoch);
        writer.push(&packet(0, epoch));
        let mut cursor = timeline.follow();
        assert!(matches!(cursor.read(), Read::Wait));
        for n in 1..10 {
            writer.push(&packet(n, epoch));
        }
        for n in 1..10 {
            assert!(matches!(cursor.read(), Read::Packet(index, _) if index == n));
        }
        for n in 10..1_000 {
            writer.push(&packet(n, epoch));
        }
        let oldest = 1_000 - MIN_PACKETS as u64;
        assert!(matches!(cursor.read(), Read::Skipped(count) if count == oldest - 10));
        let rest = std::iter::from_fn(|| match cursor.read() {
            Read::Packet(index, found) => Some((index, found)),
            _ => None,
        });
        let rest: Vec<_> = rest.collect();
        assert!(rest.iter().map(|(index, _)| *index).eq(oldest..1_000));
    }

    #[test]
    fn readers_on_other_threads_never_see_a_torn_packet() {
        let epoch = Instant::now();
        let (mut writer, timeline) = timeline(Duration::ZERO, epoch);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|nth| {
                    let (timeline, done) = (timeline.clone(), &done);
                    scope.spawn(move || {
                        let (mut found, mut seed) = (0, nth + 1_u64);
                        while !done.load(Ordering::Relaxed) {
                            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            // Old ones above all: they are overwritten at this very moment.
                            let age = MIN_PACKETS as u64 - (seed >> 33) % 8;
                            let index = timeline.head().saturating_sub(age);
                            if let Some(packet) = timeline.get(index) {
                                assert_is(&packet, index, epoch);
                                found += 1;
                            }
                        }
                        found
                    })
                })
                .collect();
            for n in 0..300_000 {
                writer.push(&packet(n, epoch));
            }
            done.store(true, Ordering::Relaxed);
            let found: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
            assert!(found > 100, "the readers found {found} packets, so nothing was tested");
        });
    }
}
