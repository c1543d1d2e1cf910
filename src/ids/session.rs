//! Ids of WebRTC sessions. Values only; parsed here and nowhere else.

use std::fmt;

/// Names a listener's session; 128 unguessable bits, and whoever knows it may end it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

impl SessionId {
    /// A fresh one, from the operating system's random numbers.
    ///
    /// # Panics
    /// If the operating system has no random numbers: nothing can be kept private then.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system provides random numbers");
        SessionId(u128::from_be_bytes(bytes))
    }

    /// Reads what [`fmt::Display`] wrote: 32 lower-case hexadecimal digits, nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| u128::from_str_radix(text, 16).ok().map(SessionId))?
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

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}…)", self.short())
    }
}
