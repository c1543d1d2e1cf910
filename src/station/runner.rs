//! A station: one programme of host sound, from its source to Opus packets, on the thread `enc-<name>`.
//!
//! It outlives its source. When a device vanishes, a sound server restarts or samples just stop coming, silence goes on
//! in time, the source is opened again with back-off, and listeners stay connected. It knows nothing of listeners: a
//! finished packet is handed to whatever it was given to call.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

use crate::audio::encoder::{Encoder, Encoding};
use crate::audio::pcm::{CaptureBlock, CaptureFormat, PcmBlock};
use crate::audio::processing::blocks::{Blocks, Output};
use crate::audio::sources::capture::{Capture, CaptureEvent, Finder};
use crate::audio::sources::device::DeviceEntry;
use crate::audio::sources::tone::Sine;
use crate::media::packet::{Packet, SAMPLE_RATE_HZ};
use crate::observe::reports::{self, Report};
use crate::os::priority;
use crate::station::metrics::StationMetrics;
use crate::station::source_status::{SourceState, SourceStatus};

/// A source that is open but delivers nothing for this long is taken for dead and opened again. Some devices die without
/// an error; others (what a Windows host plays, while it plays nothing) are only quiet, and opening them again does no harm.
/// Longer than the 2 s that a PulseAudio sink may take to wake up.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// First and longest pause between two attempts to open a source.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// The status page's levels are peaks over this many samples: 100 ms.
const METER_SAMPLES: usize = 4_800;

/// What others need to know of a station.
#[derive(Clone, Debug)]
pub struct Station {
    /// What it is called in `/whep/NAME`: 1 to 64 of letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// How it is encoded.
    pub encoding: Encoding,
    /// What it is doing.
    pub metrics: StationMetrics,
}

/// Where the sound comes from.
pub enum Source {
    /// A test tone.
    Sine {
        /// Its frequency in Hz.
        tone_hz: f64,
    },
    /// A capture device, asked for anew at each opening.
    Device {
        /// `device` or `loopback`, for the status page.
        kind: &'static str,
        /// Finds it.
        finder: Finder,
    },
}

/// Takes finished packets; must not wait.
pub type PacketSink = Box<dyn FnMut(Packet) + Send>;

/// The running thread.
pub struct Running {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// Starts a station.
///
/// # Errors
/// If libopus refuses the encoding or the operating system a thread.
pub fn start(station: Station, source: Source, sink: PacketSink, reports: Sender<Report>) -> io::Result<Running> {
    let pipeline = Pipeline::new(&station, sink, Instant::now())?;
    let (stop, stopped) = bounded(1);
    let name = format!("enc-{}", station.name);
    let thread = reports::spawn(name, reports, move || {
        priority::raise();
        StationThread::new(station, source, pipeline, stopped, Instant::now()).run();
    })?;
    Ok(Running { stop, thread })
}

impl Running {
    /// Ends the thread and waits for it. An error means that it panicked.
    ///
    /// # Errors
    /// The panic's payload.
    pub fn stop(self) -> thread::Result<()> {
        let _ = self.stop.try_send(());
        self.thread.join()
    }
}

/// Everything that can make the thread act.
enum Event {
    Opened { entry: DeviceEntry, format: CaptureFormat },
    Block(CaptureBlock),
    Failed { reason: String },
    Deadline,
    Stop,
}

struct StationThread {
    station: Station,
    feed: Feed,
    pipeline: Pipeline,
    stopped: Receiver<()>,
}

/// The source, as the thread drives it.
enum Feed {
    Tone { sine: Sine, due: Instant },
    Device { kind: &'static str, finder: Finder, opening: Opening },
}

enum Opening {
    /// Open or being opened. Since when nothing came, and the pause that follows if it fails.
    Capture { capture: Capture, quiet_since: Instant, back_off: Duration },
    /// To be opened again then.
    Pause { until: Instant, back_off: Duration },
}

impl StationThread {
    fn new(station: Station, source: Source, pipeline: Pipeline, stopped: Receiver<()>, now: Instant) -> StationThread {
        let (feed, status) = match source {
            Source::Sine { tone_hz } => {
                log::info!("station {}: a test tone of {tone_hz} Hz", station.name);
                (Feed::Tone { sine: Sine::new(tone_hz), due: now }, tone_status(tone_hz, station.encoding.channels))
            }
            Source::Device { kind, finder } => {
                let opening = Opening::Pause { until: now, back_off: BACK_OFF.0 };
                (Feed::Device { kind, finder, opening }, SourceStatus { kind, ..SourceStatus::default() })
            }
        };
        station.metrics.source.store(Arc::new(status));
        StationThread { station, feed, pipeline, stopped }
    }

