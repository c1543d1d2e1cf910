//! A simulated capture device behind cpal's traits. Its callbacks are as punctual as the operating system allows, and
//! it can fail in the ways in which real devices fail: with an error, or by delivering nothing more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{
    BufferSize, Data, DeviceDescription, DeviceDescriptionBuilder, DeviceId, Error, ErrorKind, FrameCount,
    InputCallbackInfo, InputStreamTimestamp, OutputCallbackInfo, SampleFormat, StreamConfig, StreamInstant,
    SupportedBufferSize, SupportedStreamConfig, SupportedStreamConfigRange,
};

/// The device, and what a test can see and change of it while it runs. All clones are the same device.
#[derive(Clone)]
pub struct Simulated {
    pub rate_hz: u32,
    pub channels: u16,
    /// Tones of the first two channels; further ones are silent.
    pub tones_hz: [f64; 2],
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// When each call of the data callback began.
    calls: Mutex<Vec<Instant>>,
    /// Delivers nothing more, without an error.
    hung: AtomicBool,
    /// Opening fails, and an open stream reports an error.
    absent: AtomicBool,
    opened: AtomicU64,
}

impl Simulated {
    pub fn new(rate_hz: u32, channels: u16, tones_hz: [f64; 2]) -> Simulated {
        Simulated { rate_hz, channels, tones_hz, state: Arc::default() }
    }

    /// When each call of the data callback began.
    pub fn calls(&self) -> Vec<Instant> {
        self.state.calls.lock().unwrap().clone()
    }

    /// Makes the device deliver nothing more, without an error; or deliver again.
    pub fn hang(&self, hung: bool) {
        self.state.hung.store(hung, Ordering::Relaxed);
    }

    /// Removes the device, with an error; or makes it available again.
    pub fn vanish(&self, absent: bool) {
        self.state.absent.store(absent, Ordering::Relaxed);
    }

    /// How often the device was opened.
    pub fn opened(&self) -> u64 {
        self.state.opened.load(Ordering::Relaxed)
    }

    fn range(&self) -> SupportedStreamConfigRange {
        let buffers = SupportedBufferSize::Range { min: 16, max: 48_000 };
        SupportedStreamConfigRange::new(self.channels, self.rate_hz, self.rate_hz, buffers, SampleFormat::F32)
    }
}

pub struct SimulatedStream {
    playing: Arc<AtomicBool>,
    is_dropped: Arc<AtomicBool>,
    epoch: Instant,
}

impl Drop for SimulatedStream {
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Relaxed);
    }
}

impl StreamTrait for SimulatedStream {
    fn play(&self) -> Result<(), Error> {
        self.playing.store(true, Ordering::Relaxed);
        Ok(())
    }
    fn pause(&self) -> Result<(), Error> {
        self.playing.store(false, Ordering::Relaxed);
        Ok(())
    }
    fn now(&self) -> StreamInstant {
        instant(self.epoch, Instant::now())
    }
    fn buffer_size(&self) -> Result<FrameCount, Error> {
        Err(Error::new(ErrorKind::UnsupportedOperation))
    }
}

fn instant(epoch: Instant, at: Instant) -> StreamInstant {
    // The epoch is one hour after cpal's zero, so that capture times before the epoch are not negative.
    StreamInstant::from_nanos(3_600_000_000_000 + at.saturating_duration_since(epoch).as_nanos() as u64)
}

impl DeviceTrait for Simulated {
    type SupportedInputConfigs = std::vec::IntoIter<SupportedStreamConfigRange>;
    type SupportedOutputConfigs = std::vec::IntoIter<SupportedStreamConfigRange>;
    type Stream = SimulatedStream;

