//! What cpal calls while a stream runs: the data callback and the error callback, on threads of the sound system. The
//! data callback copies sound into blocks of the pool; it does not allocate, free, lock, log or wait. The error
//! callback may be called on the same thread. It logs one line for the first glitch, and allocates only for the failure
//! that ends the stream.

use std::time::{Duration, Instant};

use cpal::ErrorKind;
use crossbeam_channel::{Receiver, TrySendError};

use crate::audio::pcm::{CaptureBlock, CaptureFormat};
use crate::audio::sources::capture_event::EventSender;
use crate::observe::metrics::Counter;

/// A block said to have been captured longer ago than this is a fault of the device's clock.
const CAPTURE_AGE_LIMIT: Duration = Duration::from_secs(2);

/// Everything that the data callback owns.
pub(crate) struct DataCallback {
    format: CaptureFormat,
    block_bytes: usize,
    events: EventSender,
    empty_blocks: Receiver<CaptureBlock>,
    /// A block that could not be sent. It is kept, because dropping it would free memory on the audio thread.
    spare: Option<CaptureBlock>,
    blocks_dropped: Counter,
}

impl DataCallback {
    /// Sends blocks of up to `block_bytes`. `empty_blocks` delivers blocks with that capacity.
    pub(crate) fn new(
        format: CaptureFormat,
        block_bytes: usize,
        events: EventSender,
        empty_blocks: Receiver<CaptureBlock>,
        blocks_dropped: Counter,
    ) -> DataCallback {
        DataCallback { format, block_bytes, events, empty_blocks, spare: None, blocks_dropped }
    }

    /// Copies what the device delivered into as many blocks as it fills. `age` is how long before `now` the first
    /// sample was captured.
    pub(crate) fn handle_data(&mut self, bytes: &[u8], now: Instant, age: Duration) {
        let mut captured = now.checked_sub(age.min(CAPTURE_AGE_LIMIT)).unwrap_or(now);
        for piece in bytes.chunks(self.block_bytes) {
            self.send(piece, captured);
            captured += self.format.duration_of(piece.len());
        }
    }

    fn send(&mut self, piece: &[u8], captured: Instant) {
        let empty = self.spare.take().or_else(|| self.empty_blocks.try_recv().ok());
        // A block of another pool may be too small, and must not grow here. Dropping it frees memory, but only a caller
        // that mixes up two captures gives such a block back.
        let Some(mut block) = empty.filter(|block| block.bytes.capacity() >= piece.len()) else {
            self.blocks_dropped.add(1);
            return;
        };
        block.bytes.clear();
        block.bytes.extend_from_slice(piece);
        block.format = self.format;
        block.captured = captured;
        match self.events.try_send_block(block) {
            Ok(()) => {}
            Err(TrySendError::Full(block)) => {
                self.spare = Some(block);
                self.blocks_dropped.add(1);
            }
            // The receiver is gone: the stream is about to be dropped.
            Err(TrySendError::Disconnected(block)) => self.spare = Some(block),
        }
    }
}

/// Everything that the error callback owns.
pub(crate) struct ErrorCallback {
    events: EventSender,
    device: String,
    glitch_logged: bool,
}

impl ErrorCallback {
    pub(crate) fn new(events: EventSender, device: String) -> ErrorCallback {
        ErrorCallback { events, device, glitch_logged: false }
    }

    pub(crate) fn handle_error(&mut self, e: &cpal::Error) {
        match e.kind() {
            // The stream goes on. Only the first is logged: a device that glitches once does so all the time.
            ErrorKind::Xrun | ErrorKind::RealtimeDenied => {
                if !std::mem::replace(&mut self.glitch_logged, true) {
                    log::warn!("{}: {e}", self.device);
                }
            }
            _ => self.events.send_failed(failure(&self.device, e)),
        }
    }
}

