//! An open device. A thread of its own (`cap-<station>`) finds the device, opens it, starts the stream and finally
//! drops it, because each of these can hang together with a sound server. The thread is never joined, and dropping a
//! [`Capture`] never waits. Sound arrives in blocks from a pool that is allocated once per opening. A capture does not
//! reopen its device: drop it and open another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, Data, ErrorKind, InputCallbackInfo, StreamConfig, SupportedStreamConfig};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::audio::pcm::{CaptureBlock, CaptureFormat};
use crate::audio::sources::capture_callbacks::{DataCallback, ErrorCallback, failure};
pub use crate::audio::sources::capture_event::CaptureEvent;
use crate::audio::sources::capture_event::EventSender;
use crate::audio::sources::device;
use crate::audio::sources::device_choice::FindError;
use crate::audio::sources::device_entry::CaptureDevice;
use crate::audio::sources::openings::{Opening, Openings};
use crate::audio::sources::stream_config;
use crate::observe::metrics::Counter;
use crate::os::priority;

/// How much sound may wait between the data callback and the reader of the events.
const POOL_DURATION: Duration = Duration::from_millis(500);

/// Blocks are never shorter than this many samples at 48 kHz (2.5 ms), the shortest Opus packet.
const BLOCK_MIN_SAMPLES: u32 = 120;

/// And never longer than this (10 ms): a block's first sample waits until the last has been captured.
const BLOCK_MAX_SAMPLES: u32 = 480;

/// The pool's size in blocks when they are shortest. The queue of empty blocks is as long. Full means that a block
/// comes back that is not of this pool; it is dropped.
const POOL_MAX_BLOCKS: usize = 200;

/// Length of the event queue: a whole pool of blocks, and room for `Opened` and `Failed`. So it is never full, and
/// sound is dropped, and counted, only when no empty block is left.
const EVENT_QUEUE_LENGTH: usize = POOL_MAX_BLOCKS + 8;

/// How long cpal's hosts may take to build a stream. Not all of them honour it.
const BUILD_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds the device. It is called at every opening, because the default may have changed and the sound server may have
/// been restarted.
pub type Finder = Arc<dyn Fn() -> Result<CaptureDevice, FindError> + Send + Sync>;

/// A device that is being opened or is open. Dropping it stops the stream, without waiting.
#[derive(Debug)]
pub struct Capture {
    events: Receiver<CaptureEvent>,
    empty_blocks: Sender<CaptureBlock>,
    /// Nothing is ever sent on it: when it is dropped, the thread drops the stream.
    _close_on_drop: Sender<()>,
}

impl Capture {
    /// Begins to open the device that `finder` finds, in blocks of `wanted_samples` per channel at 48 kHz (limited to
    /// 120 to 480, 2.5 to 10 ms). It fails at once if too many earlier attempts of the same station hang.
    pub fn open(
        finder: Finder,
        wanted_samples: u32,
        blocks_dropped: Counter,
        thread_name: &str,
        openings: &Openings,
    ) -> Capture {
        let (event_sender, events) = bounded(EVENT_QUEUE_LENGTH);
        let (empty_blocks, empty_receiver) = bounded(POOL_MAX_BLOCKS);
        let (close_on_drop, closed) = bounded(0);
        let event_sender = EventSender::new(event_sender);
        let Some(opening) = openings.begin() else {
            event_sender.send_failed("Earlier attempts to open the device still hang in the sound system.".to_owned());
            return Capture { events, empty_blocks, _close_on_drop: close_on_drop };
        };
        let thread = CaptureThread {
            finder,
            block_samples: wanted_samples.clamp(BLOCK_MIN_SAMPLES, BLOCK_MAX_SAMPLES),
            blocks_dropped,
            events: event_sender.clone(),
            empty_sender: empty_blocks.clone(),
            empty_blocks: empty_receiver,
            closed,
            _opening: opening,
        };
        // Not started by `reports::spawn`: this thread ends whenever its device fails or is closed, which is no reason
        // to end the process, and it may hang in a sound library for ever, so nothing may wait for it. Its failure is
        // the event `Failed`; should it panic, the event channel is disconnected.
        if let Err(e) = std::thread::Builder::new().name(thread_name.to_owned()).spawn(move || thread.run()) {
            event_sender.send_failed(format!("The operating system has no thread for opening the device: {e}."));
        }
        Capture { events, empty_blocks, _close_on_drop: close_on_drop }
    }

