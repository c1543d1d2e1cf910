//! What a `PATCH` asks of a session, once its SDP fragment has been read, and what it did. Plain data.

use crate::rtc::ice::credentials::{LocalCredentials, RemoteCredentials};
use crate::rtc::requests::IfMatch;

/// A `PATCH` as it was understood.
#[derive(Clone, Debug)]
pub struct IcePatch {
    /// The section it is about, if it says so.
    pub mid: Option<String>,
    /// The client's credentials, if it tells them, and the session's own in case that they are new.
    pub restart: Option<(LocalCredentials, RemoteCredentials)>,
    /// Which ICE session it means.
    pub if_match: IfMatch,
}

/// What a `PATCH` did to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// Nothing: remote candidates are not used.
    Trickled,
    /// ICE was restarted.
    Restarted {
        /// The section that the answer names: the one that was named, else the one that has the transport, if it has a name.
        mid: Option<String>,
    },
}
