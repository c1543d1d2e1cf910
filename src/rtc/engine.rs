//! (stub, being written elsewhere: only the `Handle` signatures are final)

use crate::rtc::session::{Admitted, IfMatch, ListenerId, Offer, PatchRefusal, Patched, Refusal};

/// How other threads reach the rtc thread. Every call waits for the rtc thread's reply, for 5 s at the most.
#[derive(Clone, Debug)]
pub struct Handle {}

impl Handle {
    /// Admits a listener; the session is registered when this returns.
    ///
    /// # Errors
    /// [`Refusal`] says who is to blame.
    pub fn admit(&self, _offer: Offer) -> Result<Admitted, Refusal> {
        Err(Refusal::Busy)
    }

    /// Adds candidates or restarts ICE, as `application/trickle-ice-sdpfrag` (RFC 8840) says.
    ///
    /// # Errors
    /// [`PatchRefusal`]; the session is unchanged then.
    pub fn patch(&self, _listener: ListenerId, _fragment: String, _if_match: IfMatch) -> Result<Patched, PatchRefusal> {
        Err(PatchRefusal::Busy)
    }

    /// Ends a session. False if there is none of that id.
    pub fn dismiss(&self, _listener: ListenerId) -> bool {
        false
    }
}
