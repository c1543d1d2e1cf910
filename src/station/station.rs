//! A station as others see it: one named programme of host sound. Plain values and handles; its runner does the work.

use std::sync::{Arc, PoisonError, RwLock};

use crate::audio::encoder::Encoding;
use crate::ids::names::StationName;
use crate::media::track::TrackId;
use crate::station::metrics::StationMetrics;
use crate::station::source::SourceStatus;
use crate::station::timeline::Timeline;

/// One station. A clone speaks of the same one.
#[derive(Clone, Debug)]
pub struct Station {
    /// What it is called in `/whep/NAME`.
    pub name: StationName,
    /// Under which id sessions receive it.
    pub track: TrackId,
    /// How it is encoded.
    pub encoding: Encoding,
    /// Its latest packets.
    pub timeline: Timeline,
    /// What it counts; for display only.
    pub metrics: StationMetrics,
    source: Arc<RwLock<Arc<SourceStatus>>>,
}

impl Station {
    /// A station that has not sent anything yet.
    pub fn new(
        name: StationName,
        track: TrackId,
        encoding: Encoding,
        timeline: Timeline,
        metrics: StationMetrics,
    ) -> Station {
        Station { name, track, encoding, timeline, metrics, source: Arc::default() }
    }

    /// Whether it has sent anything yet.
    pub fn is_on_air(&self) -> bool {
        self.timeline.head() > 0
    }

    /// What its source is and whether it delivers, as the runner said last.
    pub fn source(&self) -> Arc<SourceStatus> {
        Arc::clone(&self.source.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets what [`Station::source`] returns. Called by the runner only, when something has changed.
    pub(super) fn publish_source(&self, status: Arc<SourceStatus>) {
        *self.source.write().unwrap_or_else(PoisonError::into_inner) = status;
    }
}
