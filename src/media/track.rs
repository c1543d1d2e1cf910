//! Names one stream of packets that sessions can be sent.

use std::fmt;

/// A track: a station's, or one that a publisher sends. Never used twice in one run of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(u64);

impl TrackId {
    /// The track of that number.
    pub const fn new(number: u64) -> TrackId {
        TrackId(number)
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
