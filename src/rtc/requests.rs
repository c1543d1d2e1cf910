//! What `web` asks of the rtc threads and what it is answered. Plain data.

use std::net::IpAddr;
use std::time::Duration;

use crate::ids::session::SessionId;
use crate::media::track::TrackId;

/// A client wants to receive a track.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The SDP offer, as it came.
    pub sdp: String,
    /// What it wants to receive.
    pub track: TrackId,
    /// The client's address; sessions per address are limited.
    pub client: IpAddr,
    /// Where the client reached this host, if it named an address.
    pub reached_at: Option<ReachedAt>,
}

/// The address that a client typed to reach this host. Where a router or a container forwards it, it is the only one that works,
/// so it is offered besides the host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachedAt {
    /// The host's address, as that client sees it.
    pub ip: IpAddr,
    /// The port, if one was typed: a forwarded one may be another than this host's.
    pub port: Option<u16>,
}

/// The session exists, and the first STUN check may arrive.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// How to speak of it later.
    pub session: SessionId,
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
    /// The limit of sessions is reached.
    Full,
    /// The limit of sessions from this client's address is reached.
    FullFromAddress,
    /// Offers from this client's address come too fast; when there may be another one.
    TooFast(Duration),
    /// There is no such track, or it has not sent anything yet.
    NotOnAir,
    /// The rtc thread is behind.
    Busy,
}

/// A client sends candidates or restarts ICE.
#[derive(Clone, Debug)]
pub struct Patch {
    /// The `application/trickle-ice-sdpfrag` (RFC 8840), as it came.
    pub fragment: String,
    /// Which ICE session it means.
    pub if_match: IfMatch,
    /// The client's address; `PATCH`es per address are limited.
    pub client: IpAddr,
    /// As in [`Offer`].
    pub reached_at: Option<ReachedAt>,
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
    /// ICE was restarted.
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
    /// No session of that id (any more). (404)
    Unknown,
    /// Not an SDP fragment; the sentence says what is wrong with it. (400)
    BadFragment(String),
    /// The entity tag is not that of the present ICE session. (412)
    StaleTag,
    /// An ICE restart needs `If-Match: *`. (428)
    TagRequired,
    /// A fragment that this session cannot take, and why. (422)
    Unprocessable(String),
    /// `PATCH`es from this address, or restarts of this session, come too fast; when there may be another one. (429)
    TooFast(Duration),
    /// The rtc thread is behind. (503)
    Busy,
}
