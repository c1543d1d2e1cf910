//! When bursts begin at a monitor, by the sound server's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use roomtone::audio::sources::capture::{Capture, CaptureEvent};
use roomtone::audio::sources::device::{CaptureDevice, FindError};
use roomtone::audio::sources::openings::Openings;
use roomtone::audio::sources::pulse::host::PulseHost;
use roomtone::observe::metrics::Counter;

/// Of full scale. Bursts have half of it; what a codec spreads before an onset is far less.
const THRESHOLD: f32 = 0.1;
/// Silence before an onset.
const MIN_SILENCE: Duration = Duration::from_millis(100);
/// 2.5 ms
const BLOCK_SAMPLES: u32 = 120;

/// A running recording.
pub struct Onsets {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Instant>>,
}

impl Onsets {
    pub fn record(host: PulseHost, monitor: &'static str) -> Onsets {
        let finder = Arc::new(move || {
            let found = host.list().ok().and_then(|list| list.into_iter().find(|device| device.name() == monitor));
            found.map(CaptureDevice::from).ok_or_else(|| FindError::NoInput { why: "the monitor is missing".into() })
        });
        let capture = Capture::open(finder, BLOCK_SAMPLES, Counter::default(), "cap-bench", &Openings::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let is_stopping = stopping.clone();
        let thread = std::thread::spawn(move || {
            let (mut onsets, mut last_loud) = (vec![], None::<Instant>);
            while !is_stopping.load(Ordering::Relaxed) {
                let Ok(event) = capture.events().recv_timeout(Duration::from_secs(5)) else { break };
                let block = match event {
                    CaptureEvent::Opened { .. } => continue,
                    CaptureEvent::Failed { reason } => panic!("{reason}"),
                    CaptureEvent::Block(block) => block,
                };
                let (channels, rate) = (usize::from(block.format.channels), block.format.rate_hz);
                let frames = block.bytes.chunks_exact(2 * channels);
                for (nth, frame) in frames.enumerate() {
                    let value = f32::from(i16::from_le_bytes([frame[0], frame[1]])) / 32_768.0;
                    if value.abs() < THRESHOLD {
                        continue;
                    }
                    let time = block.captured + Duration::from_secs_f64(nth as f64 / f64::from(rate));
                    if last_loud.is_none_or(|last| time.saturating_duration_since(last) > MIN_SILENCE) {
                        onsets.push(time);
                    }
                    last_loud = Some(time);
                }
                capture.give_back(block);
            }
            onsets
        });
        Onsets { stopping, thread }
    }

    /// All onsets so far.
    pub fn stop(self) -> Vec<Instant> {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.join().expect("a recording")
    }
}
