//! A station's own thread, `enc-<name>`: from its source to packets.
//!
//! A station outlives its source. When a device vanishes, a sound server restarts or samples just stop coming, silence goes
//! on in time, the source is opened again with back-off, and listeners stay connected. The source can be replaced while the
//! station runs; RTP time goes on. The thread knows no listeners: a finished packet goes into the timeline and to the sink.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::audio::pcm::{CaptureBlock, CaptureFormat};
use crate::audio::sources::capture::CaptureEvent;
use crate::audio::sources::device::DeviceEntry;
use crate::audio::sources::openings::Openings;
use crate::media::packet::SAMPLE_RATE_HZ;
use crate::observe::reports::{self, Report};
use crate::observe::service::Running;
use crate::os::priority;
use crate::station::feed::{Due, Feed};
use crate::station::pipeline::{PacketSink, Pipeline};
use crate::station::source::{Source, SourceState, SourceStatus};
use crate::station::station::Station;
use crate::station::timeline::TimelineWriter;

/// Commands that wait for the thread. Full means that the caller waits; the thread takes them at once.
const COMMANDS: usize = 4;

/// What a station's thread is given.
pub struct RunnerSetup {
    /// The station; its runner keeps what others see of it up to date.
    pub station: Station,
    /// Where its sound comes from.
    pub source: Source,
    /// The writing end of the station's timeline.
    pub timeline: TimelineWriter,
    /// Takes each packet.
    pub sink: PacketSink,
}

/// Reaches a station's thread.
#[derive(Clone, Debug)]
pub struct Handle(Sender<Command>);

impl Handle {
    /// Replaces the source. False if the thread has ended.
    pub fn set_source(&self, source: Source) -> bool {
        self.0.send(Command::SetSource(source)).is_ok()
    }
}

#[derive(Debug)]
enum Command {
    SetSource(Source),
    Stop,
}

/// Starts a station's thread.
///
/// # Errors
/// If libopus refuses the encoding or the operating system a thread.
pub fn start(setup: RunnerSetup, reports: Sender<Report>) -> io::Result<Running<Handle>> {
    let RunnerSetup { station, source, timeline, sink } = setup;
    let pipeline = Pipeline::new(&station, timeline, sink, Instant::now())?;
    let (sender, commands) = bounded(COMMANDS);
    let thread = reports::spawn(format!("enc-{}", station.name), reports, move || {
        priority::raise();
        Runner::new(station, source, pipeline, commands, Instant::now()).run();
    })?;
    let handle = Handle(sender.clone());
    // Fails only if the thread has ended already.
    Ok(Running::new(handle, vec![thread], move || drop(sender.send(Command::Stop))))
}

/// Everything that can make the thread act.
enum Event {
    Opened { entry: DeviceEntry, format: CaptureFormat },
    Block(CaptureBlock),
    Failed { reason: String },
    Command(Command),
    Deadline,
}

struct Runner {
    station: Station,
    /// The state of the source. What the station shows is a copy.
    status: SourceStatus,
    feed: Feed,
    /// Of all sources that the station has had.
    openings: Openings,
    pipeline: Pipeline,
    commands: Receiver<Command>,
}

impl Runner {
    fn new(station: Station, source: Source, pipeline: Pipeline, commands: Receiver<Command>, now: Instant) -> Runner {
        let feed = Feed::new(source.clone(), now);
        let (status, openings) = (SourceStatus::default(), Openings::default());
        let mut runner = Runner { station, status, feed, openings, pipeline, commands };
        runner.announce(&source);
        runner
    }

    fn run(mut self) {
        loop {
            let deadline = self.pipeline.drain().min(self.feed.deadline());
            match self.next_event(deadline) {
                Event::Command(Command::Stop) => return,
                event => self.handle_event(event, Instant::now()),
            }
        }
    }

    fn next_event(&self, deadline: Instant) -> Event {
        select! {
            recv(self.feed.events()) -> event => match event {
                Ok(CaptureEvent::Opened { entry, format }) => Event::Opened { entry, format },
                Ok(CaptureEvent::Block(block)) => Event::Block(block),
                Ok(CaptureEvent::Failed { reason }) => Event::Failed { reason },
                Err(_) => Event::Failed { reason: "the thread that opened it is gone".into() },
            },
            // All handles are gone, so no command will come.
            recv(self.commands) -> command => Event::Command(command.unwrap_or(Command::Stop)),
            default(deadline.saturating_duration_since(Instant::now())) => Event::Deadline,
        }
    }

    fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Opened { entry, format } => self.handle_opened(entry, format),
            Event::Block(block) => self.handle_block(block, now),
            Event::Failed { reason } => self.close(&reason, now),
            Event::Command(Command::SetSource(source)) => self.set_source(source, now),
            Event::Command(Command::Stop) | Event::Deadline => {}
        }
        self.handle_deadline(now);
    }

    fn set_source(&mut self, source: Source, now: Instant) {
        self.feed = Feed::new(source.clone(), now);
        self.announce(&source);
    }

    fn announce(&mut self, source: &Source) {
        log::info!("station {}: source {source:?}", self.station.name);
        self.status = match source {
            Source::Sine { tone_hz } => tone_status(*tone_hz, self.station.encoding.channels),
            Source::Device { kind, .. } => SourceStatus { kind, ..SourceStatus::default() },
        };
        self.publish();
    }

    fn publish(&self) {
        self.station.publish_source(Arc::new(self.status.clone()));
    }

    fn handle_block(&mut self, block: CaptureBlock, now: Instant) {
        self.pipeline.blocks.handle_capture(&block, now);
        self.feed.give_back(block, now);
        if self.status.state != SourceState::Live {
            (self.status.state, self.status.problem) = (SourceState::Live, None);
            self.publish();
            log::info!("station {}: live from {}", self.station.name, self.status.name);
        }
    }

    fn handle_deadline(&mut self, now: Instant) {
        loop {
            match self.feed.take_due(&self.station.encoding, now) {
                Due::Nothing => break,
                Due::Tone(samples, due) => {
                    self.pipeline.blocks.handle_pcm(&samples, due, now);
                    self.pipeline.drain();
                }
                Due::Open => {
                    let thread = format!("cap-{}", self.station.name);
                    let blocks_dropped = self.station.metrics.blocks_dropped.clone();
                    let packet_samples = self.station.encoding.packet_samples;
                    self.feed.open(packet_samples, blocks_dropped, &thread, &self.openings, now);
                }
                Due::Stalled => self.close("it delivers no sound", now),
            }
        }
        self.pipeline.blocks.handle_timeout(now);
    }

    fn close(&mut self, reason: &str, now: Instant) {
        let Some(kind) = self.feed.close(now) else { return };
        self.station.metrics.reopened.add(1);
        if self.status.problem.as_deref() != Some(reason) {
            log::warn!("station {}: {kind}: {reason}; silence until it is back", self.station.name);
        }
        (self.status.state, self.status.problem) = (SourceState::Reopening, Some(reason.to_owned()));
        self.publish();
    }

    fn handle_opened(&mut self, entry: DeviceEntry, format: CaptureFormat) {
        let status = &mut self.status;
        status.name = entry.name;
        status.id = Some(entry.id);
        status.rate_hz = format.rate_hz;
        status.channels = format.channels;
        status.sample_format = format.sample_format.to_string();
        status.state = SourceState::Silent;
        self.publish();
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
