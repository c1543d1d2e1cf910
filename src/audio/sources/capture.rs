//! An open device: its own thread (`cap-<station>`) finds, opens, starts and at last drops the stream, because each of
//! these may hang with a sound server. The thread is never joined, and dropping a [`Capture`] never waits. Sound comes
//! as blocks from a pool that is allocated once; on the audio callback nothing is allocated, locked or logged. It does
//! not reopen: whoever holds it drops it and opens another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{
    BufferSize, Data, ErrorKind, InputCallbackInfo, StreamConfig, SupportedBufferSize, SupportedStreamConfig,
    SupportedStreamConfigRange,
};
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};

use crate::audio::pcm::{CaptureBlock, CaptureFormat};
use crate::audio::sources::device::{DeviceEntry, FindError, Found};
use crate::media::packet::SAMPLE_RATE_HZ;
use crate::observe::metrics::Counter;
use crate::os::priority;

/// How much sound may lie between the callback and whoever takes it.
const POOL: Duration = Duration::from_millis(500);

/// Blocks are never shorter than this many samples at 48 kHz (2.5 ms), the shortest Opus packet.
const BLOCK_MIN_SAMPLES: u32 = 120;

/// And never longer (10 ms): what a block holds is late by its length.
const BLOCK_MAX_SAMPLES: u32 = 480;

/// The pool's size in blocks when they are shortest, and with it the size of the queue of empty ones.
const POOL_MAX_BLOCKS: usize = 200;

/// Full blocks and what else may happen: a pool's worth, and room for `Opened` and `Failed`, so that only a callback
/// without an empty block ever drops sound.
const EVENT_QUEUE: usize = POOL_MAX_BLOCKS + 8;

/// A capture time further back than this is a mistake of the device's clock.
const CAPTURE_AGE_LIMIT: Duration = Duration::from_secs(2);

/// How long cpal's hosts may take to set a stream up, where they honour it.
const OPENING_LIMIT: Duration = Duration::from_secs(5);

/// What happened to the device. After `Failed` nothing that follows means anything.
#[derive(Debug)]
pub enum CaptureEvent {
    /// The device is open; blocks follow.
    Opened {
        /// Which device it is.
        entry: DeviceEntry,
        /// How it delivers.
        format: CaptureFormat,
    },
    /// Sound.
    Block(CaptureBlock),
    /// It could not be opened, or it is gone. Comes once.
    Failed {
        /// Why, in a sentence.
        reason: String,
    },
}

/// Finds the device, anew at every opening: a default may have moved, a server may have been restarted.
pub type Finder = Arc<dyn Fn() -> Result<Found, FindError> + Send + Sync>;

/// A device that is being opened or is open. Dropping it stops the stream, without waiting.
#[derive(Debug)]
pub struct Capture {
    events: Receiver<CaptureEvent>,
    empties: Sender<CaptureBlock>,
    /// Never sent on: its end tells the thread to drop the stream.
    _alive: Sender<()>,
}

impl Capture {
    /// Begins to open what `finder` finds, in blocks of `wanted_samples` per channel at 48 kHz (held to 2.5 to 10 ms).
    pub fn open(finder: Finder, wanted_samples: u32, blocks_dropped: Counter, thread_name: &str) -> Capture {
        let (event_sender, events) = bounded(EVENT_QUEUE);
        // Full means a block that is not of this pool; it is let go.
        let (empties, empty_receiver) = bounded(POOL_MAX_BLOCKS);
        let (alive_sender, alive) = bounded(0);
        let opening = Opening {
            finder,
            block_samples: wanted_samples.clamp(BLOCK_MIN_SAMPLES, BLOCK_MAX_SAMPLES),
            blocks_dropped,
            outlet: Outlet { events: event_sender, failed: Arc::default() },
            empties: empties.clone(),
            empty_receiver,
            alive,
        };
        let outlet = opening.outlet.clone();
        if let Err(e) = std::thread::Builder::new().name(thread_name.to_owned()).spawn(move || opening.run()) {
            outlet.fail(format!("No thread to open the device with: {e}."));
        }
        Capture { events, empties, _alive: alive_sender }
    }

