//! What a listener asks for and what it is told: the words between `web` and the rtc thread. Plain data.

use std::net::IpAddr;

use crate::ids::session::SessionId;

/// Somebody wants to hear a station.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The SDP offer, as it came.
    pub sdp: String,
    /// Index of the station in the list the engine was started with.
    pub station: usize,
    /// The client's address, of which only so many listeners are taken.
    pub client: IpAddr,
    /// The address under which the client reached this host, if it named one: behind a port-forwarding router it is the
    /// only candidate that works, so it is offered besides the host's own.
    pub reached_at: Option<IpAddr>,
}

/// The session exists, and the first STUN check may arrive.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// How to speak of it later.
    pub listener: SessionId,
    /// The SDP answer: `sendonly`, with every candidate.
    pub answer: String,
    /// Strong entity tag of the ICE session, quotes included.
    pub etag: String,
}

/// Why an offer was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The SDP cannot be used; the sentence says what is wrong with it.
    BadOffer(String),
    /// As many listeners as are allowed are here.
    Full,
    /// As many listeners of this client's address as are allowed are here.
    FullFromAddress,
    /// The station has not sent anything yet.
    NotOnAir,
    /// The rtc thread is behind.
    Busy,
}

/// The `If-Match` of a `PATCH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No such header.
    Absent,
    /// `*`
    Any,
    /// Entity tags, quotes included.
    Tags(Vec<String>),
}

/// What a `PATCH` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// Candidates were added.
    Trickled,
    /// ICE began anew.
    Restarted {
        /// The answer's `application/trickle-ice-sdpfrag`.
        fragment: String,
        /// Entity tag of the new ICE session, quotes included.
        etag: String,
    },
}

/// Why a `PATCH` did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchRefusal {
    /// No session of that id (any more).
    Unknown,
    /// Not an SDP fragment; the sentence says what is wrong with it. (400)
    BadFragment(String),
    /// The entity tag is not that of the present ICE session. (412)
    StaleTag,
    /// An ICE restart needs `If-Match: *`. (428)
    TagRequired,
    /// A fragment that this session cannot take, and why. (422)
    Unprocessable(String),
    /// The rtc thread is behind.
    Busy,
}