    fn run(mut self) {
        loop {
            let deadline = self.pipeline.drain().min(self.feed.deadline());
            match self.next_event(deadline) {
                Event::Stop => return,
                event => self.handle_event(event, Instant::now()),
            }
        }
    }

    fn next_event(&self, deadline: Instant) -> Event {
        let nothing = never();
        let captured = match &self.feed {
            Feed::Device { opening: Opening::Capture { capture, .. }, .. } => capture.events(),
            _ => &nothing,
        };
        select! {
            recv(captured) -> event => match event {
                Ok(CaptureEvent::Opened { entry, format }) => Event::Opened { entry, format },
                Ok(CaptureEvent::Block(block)) => Event::Block(block),
                Ok(CaptureEvent::Failed { reason }) => Event::Failed { reason },
                Err(_) => Event::Failed { reason: "the thread that opened it is gone".into() },
            },
            recv(self.stopped) -> _ => Event::Stop,
            default(deadline.saturating_duration_since(Instant::now())) => Event::Deadline,
        }
    }

    fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Opened { entry, format } => self.note_opened(entry, format),
            Event::Block(block) => self.handle_block(block, now),
            Event::Failed { reason } => self.close(&reason, now),
            Event::Deadline | Event::Stop => {}
        }
        self.handle_deadline(now);
    }

    fn handle_block(&mut self, block: CaptureBlock, now: Instant) {
        self.pipeline.blocks.handle_capture(&block, now);
        if let Feed::Device { opening: Opening::Capture { capture, quiet_since, back_off }, .. } = &mut self.feed {
            capture.give_back(block);
            (*quiet_since, *back_off) = (now, BACK_OFF.0);
        }
        if self.station.metrics.source.load().state != SourceState::Live {
            self.change_status(|status| (status.state, status.problem) = (SourceState::Live, None));
            log::info!("station {}: live from {}", self.station.name, self.station.metrics.source.load().name);
        }
    }

    fn handle_deadline(&mut self, now: Instant) {
        match &mut self.feed {
            Feed::Tone { sine, due } => {
                let encoding = &self.station.encoding;
                // After a sleep of the host the tone goes on from here; `Blocks` has the time right.
                *due = (*due).max(now.checked_sub(STALLED_AFTER).unwrap_or(*due));
                while *due <= now {
                    let samples = sine.next_block(encoding.packet_samples, encoding.channels);
                    self.pipeline.blocks.handle_pcm(&samples, *due, now);
                    self.pipeline.drain();
                    *due += encoding.packet_duration();
                }
            }
            Feed::Device { opening: Opening::Pause { until, back_off }, .. } if *until <= now => {
                let back_off = *back_off;
                self.open(back_off, now);
            }
            Feed::Device { opening: Opening::Capture { quiet_since, .. }, .. }
                if *quiet_since + STALLED_AFTER <= now =>
            {
                self.close("it delivers no sound", now);
            }
            Feed::Device { .. } => {}
        }
        self.pipeline.blocks.handle_timeout(now);
    }

    fn open(&mut self, back_off: Duration, now: Instant) {
        let Feed::Device { finder, opening, .. } = &mut self.feed else { return };
        let encoding = &self.station.encoding;
        // A device's buffer of 10 ms serves longer packets as well, and its sound is sooner here.
        let wanted = encoding.packet_samples.min(480);
        let thread = format!("cap-{}", self.station.name);
        let capture = Capture::open(finder.clone(), wanted, self.station.metrics.blocks_dropped.clone(), &thread);
        *opening = Opening::Capture { capture, quiet_since: now, back_off };
    }

    fn close(&mut self, reason: &str, now: Instant) {
        let Feed::Device { kind, opening, .. } = &mut self.feed else { return };
        let back_off = match opening {
            Opening::Capture { back_off, .. } | Opening::Pause { back_off, .. } => *back_off,
        };
        *opening = Opening::Pause { until: now + back_off, back_off: (back_off * 2).min(BACK_OFF.1) };
        self.station.metrics.reopened.add(1);
        if self.station.metrics.source.load().problem.as_deref() != Some(reason) {
            log::warn!("station {}: {kind}: {reason}; silence until it is back", self.station.name);
        }
        self.change_status(|status| {
            (status.state, status.problem) = (SourceState::Reopening, Some(reason.to_owned()));
        });
    }