    /// What happens, in order.
    pub fn events(&self) -> &Receiver<CaptureEvent> {
        &self.events
    }

    /// Returns a block whose sound has been taken.
    pub fn give_back(&self, block: CaptureBlock) {
        // The queue holds the whole pool; a block too many is a stranger's.
        let _ = self.empties.try_send(block);
    }
}

/// Where events go, and the one `Failed`.
#[derive(Clone, Debug)]
struct Outlet {
    events: Sender<CaptureEvent>,
    failed: Arc<AtomicBool>,
}

impl Outlet {
    fn fail(&self, reason: String) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            // There is always room; if not, the receiver is gone.
            let _ = self.events.try_send(CaptureEvent::Failed { reason });
        }
    }
}

/// What the capture thread owns.
struct Opening {
    finder: Finder,
    block_samples: u32,
    blocks_dropped: Counter,
    outlet: Outlet,
    empties: Sender<CaptureBlock>,
    empty_receiver: Receiver<CaptureBlock>,
    alive: Receiver<()>,
}

impl Opening {
    fn run(self) {
        match self.open() {
            Ok(stream) => {
                // Returns when the other end is dropped, since nothing is ever sent.
                let _ = self.alive.recv();
                drop(stream);
            }
            Err(reason) => self.outlet.fail(reason),
        }
    }

    /// `None` if nobody wants it any more.
    fn open(&self) -> Result<Option<cpal::Stream>, String> {
        let found = (self.finder)().map_err(|e| e.to_string())?;
        if self.is_abandoned() {
            return Ok(None);
        }
        // The thread that will call back is the host's own: it is raised by being started here.
        let built = priority::raise_threads_started_by(|| self.build(&found.device));
        let (stream, format) = built.map_err(|e| sentence(&found.entry.name, &e))?;
        if self.is_abandoned() {
            return Ok(None);
        }
        // Before `play`, so that no block can come before it.
        let _ = self.outlet.events.try_send(CaptureEvent::Opened { entry: found.entry.clone(), format });
        stream.play().map_err(|e| sentence(&found.entry.name, &e))?;
        Ok(Some(stream))
    }

    fn is_abandoned(&self) -> bool {
        self.alive.try_recv() == Err(TryRecvError::Disconnected)
    }

