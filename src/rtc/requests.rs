//! What a listener asks for and what it is told: the words between `web` and the rtc thread. Plain data.

use std::fmt;
use std::net::IpAddr;

/// Names a listener's session; 128 unguessable bits, and whoever knows it may end it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(u128);

impl ListenerId {
    /// A fresh one, from the operating system's random numbers.
    ///
    /// # Panics
    /// If the operating system has no random numbers: nothing can be kept private then.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system provides random numbers");
        ListenerId(u128::from_be_bytes(bytes))
    }

    /// Reads what [`fmt::Display`] wrote: 32 lower-case hexadecimal digits, nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| u128::from_str_radix(text, 16).ok().map(ListenerId))?
    }

    /// Which of so many threads drives it: the one thing that everybody who knows the id agrees on.
    pub fn thread(&self, threads: usize) -> usize {
        ((self.0 >> 64) as u64 % (threads as u64).max(1)) as usize
    }

    /// Sixteen of its random bits.
    pub fn low_bits(&self) -> u16 {
        self.0 as u16
    }

    /// The first digits, for the log: enough to follow a session, too few to end it.
    pub fn short(&self) -> String {
        format!("{:08x}", (self.0 >> 96) as u32)
    }
}

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListenerId({}…)", self.short())
    }
}

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
    pub listener: ListenerId,
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
