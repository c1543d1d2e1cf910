//! Counts the frames of a WebSocket (RFC 6455 §5.2) as their bytes pass by. Pure. It reads lengths and nothing else: what a
//! frame means, and whether it is valid, is decided by whoever the bytes are for.

/// Two bytes, eight of a length, four of a mask.
const MAX_HEADER_BYTES: usize = 14;

/// How many frames have begun.
#[derive(Debug, Default)]
pub struct FrameCounter {
    header: [u8; MAX_HEADER_BYTES],
    /// Bytes of the header that have arrived.
    arrived: usize,
    payload_left: u64,
    frames: usize,
}

impl FrameCounter {
    /// Bytes passed by.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.payload_left > 0 {
                let skipped = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
                self.payload_left -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header[self.arrived] = first;
            self.arrived += 1;
            bytes = rest;
            if self.arrived >= 2 && self.arrived == self.header_bytes() {
                self.frames += 1;
                self.payload_left = self.payload_bytes();
                self.arrived = 0;
            }
        }
    }

    /// Frames whose header has arrived since the last call.
    pub fn take(&mut self) -> usize {
        std::mem::take(&mut self.frames)
    }

    fn header_bytes(&self) -> usize {
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 != 0 { 4 } else { 0 };
        2 + length + mask
    }

    fn payload_bytes(&self) -> u64 {
        let extended = |count: usize| self.header[2..2 + count].iter().fold(0, |length, &b| length << 8 | u64::from(b));
        match self.header[1] & 0x7f {
            126 => extended(2),
            127 => extended(8),
            length => u64::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: usize, is_masked: bool) -> Vec<u8> {
        let bit = if is_masked { 0x80 } else { 0 };
        let mut bytes = match payload {
            0..126 => vec![0x81, bit | payload as u8],
            126..65_536 => [&[0x81, bit | 126][..], &(payload as u16).to_be_bytes()].concat(),
            _ => [&[0x81, bit | 127][..], &(payload as u64).to_be_bytes()].concat(),
        };
        bytes.resize(bytes.len() + if is_masked { 4 } else { 0 } + payload, 0xff);
        bytes
    }

    #[test]
    fn frames_are_counted_however_their_bytes_are_cut() {
        let sizes = [0, 1, 125, 126, 127, 0, 65_535, 65_536, 70_000, 0];
        let bytes: Vec<u8> = sizes.iter().flat_map(|&size| [frame(size, true), frame(size, false)].concat()).collect();
        for piece in [1, 2, 3, 7, 1_000, bytes.len()] {
            let mut counter = FrameCounter::default();
            bytes.chunks(piece).for_each(|piece| counter.push(piece));
            assert_eq!((counter.take(), counter.take()), (2 * sizes.len(), 0), "in pieces of {piece}");
        }
    }

    #[test]
    fn the_greatest_length_is_no_trouble() {
        let mut counter = FrameCounter::default();
        counter.push(&[&[0x82, 0x7f][..], &[0xff; 8]].concat());
        counter.push(&[0; 100_000]);
        assert_eq!(counter.take(), 1);
    }
}