    fn build(&self, device: &cpal::Device) -> Result<(cpal::Stream, CaptureFormat), cpal::Error> {
        let config = choose_config(device)?;
        let format = CaptureFormat {
            rate_hz: config.sample_rate(),
            channels: config.channels(),
            sample_format: config.sample_format(),
        };
        let block_samples = scale(self.block_samples, format.rate_hz);
        let fixed = BufferSize::Fixed(clamp_buffer(block_samples, config.buffer_size()));
        let stream = self.build_with(device, &config, fixed, format, block_samples).or_else(|refusal| {
            if refusal.kind() == ErrorKind::DeviceNotAvailable || refusal.kind() == ErrorKind::HostUnavailable {
                return Err(refusal);
            }
            log::info!("{device}: no buffer of {block_samples} samples ({refusal}); taking its own");
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
        let mut filler = Filler {
            format,
            block_bytes: block_bytes(format, block_samples),
            events: self.outlet.events.clone(),
            empties: self.empty_receiver.clone(),
            spare: None,
            blocks_dropped: self.blocks_dropped.clone(),
        };
        let data = move |data: &Data, info: &InputCallbackInfo| {
            let stamp = info.timestamp();
            let age = stamp.callback.saturating_duration_since(stamp.capture);
            filler.take(data.bytes(), Instant::now(), age);
        };
        let mut trouble = Trouble { outlet: self.outlet.clone(), device: device.to_string(), glitched: false };
        let error = move |e: cpal::Error| trouble.handle(&e);
        device.build_input_stream_raw(config, format.sample_format, data, error, Some(OPENING_LIMIT))
    }

    /// Allocates the blocks. The callback finds them in the queue of empty ones, as if they had come back.
    fn fill_pool(&self, format: CaptureFormat, block_samples: u32) {
        let pool_samples = POOL.as_secs_f64() * f64::from(format.rate_hz);
        let blocks = (pool_samples / f64::from(block_samples)).ceil() as usize;
        for _ in 0..blocks.clamp(2, POOL_MAX_BLOCKS) {
            let bytes = Vec::with_capacity(block_bytes(format, block_samples));
            let _ = self.empties.try_send(CaptureBlock { bytes, format, captured: Instant::now() });
        }
    }
}

/// What the audio callback owns.
struct Filler {
    format: CaptureFormat,
    block_bytes: usize,
    events: Sender<CaptureEvent>,
    empties: Receiver<CaptureBlock>,
    /// A block that could not be sent: kept, because letting it go would free memory on the audio thread.
    spare: Option<CaptureBlock>,
    blocks_dropped: Counter,
}

impl Filler {
    /// Copies what the device delivered into as many blocks as it needs. `age` is how long before `now` the first
    /// sample was captured.
    fn take(&mut self, bytes: &[u8], now: Instant, age: Duration) {
        let mut captured = now.checked_sub(age.min(CAPTURE_AGE_LIMIT)).unwrap_or(now);
        for piece in bytes.chunks(self.block_bytes) {
            self.send(piece, captured);
            captured += self.format.duration_of(piece.len());
        }
    }

    fn send(&mut self, piece: &[u8], captured: Instant) {
        let empty = self.spare.take().or_else(|| self.empties.try_recv().ok());
        // A stranger's block may be too small, and must not grow here.
        let Some(mut block) = empty.filter(|block| block.bytes.capacity() >= piece.len()) else {
            self.blocks_dropped.add(1);
            return;
        };
        block.bytes.clear();
        block.bytes.extend_from_slice(piece);
        block.format = self.format;
        block.captured = captured;
        match self.events.try_send(CaptureEvent::Block(block)) {
            Ok(()) => {}
            Err(TrySendError::Full(CaptureEvent::Block(block))) => {
                self.spare = Some(block);
                self.blocks_dropped.add(1);
            }
            // Nobody listens any more: the stream is about to be dropped.
            Err(TrySendError::Disconnected(CaptureEvent::Block(block))) => self.spare = Some(block),
            Err(_) => {}
        }
    }
}

/// What the error callback owns.
struct Trouble {
    outlet: Outlet,
    device: String,
    glitched: bool,
}

impl Trouble {
    fn handle(&mut self, e: &cpal::Error) {
        match e.kind() {
            // The stream goes on. Once is enough: a device that stutters does so all the time.
            ErrorKind::Xrun | ErrorKind::RealtimeDenied => {
                if !std::mem::replace(&mut self.glitched, true) {
                    log::warn!("{}: {e}", self.device);
                }
            }
            _ => {
                self.outlet.fail(sentence(&self.device, e));
            }
        }
    }
}

fn sentence(device: &str, e: &cpal::Error) -> String {
    format!("{device}: {e}")
}

/// 48 kHz as the device has it, in the format it prefers and with at most two channels; else what it prefers.
fn choose_config(device: &cpal::Device) -> Result<SupportedStreamConfig, cpal::Error> {
    let inputs = device.supported_input_configs().map(Vec::from_iter).unwrap_or_default();
    let default = match device.default_input_config() {
        Ok(default) if !default.sample_format().is_dsd() => Ok(default),
        // An output that is captured as a loopback has the formats of an output.
        other => device.default_output_config().or(other),
    };
    let native = default.as_ref().ok().map(SupportedStreamConfig::sample_format);
    if let Some(default) = default.as_ref().ok().filter(|config| is_ideal(config)) {
        return Ok(*default);
    }
    let fits = |config: &&SupportedStreamConfigRange| {
        config.contains_rate(SAMPLE_RATE_HZ)
            && (1..=2).contains(&config.channels())
            && native.is_none_or(|native| native == config.sample_format())
            && !config.sample_format().is_dsd()
    };
    let best = inputs.iter().filter(fits).max_by_key(|config| config.channels());
    match best.and_then(|config| config.try_with_sample_rate(SAMPLE_RATE_HZ)) {
        Some(config) => Ok(config),
        None => default,
    }
}

fn is_ideal(config: &SupportedStreamConfig) -> bool {
    config.sample_rate() == SAMPLE_RATE_HZ && (1..=2).contains(&config.channels())
}

/// As many samples at `rate_hz` as last as long as `samples` at 48 kHz.
fn scale(samples: u32, rate_hz: u32) -> u32 {
    let scaled = u64::from(samples) * u64::from(rate_hz) / u64::from(SAMPLE_RATE_HZ);
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}

fn clamp_buffer(samples: u32, supported: &SupportedBufferSize) -> u32 {
    match *supported {
        SupportedBufferSize::Range { min, max } => samples.min(max).max(min).max(1),
        SupportedBufferSize::Unknown => samples,
    }
}

fn block_bytes(format: CaptureFormat, block_samples: u32) -> usize {
    format.bytes_per_sample_of_all_channels().max(1) * block_samples.max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: CaptureFormat =
        CaptureFormat { rate_hz: 48_000, channels: 2, sample_format: cpal::SampleFormat::I16 };

    /// A callback with a pool of `blocks` of 480 samples, and both ends of its queues.
    fn filler(blocks: usize, queue: usize) -> (Filler, Receiver<CaptureEvent>, Sender<CaptureBlock>) {
        let (event_sender, events) = bounded(queue);
        let (empty_sender, empties) = bounded(16);
        for _ in 0..blocks {
            let bytes = Vec::with_capacity(1_920);
            empty_sender.send(CaptureBlock { bytes, format: FORMAT, captured: Instant::now() }).expect("room");
        }
        let filler = Filler {
            format: FORMAT,
            block_bytes: 1_920,
            events: event_sender,
            empties,
            spare: None,
            blocks_dropped: Counter::default(),
        };
        (filler, events, empty_sender)
    }

    fn blocks(events: &Receiver<CaptureEvent>) -> Vec<CaptureBlock> {
        let block = |event| match event {
            CaptureEvent::Block(block) => block,
            other => panic!("{other:?}"),
        };
        events.try_iter().map(block).collect()
    }

    #[test]
    fn a_long_callback_is_spread_over_blocks_with_advancing_times() {
        let (mut filler, events, _empties) = filler(4, 8);
        let bytes: Vec<u8> = (0..1_920 * 2 + 400).map(|n| (n % 251) as u8).collect();
        let now = Instant::now();
        filler.take(&bytes, now, Duration::from_millis(25));
        let blocks = blocks(&events);
        assert_eq!(blocks.iter().map(|block| block.bytes.len()).collect::<Vec<_>>(), [1_920, 1_920, 400]);
        assert_eq!(blocks.iter().flat_map(|block| block.bytes.clone()).collect::<Vec<_>>(), bytes);
        let ages: Vec<_> = blocks.iter().map(|block| (now - block.captured).as_millis()).collect();
        assert_eq!(ages, [25, 15, 5]);
    }

    #[test]
    fn without_an_empty_block_sound_is_dropped_and_counted_and_goes_on_after() {
        let (mut filler, events, empties) = filler(1, 8);
        let sound = [7; 1_920];
        for _ in 0..3 {
            filler.take(&sound, Instant::now(), Duration::ZERO);
        }
        assert_eq!(filler.blocks_dropped.read(), 2);
        let block = blocks(&events).pop().expect("the first came through");
        empties.send(block).expect("room");
        filler.take(&sound, Instant::now(), Duration::ZERO);
        assert_eq!(blocks(&events).len(), 1);
        assert_eq!(filler.blocks_dropped.read(), 2);
    }

    #[test]
    fn no_block_ever_grows_or_is_freed_by_the_callback() {
        let (mut filler, events, empties) = filler(1, 1);
        filler.take(&[1; 1_920], Instant::now(), Duration::ZERO);
        empties
            .send(CaptureBlock { bytes: Vec::with_capacity(1_920), format: FORMAT, captured: Instant::now() })
            .expect("room");
        // The queue is full: the block stays with the callback and is used next.
        filler.take(&[2; 1_920], Instant::now(), Duration::ZERO);
        assert!(filler.spare.is_some());
        assert_eq!(blocks(&events)[0].bytes[0], 1);
        filler.take(&[3; 1_920], Instant::now(), Duration::ZERO);
        let block = blocks(&events).remove(0);
        assert_eq!((block.bytes[0], block.bytes.capacity()), (3, 1_920));
    }

    #[test]
    fn a_device_with_a_wrong_clock_is_not_believed() {
        let (mut filler, events, _empties) = filler(1, 8);
        let now = Instant::now();
        filler.take(&[0; 400], now, Duration::from_secs(3_000));
        assert!(now - blocks(&events)[0].captured <= CAPTURE_AGE_LIMIT);
    }

    #[test]
    fn a_failure_is_told_once_and_glitches_are_none() {
        let (events, received) = bounded(8);
        let outlet = Outlet { events, failed: Arc::default() };
        let mut trouble = Trouble { outlet: outlet.clone(), device: "mic".to_owned(), glitched: false };
        trouble.handle(&ErrorKind::Xrun.into());
        trouble.handle(&ErrorKind::RealtimeDenied.into());
        assert!(received.is_empty());
        trouble.handle(&cpal::Error::with_message(ErrorKind::DeviceNotAvailable, "It was unplugged."));
        trouble.handle(&ErrorKind::StreamInvalidated.into());
        outlet.fail("again".to_owned());
        let CaptureEvent::Failed { reason } = received.recv().expect("one failure") else { panic!("not a failure") };
        assert_eq!(reason, "mic: It was unplugged.");
        assert!(received.is_empty());
    }

    #[test]
    fn a_device_that_cannot_be_found_fails_with_the_reason() {
        let finder: Finder = Arc::new(|| Err(FindError::NoInput { why: "no cable".to_owned() }));
        let capture = Capture::open(finder, 480, Counter::default(), "cap-none");
        match capture.events().recv_timeout(Duration::from_secs(5)) {
            Ok(CaptureEvent::Failed { reason }) => assert!(reason.contains("no cable"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_finder_that_hangs_makes_nobody_wait() {
        let (_hold, hung) = bounded::<()>(0);
        let finder: Finder = Arc::new(move || {
            let _ = hung.recv();
            Err(FindError::NoInput { why: String::new() })
        });
        let started = Instant::now();
        drop(Capture::open(finder, 480, Counter::default(), "cap-hung"));
        assert!(started.elapsed() < Duration::from_millis(500));
    }

    #[test]
    fn blocks_last_as_long_at_every_rate() {
        assert_eq!(scale(480, 48_000), 480);
        assert_eq!(scale(120, 44_100), 110);
        assert_eq!(scale(480, 192_000), 1_920);
        assert_eq!(clamp_buffer(480, &SupportedBufferSize::Range { min: 64, max: 256 }), 256);
        assert_eq!(clamp_buffer(480, &SupportedBufferSize::Range { min: 512, max: 1_024 }), 512);
        assert_eq!(clamp_buffer(480, &SupportedBufferSize::Unknown), 480);
    }
}
