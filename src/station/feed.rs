//! A source as an encoder's thread drives it: the tone when it is due; a device opened, watched and opened again with
//! back-off. It knows no encoder and waits for nothing; the runner waits for its events and deadline.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never};

use crate::audio::encoder::Encoding;
use crate::audio::sources::capture::{Capture, CaptureEvent, Finder};
use crate::audio::sources::openings::Openings;
use crate::audio::sources::tone::Sine;
use crate::observe::metrics::Counter;
use crate::station::source::Source;

/// A source that is open but delivers nothing for this long is taken for dead and opened again. Some devices die without
/// an error; others, as the loopback of a Windows host that plays nothing, are only quiet, and opening them again does no
/// harm. Longer than the 2 s that a PulseAudio sink may take to wake up.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// First and longest pause between two attempts to open a source.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// A device's buffer of 10 ms serves longer packets as well, and its sound arrives sooner.
const MAX_BLOCK_SAMPLES: u32 = 480;

/// A source, as it is driven.
pub struct Feed {
    state: State,
    never: Receiver<CaptureEvent>,
}

enum State {
    Tone { sine: Sine, due: Instant },
    Device { kind: &'static str, finder: Finder, opening: Opening },
}

enum Opening {
    /// Open or being opened. Since when nothing came, and the pause that follows if it fails.
    Capture { capture: Capture, quiet_since: Instant, back_off: Duration },
    /// To be opened again then.
    Pause { until: Instant, back_off: Duration },
}

/// What a feed wants done when its deadline has come.
#[derive(Debug)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Take this block of the tone, which was due then; there may be more.
    Tone(Vec<f32>, Instant),
    /// The device has to be opened.
    Open,
    /// The device is open and delivers nothing.
    Stalled,
}

impl Feed {
    /// A source that has not delivered anything yet.
    pub fn new(source: Source, now: Instant) -> Feed {
        let state = match source {
            Source::Sine { tone_hz } => State::Tone { sine: Sine::new(tone_hz), due: now },
            Source::Device { kind, finder } => {
                State::Device { kind, finder, opening: Opening::Pause { until: now, back_off: BACK_OFF.0 } }
            }
        };
        Feed { state, never: never() }
    }

    /// What the device says. A tone says nothing.
    pub fn events(&self) -> &Receiver<CaptureEvent> {
        match &self.state {
            State::Device { opening: Opening::Capture { capture, .. }, .. } => capture.events(),
            _ => &self.never,
        }
    }

    /// When [`Feed::take_due`] has something to do.
    pub fn deadline(&self) -> Instant {
        match &self.state {
            State::Tone { due, .. } => *due,
            State::Device { opening: Opening::Pause { until, .. }, .. } => *until,
            State::Device { opening: Opening::Capture { quiet_since, .. }, .. } => *quiet_since + STALLED_AFTER,
        }
    }

    /// What is due now.
    pub fn take_due(&mut self, encoding: &Encoding, now: Instant) -> Due {
        match &mut self.state {
            State::Tone { sine, due } => {
                // After a sleep of the host the tone goes on from here; `Blocks` has the time right.
                *due = (*due).max(now.checked_sub(STALLED_AFTER).unwrap_or(*due));
                if *due > now {
                    return Due::Nothing;
                }
                let was_due = *due;
                *due += encoding.packet_duration();
                Due::Tone(sine.next_block(encoding.packet_samples, encoding.channels), was_due)
            }
            State::Device { opening: Opening::Pause { until, .. }, .. } if *until <= now => Due::Open,
            State::Device { opening: Opening::Capture { quiet_since, .. }, .. }
                if *quiet_since + STALLED_AFTER <= now =>
            {
                Due::Stalled
            }
            State::Device { .. } => Due::Nothing,
        }
    }

    /// Begins to open the device.
    pub fn open(
        &mut self,
        packet_samples: u32,
        blocks_dropped: Counter,
        thread_name: &str,
        openings: &Openings,
        now: Instant,
    ) {
        let State::Device { finder, opening, .. } = &mut self.state else { return };
        let (Opening::Capture { back_off, .. } | Opening::Pause { back_off, .. }) = *opening;
        let wanted = packet_samples.min(MAX_BLOCK_SAMPLES);
        let capture = Capture::open(finder.clone(), wanted, blocks_dropped, thread_name, openings);
        *opening = Opening::Capture { capture, quiet_since: now, back_off };
    }

    /// Closes the device, to be opened again after a pause that doubles each time.
    ///
    /// Returns the kind of the source; None if it is a tone, which has nothing to close.
    pub fn close(&mut self, now: Instant) -> Option<&'static str> {
        let State::Device { kind, opening, .. } = &mut self.state else { return None };
        let (Opening::Capture { back_off, .. } | Opening::Pause { back_off, .. }) = *opening;
        *opening = Opening::Pause { until: now + back_off, back_off: (back_off * 2).min(BACK_OFF.1) };
        Some(kind)
    }

    /// The device delivered; its block goes back to it, and the next pause is a short one again.
    pub fn give_back(&mut self, block: crate::audio::pcm::CaptureBlock, now: Instant) {
        if let State::Device { opening: Opening::Capture { capture, quiet_since, back_off }, .. } = &mut self.state {
            capture.give_back(block);
            (*quiet_since, *back_off) = (now, BACK_OFF.0);
        }
    }
}
