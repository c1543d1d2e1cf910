//! Puts stations on the air and takes them off while the program runs: the only place that knows stations and the engine.
//! It owns every station's running thread. Called by the application, and by handlers that change stations.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::audio::encoder::Encoding;
use crate::ids::names::StationName;
use crate::media::track::TrackId;
use crate::observe::registry::Registry;
use crate::observe::reports::Report;
use crate::observe::service::Running;
use crate::rtc::engine::handle::{Handle as EngineHandle, TrackSetup};
use crate::rtc::profile::OpusTrack;
use crate::station::directory::Directory;
use crate::station::metrics::StationMetrics;
use crate::station::runner::{self, RunnerSetup};
use crate::station::source::Source;
use crate::station::station::Station;
use crate::station::timeline::{self, Capacity};

/// All stations of this host.
#[derive(Debug)]
pub struct Broadcast {
    /// What others see of the stations.
    pub directory: Directory,
    engine: EngineHandle,
    metrics: Registry,
    reports: Sender<Report>,
    /// How much sound each timeline keeps besides what resends need.
    kept: Duration,
    next_track: AtomicU64,
    /// Held only while a station is added, changed or removed.
    running: Mutex<HashMap<StationName, Running<runner::Handle>>>,
}

impl Broadcast {
    /// Without stations. `metrics` is where each station is registered while it exists.
    pub fn new(engine: EngineHandle, kept: Duration, metrics: Registry, reports: Sender<Report>) -> Broadcast {
        Broadcast {
            directory: Directory::default(),
            engine,
            metrics,
            reports,
            kept,
            next_track: AtomicU64::new(0),
            running: Mutex::default(),
        }
    }

    /// Adds a station and starts it.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one of that name; otherwise what libopus, the engine or the operating system refused.
    pub fn add(&self, name: StationName, encoding: Encoding, source: Source) -> io::Result<Station> {
        let mut running = self.running();
        if running.contains_key(&name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there is a station {name} already")));
        }
        let capacity = Capacity::new(self.kept, encoding.packet_duration(), encoding.bitrate_bps);
        let (writer, timeline) = timeline::new(capacity, Instant::now());
        let track = TrackId::new(self.next_track.fetch_add(1, Ordering::Relaxed));
        let metrics = StationMetrics::register(&self.metrics, name.as_str());
        let station = Station::new(name.clone(), track, encoding, timeline, metrics);
        let unregister = || StationMetrics::remove(&self.metrics, name.as_str());
        let sender = self.engine.add_track(track_setup(&station)).inspect_err(|_| unregister())?;
        let sink = Box::new(move |index, packet: &_| sender.send(index, packet));
        let setup = RunnerSetup { station: station.clone(), source, timeline: writer, sink };
        match runner::start(setup, self.reports.clone()) {
            Ok(runner) => running.insert(name, runner),
            Err(error) => {
                unregister();
                self.engine.remove_track(track)?;
                return Err(error);
            }
        };
        self.directory.insert(station.clone());
        Ok(station)
    }

    /// Replaces a station's source; its listeners stay. False if there is no station of that name.
    pub fn set_source(&self, name: &StationName, source: Source) -> bool {
        self.running().get(name).is_some_and(|runner| runner.handle.set_source(source))
    }

    /// Stops a station and closes the sessions of its listeners. False if there is no station of that name.
    ///
    /// # Errors
    /// If an rtc thread does not answer; the station is gone nevertheless, but its listeners may stay connected in silence.
    pub fn remove(&self, name: &StationName) -> io::Result<bool> {
        let Some(runner) = self.running().remove(name) else { return Ok(false) };
        let station = self.directory.remove(name);
        StationMetrics::remove(&self.metrics, name.as_str());
        if runner.stop().is_err() {
            log::error!("station {name}: its thread had panicked");
        }
        station.map_or(Ok(true), |station| self.engine.remove_track(station.track))
    }

    /// Stops every station's thread and waits for it. Sessions stay, for the engine to close them.
    ///
    /// # Errors
    /// The first panic's payload, if a thread panicked.
    pub fn stop(self) -> thread::Result<()> {
        let running = std::mem::take(&mut *self.running());
        running.into_values().map(Running::stop).fold(Ok(()), Result::and)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<StationName, Running<runner::Handle>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn track_setup(station: &Station) -> TrackSetup {
    let encoding = &station.encoding;
    TrackSetup {
        id: station.track,
        opus: OpusTrack {
            stereo: encoding.channels == 2,
            fec: encoding.fec,
            min_packet_ms: encoding.packet_ms().ceil() as u8,
        },
        timeline: station.timeline.clone(),
        listeners: station.metrics.listeners.clone(),
        packets_dropped: station.metrics.packets_dropped.clone(),
    }
}
