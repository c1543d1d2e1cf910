//! The last packets of one station, shared by all its listeners on all threads: what is sent again to whom it did not
//! reach.
//!
//! Packets are known by their place in the station's stream, counted from its first; what number a packet has in a
//! listener's own RTP stream, the listener's [`crate::rtc::tracks::send::Voice`] knows. The encoder writes, the rtc threads read,
//! and only when somebody misses something; each holds the lock for a look-up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::media::packet::Packet;

/// Packets kept: five seconds at 20 ms, two thirds of a second at 2.5 ms. A receiver asks for nothing that would come too
/// late to be heard, so this need only be long enough.
const PACKETS: usize = 256;

/// See the head of the file. A clone is another handle on the same.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    packets: VecDeque<Packet>,
    /// Place of the first that is kept.
    first: u64,
}

impl History {
    /// Adds the next packet; its place.
    pub fn push(&self, packet: Packet) -> u64 {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.packets.len() == PACKETS {
            kept.packets.pop_front();
            kept.first += 1;
        }
        kept.packets.push_back(packet);
        kept.first + kept.packets.len() as u64 - 1
    }

    /// The packet at a place, if it is still kept.
    pub fn at(&self, place: u64) -> Option<Packet> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.packets.get(usize::try_from(place.checked_sub(kept.first)?).ok()?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_packet_is_found_by_its_place_until_it_is_too_old() {
        let history = History::default();
        for n in 0..1_000 {
            let packet = Packet { payload: vec![].into(), rtp_time_samples: n * 960, captured: Instant::now() };
            assert_eq!(history.push(packet), n);
        }
        let time_at = |place| history.clone().at(place).map(|packet| packet.rtp_time_samples);
        assert_eq!(
            (time_at(999), time_at(744), time_at(743), time_at(1_000)),
            (Some(999 * 960), Some(744 * 960), None, None)
        );
    }
}