    /// Events in the order in which they happened.
    pub fn events(&self) -> &Receiver<CaptureEvent> {
        &self.events
    }

    /// Returns a block to the pool, once its sound has been read.
    pub fn give_back(&self, block: CaptureBlock) {
        // The queue holds the whole pool, so only a block of another pool can find it full.
        let _ = self.empty_blocks.try_send(block);
    }
}

/// Everything that the capture thread owns.
struct CaptureThread {
    finder: Finder,
    block_samples: u32,
    blocks_dropped: Counter,
    events: EventSender,
    empty_sender: Sender<CaptureBlock>,
    empty_blocks: Receiver<CaptureBlock>,
    /// Disconnected when the `Capture` is dropped.
    closed: Receiver<()>,
    /// Until the thread ends.
    _opening: Opening,
}

impl CaptureThread {
    fn run(self) {
        match self.open() {
            Ok(stream) => {
                // Returns when the `Capture` is dropped, since nothing is ever sent.
                let _ = self.closed.recv();
                drop(stream);
            }
            Err(reason) => self.events.send_failed(reason),
        }
    }

    /// `None` if the `Capture` was dropped meanwhile.
    fn open(&self) -> Result<Option<cpal::Stream>, String> {
        let found = (self.finder)().map_err(|e| e.to_string())?;
        if self.is_closed() {
            return Ok(None);
        }
        // The thread of the callbacks is started inside of cpal and inherits the priority of this thread.
        let built = priority::raise_threads_started_by(|| self.build(&found));
        let (stream, format) = built.map_err(|e| failure(&found.entry.name, &e))?;
        if self.is_closed() {
            return Ok(None);
        }
        // Before `play`, so that no block can come before it.
        self.events.send_opened(found.entry.clone(), format);
        stream.play().map_err(|e| failure(&found.entry.name, &e))?;
        Ok(Some(stream))
    }

    fn is_closed(&self) -> bool {
        self.closed.try_recv() == Err(TryRecvError::Disconnected)
    }

    fn build(&self, found: &CaptureDevice) -> Result<(cpal::Stream, CaptureFormat), cpal::Error> {
        let device = &found.device;
        let config = stream_config::choose(device, found.wanted)?;
        if let Some(wanted) = found.wanted.filter(|wanted| wanted.least() > config.channels()) {
            let (has, least) = (config.channels(), wanted.least());
            let why = format!("it has {has} channels, and --input-channels asks for channel {least}");
            return Err(cpal::Error::with_message(ErrorKind::UnsupportedConfig, why));
        }
        let format = CaptureFormat {
            rate_hz: config.sample_rate(),
            channels: config.channels(),
            sample_format: config.sample_format(),
            layout: device::layout(found, config.channels()),
        };
        let block_samples = stream_config::samples_at_rate(self.block_samples, format.rate_hz);
        let buffer_samples = stream_config::clamp_buffer_size(block_samples, config.buffer_size());
        let fixed = BufferSize::Fixed(buffer_samples);
        let stream = self.build_with(device, &config, fixed, format, block_samples).or_else(|refusal| {
            if refusal.kind() == ErrorKind::DeviceNotAvailable || refusal.kind() == ErrorKind::HostUnavailable {
                return Err(refusal);
            }
            log::info!("{device}: refuses buffers of {block_samples} samples ({refusal}); using its default size");
            self.build_with(device, &config, BufferSize::Default, format, block_samples)
        })?;
        self.fill_pool(format, block_samples);
        Ok((stream, format))
    }

