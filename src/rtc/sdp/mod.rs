//! SDP: an offer is read into a model of our own, and the answer is written from that model. ICE fragments too.
//!
//! Pure. Liberal in what is read: what RFC 8866, 8839, 8842, 9143 and 9429 allow is taken, what is not needed is ignored by
//! rule, and the engine (str0m) sees no line of it. Strict in what is written: nothing that was not offered, and what the
//! stacks of browsers and of other programs take. Remote candidates are dropped: this is an ICE-lite agent (RFC 8445 §2.5),
//! which waits for checks. Of an offer, a session keeps what it needs and no text.

pub mod answer;
pub mod fragment;
mod lines;
pub mod offer;
mod section;
mod transport;