    fn description(&self) -> Result<DeviceDescription, Error> {
        Ok(DeviceDescriptionBuilder::new("Simulated").build())
    }
    fn id(&self) -> Result<DeviceId, Error> {
        Ok(DeviceId::new(cpal::platform::HostId::Custom, "simulated"))
    }
    fn supported_input_configs(&self) -> Result<Self::SupportedInputConfigs, Error> {
        Ok(vec![self.range()].into_iter())
    }
    fn supported_output_configs(&self) -> Result<Self::SupportedOutputConfigs, Error> {
        Ok(vec![].into_iter())
    }
    fn default_input_config(&self) -> Result<SupportedStreamConfig, Error> {
        Ok(self.range().with_sample_rate(self.rate_hz))
    }
    fn default_output_config(&self) -> Result<SupportedStreamConfig, Error> {
        Err(Error::new(ErrorKind::UnsupportedOperation))
    }

    fn build_input_stream_raw<D, E>(
        &self,
        config: StreamConfig,
        sample_format: SampleFormat,
        mut data_callback: D,
        mut error_callback: E,
        _timeout: Option<Duration>,
    ) -> Result<SimulatedStream, Error>
    where
        D: FnMut(&Data, &InputCallbackInfo) + Send + 'static,
        E: FnMut(Error) + Send + 'static,
    {
        if self.state.absent.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::DeviceNotAvailable));
        }
        assert_eq!(sample_format, SampleFormat::F32);
        self.state.opened.fetch_add(1, Ordering::Relaxed);
        let block = match config.buffer_size {
            BufferSize::Fixed(samples) => samples,
            BufferSize::Default => self.rate_hz / 100,
        };
        let (playing, is_dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let epoch = Instant::now();
        let stream = SimulatedStream { playing: playing.clone(), is_dropped: is_dropped.clone(), epoch };
        let device = self.clone();
        let run = move || {
            let period = Duration::from_secs_f64(f64::from(block) / f64::from(device.rate_hz));
            let mut position = 0u64;
            let mut next = Instant::now() + period;
            while !is_dropped.load(Ordering::Relaxed) {
                thread::sleep(next.saturating_duration_since(Instant::now()));
                next += period;
                if device.state.absent.load(Ordering::Relaxed) {
                    return error_callback(Error::new(ErrorKind::DeviceNotAvailable));
                }
                if device.state.hung.load(Ordering::Relaxed) || !playing.load(Ordering::Relaxed) {
                    continue;
                }
                let mut samples = device.tone_block(position, block);
                position += u64::from(block);
                let now = Instant::now();
                device.state.calls.lock().unwrap().push(now);
                let callback = instant(epoch, now);
                let timestamp = InputStreamTimestamp { callback, capture: callback - period };
                // SAFETY: the vector outlives the call and holds `len` samples of the given format.
                let data = unsafe { Data::from_parts(samples.as_mut_ptr().cast(), samples.len(), SampleFormat::F32) };
                data_callback(&data, &InputCallbackInfo::new(timestamp));
            }
        };
        thread::Builder::new().name("simulated".into()).spawn(run).expect("a thread for the simulated device");
        Ok(stream)
    }

    fn build_output_stream_raw<D, E>(
        &self,
        _: StreamConfig,
        _: SampleFormat,
        _: D,
        _: E,
        _: Option<Duration>,
    ) -> Result<SimulatedStream, Error>
    where
        D: FnMut(&mut Data, &OutputCallbackInfo) + Send + 'static,
        E: FnMut(Error) + Send + 'static,
    {
        Err(Error::new(ErrorKind::UnsupportedOperation))
    }
}

impl Simulated {
    fn tone_block(&self, position: u64, samples: u32) -> Vec<f32> {
        let mut block = Vec::with_capacity(samples as usize * usize::from(self.channels));
        for n in position..position + u64::from(samples) {
            for channel in 0..self.channels {
                let hz = self.tones_hz.get(usize::from(channel)).copied().unwrap_or(0.0);
                let turns = (n as f64 * hz / f64::from(self.rate_hz)).fract();
                block.push((0.25 * (std::f64::consts::TAU * turns).sin()) as f32);
            }
        }
        block
    }
}

impl PartialEq for Simulated {
    fn eq(&self, other: &Simulated) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

impl Eq for Simulated {}

impl std::hash::Hash for Simulated {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        Arc::as_ptr(&self.state).hash(hasher);
    }
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Simulated")
    }
}

impl std::fmt::Display for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Simulated")
    }
}