    fn build_with(
        &self,
        device: &cpal::Device,
        config: &SupportedStreamConfig,
        buffer_size: BufferSize,
        format: CaptureFormat,
        block_samples: u32,
    ) -> Result<cpal::Stream, cpal::Error> {
        let config = StreamConfig { buffer_size, ..config.config() };
        let mut data_callback = DataCallback::new(
            format,
            stream_config::block_bytes(format, block_samples),
            self.events.clone(),
            self.empty_blocks.clone(),
            self.blocks_dropped.clone(),
        );
        let handle_data = move |data: &Data, info: &InputCallbackInfo| {
            let timestamp = info.timestamp();
            let age = timestamp.callback.saturating_duration_since(timestamp.capture);
            data_callback.handle_data(data.bytes(), Instant::now(), age);
        };
        let mut error_callback = ErrorCallback::new(self.events.clone(), device.to_string());
        let handle_error = move |e: cpal::Error| error_callback.handle_error(&e);
        device.build_input_stream_raw(config, format.sample_format, handle_data, handle_error, Some(BUILD_TIMEOUT))
    }

    /// Allocates the blocks. The data callback finds them in the queue of empty blocks, as if they had been returned.
    fn fill_pool(&self, format: CaptureFormat, block_samples: u32) {
        let pool_samples = POOL_DURATION.as_secs_f64() * f64::from(format.rate_hz);
        let blocks = (pool_samples / f64::from(block_samples)).ceil() as usize;
        for _ in 0..blocks.clamp(2, POOL_MAX_BLOCKS) {
            let bytes = Vec::with_capacity(stream_config::block_bytes(format, block_samples));
            let _ = self.empty_sender.try_send(CaptureBlock { bytes, format, captured: Instant::now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_be_found_fails_with_the_reason() {
        let finder: Finder = Arc::new(|| Err(FindError::NoInput { why: "no cable".to_owned() }));
        let capture = Capture::open(finder, 480, Counter::default(), "cap-none", &Openings::default());
        match capture.events().recv_timeout(Duration::from_secs(5)) {
            Ok(CaptureEvent::Failed { reason }) => assert!(reason.contains("no cable"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn dropping_a_capture_does_not_wait_for_a_finder_that_hangs() {
        let (_hold, hung) = bounded::<()>(0);
        let finder: Finder = Arc::new(move || {
            let _ = hung.recv();
            Err(FindError::NoInput { why: String::new() })
        });
        let started = Instant::now();
        drop(Capture::open(finder, 480, Counter::default(), "cap-hung", &Openings::default()));
        assert!(started.elapsed() < Duration::from_millis(500));
    }

    #[test]
    fn a_device_that_hangs_when_it_is_opened_takes_a_few_threads_and_is_opened_again_when_it_no_longer_hangs() {
        let (hold, hung) = bounded::<()>(0);
        let (begun, begins) = bounded(100);
        let finder: Finder = Arc::new(move || {
            let _ = begun.send(());
            let _ = hung.recv();
            Err(FindError::NoInput { why: "no cable".to_owned() })
        });
        let openings = Openings::default();
        let open = || Capture::open(finder.clone(), 480, Counter::default(), "cap-hung", &openings);
        let reason = |capture: &Capture| match capture.events().recv_timeout(Duration::from_secs(5)) {
            Ok(CaptureEvent::Failed { reason }) => reason,
            other => panic!("{other:?}"),
        };
        let refused = (0..50).filter(|_| open().events().try_recv().is_ok()).count();
        assert_eq!((refused, begins.iter().take(50 - refused).count()), (47, 3));
        assert!(reason(&open()).contains("still hang"));
        drop(hold);
        let started = Instant::now();
        while !reason(&open()).contains("no cable") {
            assert!(started.elapsed() < Duration::from_secs(5), "the threads have ended");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
