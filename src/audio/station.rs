//! (stub, being written elsewhere: `Station` is final)

use std::sync::Arc;

use crate::audio::encoder::Encoding;
use crate::observe::metrics::StationMetrics;

/// One named programme of host sound, as others see it.
#[derive(Clone, Debug)]
pub struct Station {
    /// What it is called in `/whep/NAME`: 1 to 64 of letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// How it is encoded.
    pub encoding: Encoding,
    /// What it is doing.
    pub metrics: Arc<StationMetrics>,
}