/// The reason that `Failed` carries.
pub(crate) fn failure(device: &str, e: &cpal::Error) -> String {
    format!("{device}: {e}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::sources::capture_event::CaptureEvent;
    use crossbeam_channel::{Sender, bounded};

    const FORMAT: CaptureFormat = CaptureFormat {
        rate_hz: 48_000,
        channels: 2,
        sample_format: cpal::SampleFormat::I16,
        layout: crate::audio::layout::Layout::UNKNOWN,
    };

    fn empty_block() -> CaptureBlock {
        CaptureBlock { bytes: Vec::with_capacity(1_920), format: FORMAT, captured: Instant::now() }
    }

    /// A callback with a pool of `blocks` of 480 samples, and the other ends of its queues.
    fn callback(blocks: usize, queue: usize) -> (DataCallback, Receiver<CaptureEvent>, Sender<CaptureBlock>) {
        let (event_sender, events) = bounded(queue);
        let (empty_sender, empty_blocks) = bounded(16);
        for _ in 0..blocks {
            empty_sender.send(empty_block()).expect("the queue has room");
        }
        let callback =
            DataCallback::new(FORMAT, 1_920, EventSender::new(event_sender), empty_blocks, Counter::default());
        (callback, events, empty_sender)
    }

    fn blocks(events: &Receiver<CaptureEvent>) -> Vec<CaptureBlock> {
        let block = |event| match event {
            CaptureEvent::Block(block) => block,
            other => panic!("{other:?}"),
        };
        events.try_iter().map(block).collect()
    }

    #[test]
    fn a_long_delivery_is_split_into_blocks_with_advancing_capture_times() {
        let (mut callback, events, _empty_blocks) = callback(4, 8);
        let bytes: Vec<u8> = (0..1_920 * 2 + 400).map(|n| (n % 251) as u8).collect();
        let now = Instant::now();
        callback.handle_data(&bytes, now, Duration::from_millis(25));
        let blocks = blocks(&events);
        assert_eq!(blocks.iter().map(|block| block.bytes.len()).collect::<Vec<_>>(), [1_920, 1_920, 400]);
        assert_eq!(blocks.iter().flat_map(|block| block.bytes.clone()).collect::<Vec<_>>(), bytes);
        let ages: Vec<_> = blocks.iter().map(|block| (now - block.captured).as_millis()).collect();
        assert_eq!(ages, [25, 15, 5]);
    }

    #[test]
    fn without_an_empty_block_sound_is_dropped_and_counted_until_one_is_returned() {
        let (mut callback, events, empty_blocks) = callback(1, 8);
        let sound = [7; 1_920];
        for _ in 0..3 {
            callback.handle_data(&sound, Instant::now(), Duration::ZERO);
        }
        assert_eq!(callback.blocks_dropped.read(), 2);
        let block = blocks(&events).pop().expect("the first block was sent");
        empty_blocks.send(block).expect("the queue has room");
        callback.handle_data(&sound, Instant::now(), Duration::ZERO);
        assert_eq!(blocks(&events).len(), 1);
        assert_eq!(callback.blocks_dropped.read(), 2);
    }

    #[test]
    fn the_data_callback_never_grows_or_frees_a_block() {
        let (mut callback, events, empty_blocks) = callback(1, 1);
        callback.handle_data(&[1; 1_920], Instant::now(), Duration::ZERO);
        empty_blocks.send(empty_block()).expect("the queue has room");
        // The event queue is full: the block stays with the callback and is used next.
        callback.handle_data(&[2; 1_920], Instant::now(), Duration::ZERO);
        assert!(callback.spare.is_some());
        assert_eq!(blocks(&events)[0].bytes[0], 1);
        callback.handle_data(&[3; 1_920], Instant::now(), Duration::ZERO);
        let block = blocks(&events).remove(0);
        assert_eq!((block.bytes[0], block.bytes.capacity()), (3, 1_920));
    }

    #[test]
    fn an_absurd_capture_age_is_limited() {
        let (mut callback, events, _empty_blocks) = callback(1, 8);
        let now = Instant::now();
        callback.handle_data(&[0; 400], now, Duration::from_secs(3_000));
        assert!(now - blocks(&events)[0].captured <= CAPTURE_AGE_LIMIT);
    }

    #[test]
    fn a_failure_is_reported_once_and_a_glitch_is_not_a_failure() {
        let (sender, events) = bounded(8);
        let sender = EventSender::new(sender);
        let mut callback = ErrorCallback::new(sender.clone(), "mic".to_owned());
        callback.handle_error(&ErrorKind::Xrun.into());
        callback.handle_error(&ErrorKind::RealtimeDenied.into());
        assert!(events.is_empty());
        callback.handle_error(&cpal::Error::with_message(ErrorKind::DeviceNotAvailable, "It was unplugged."));
        callback.handle_error(&ErrorKind::StreamInvalidated.into());
        sender.send_failed("again".to_owned());
        let CaptureEvent::Failed { reason } = events.recv().expect("one failure") else { panic!("not a failure") };
        assert_eq!(reason, "mic: It was unplugged.");
        assert!(events.is_empty());
    }
}
