//! The body of a response: bytes that are there, or a stream that is made while it is sent. Pure; a stream's own code
//! may be anything but blocking.

use std::borrow::Cow;
use std::fmt;
use std::time::Instant;

/// The body of a response.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Bytes(Cow<'static, [u8]>),
    /// Made while it is sent, on the thread of its connection, which is kept for it; it may be endless. Only a handler
    /// that runs on that thread may answer with one.
    Stream(Box<dyn BodyStream>),
}

/// A body in the making. It belongs to the thread `conn-<n>` of its connection: there it is made by a handler, asked
/// for more whenever the client has taken what it gave, and dropped as soon as the client has left, takes too little,
/// or the server stops. Between calls that thread sleeps. The source of the body calls `unpark` on it when there are
/// more bytes, as for a WebSocket; so the handler that makes the stream gives the source [`std::thread::current`]. A
/// wake-up without reason does no harm.
pub trait BodyStream: Send {
    /// Writes more of the body to the start of `buffer`, which is never empty. It must not block. While a client takes
    /// nothing it is not called, so a source whose bytes go out of date drops them itself.
    fn next(&mut self, buffer: &mut [u8], now: Instant) -> Next;
}

/// What a stream has at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This many bytes, at least one.
    Bytes(usize),
    /// Nothing; ask again when the thread is unparked, or at this time at the latest.
    Wait(Option<Instant>),
    /// The body is complete.
    End,
}

impl Body {
    /// No bytes.
    pub const EMPTY: Body = Body::Bytes(Cow::Borrowed(&[]));

    /// The bytes; none of a stream.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::Bytes(bytes) => bytes,
            Body::Stream(_) => &[],
        }
    }
}

impl PartialEq for Body {
    /// Two streams are never known to be equal.
    fn eq(&self, other: &Body) -> bool {
        match (self, other) {
            (Body::Bytes(one), Body::Bytes(other)) => one == other,
            _ => false,
        }
    }
}

impl fmt::Debug for dyn BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyStream")
    }
}