    fn note_opened(&mut self, entry: DeviceEntry, format: CaptureFormat) {
        self.change_status(|status| {
            status.name = entry.name;
            status.id = Some(entry.id);
            status.rate_hz = format.rate_hz;
            status.channels = format.channels;
            status.sample_format = format.sample_format.to_string();
            status.state = SourceState::Silent;
        });
    }

    fn change_status(&self, change: impl FnOnce(&mut SourceStatus)) {
        let mut status = SourceStatus::clone(&self.station.metrics.source.load());
        change(&mut status);
        self.station.metrics.source.store(Arc::new(status));
    }
}

impl Feed {
    fn deadline(&self) -> Instant {
        match self {
            Feed::Tone { due, .. } => *due,
            Feed::Device { opening: Opening::Pause { until, .. }, .. } => *until,
            Feed::Device { opening: Opening::Capture { quiet_since, .. }, .. } => *quiet_since + STALLED_AFTER,
        }
    }
}

/// From samples to packets on their way.
struct Pipeline {
    blocks: Blocks,
    encoder: Encoder,
    sink: PacketSink,
    meter: Meter,
    metrics: StationMetrics,
}

impl Pipeline {
    fn new(station: &Station, sink: PacketSink, now: Instant) -> io::Result<Pipeline> {
        let encoding = &station.encoding;
        Ok(Pipeline {
            blocks: Blocks::new(encoding.channels, encoding.packet_samples, random_start(), now),
            encoder: Encoder::new(encoding).map_err(io::Error::other)?,
            sink,
            meter: Meter::default(),
            metrics: station.metrics.clone(),
        })
    }

    /// Encodes and sends what is finished. Until when there is nothing more to do.
    fn drain(&mut self) -> Instant {
        loop {
            match self.blocks.poll_output() {
                Output::Packet { pcm, position_samples } => self.send(&pcm, position_samples),
                Output::Wait(deadline) => {
                    self.metrics.silence_samples.add(self.blocks.take_silence_samples());
                    self.metrics.late_samples.add(self.blocks.take_late_samples());
                    return deadline;
                }
            }
        }
    }

    fn send(&mut self, pcm: &PcmBlock, rtp_time_samples: u64) {
        // Only a wrong duration makes Opus refuse, and `Blocks` cuts no other than the encoder was made for.
        let payload = self.encoder.encode(&pcm.samples).expect("packets have the duration the encoder was made for");
        if let Some(payload) = payload {
            self.metrics.packets.add(1);
            (self.sink)(Packet { payload, rtp_time_samples, captured: pcm.captured });
        }
        self.meter.measure(pcm, &self.metrics);
    }
}

/// Peaks for the status page.
#[derive(Default)]
struct Meter {
    peaks: [f32; 2],
    samples: usize,
}

impl Meter {
    fn measure(&mut self, pcm: &PcmBlock, metrics: &StationMetrics) {
        let channels = usize::from(pcm.channels);
        for sample in pcm.samples.chunks_exact(channels) {
            self.peaks[0] = self.peaks[0].max(sample[0].abs());
            self.peaks[1] = self.peaks[1].max(sample[channels - 1].abs());
        }
        self.samples += pcm.samples.len() / channels;
        if self.samples >= METER_SAMPLES {
            metrics.left.set_dbfs(20.0 * self.peaks[0].log10());
            metrics.right.set_dbfs(20.0 * self.peaks[1].log10());
            *self = Meter::default();
        }
    }
}

fn tone_status(tone_hz: f64, channels: u16) -> SourceStatus {
    SourceStatus {
        kind: "sine",
        name: format!("Test tone, {tone_hz} Hz"),
        state: SourceState::Live,
        rate_hz: SAMPLE_RATE_HZ,
        channels,
        sample_format: "f32".into(),
        ..SourceStatus::default()
    }
}

/// RFC 3550 §5.1: the first RTP time should be random. Below 2³¹, so that a test can watch it for a day before it wraps.
fn random_start() -> u64 {
    u64::from(getrandom::u32().unwrap_or(0) >> 1)
}
