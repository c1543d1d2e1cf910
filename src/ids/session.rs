//! Ids of WebRTC sessions. Values only; parsed here and nowhere else.

use std::fmt;

/// Bits of the id that hold the number of its rtc thread: 64 to 71.
const THREAD_SHIFT: u32 = 64;

/// Names a session: 120 unguessable bits, since knowing the id is the right to end the session, and the number of the rtc
/// thread that drives it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

impl SessionId {
    /// A fresh one for a session of that rtc thread, from the operating system's random numbers.
    ///
    /// # Panics
    /// If the operating system has no random numbers: nothing can be kept private then.
    pub fn random(thread: u8) -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system provides random numbers");
        let random = u128::from_be_bytes(bytes) & !(0xff << THREAD_SHIFT);
        SessionId(random | u128::from(thread) << THREAD_SHIFT)
    }

    /// Reads what [`fmt::Display`] wrote: 32 lower-case hexadecimal digits, nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| u128::from_str_radix(text, 16).ok().map(SessionId))?
    }

    /// The rtc thread that drives the session. An id that a client made up may name a thread that there is not.
    pub fn thread(&self) -> u8 {
        (self.0 >> THREAD_SHIFT) as u8
    }

    /// Sixteen of its random bits.
    pub fn random_bits(&self) -> u16 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_thread_and_is_written_in_one_way_only() {
        for thread in [0, 1, 63, 255] {
            let id = SessionId::random(thread);
            assert_eq!((id.thread(), SessionId::parse(&id.to_string())), (thread, Some(id)));
            assert_ne!(SessionId::random(thread), id);
            assert!(!format!("{id:?}").contains(&id.to_string()[8..]));
        }
        let digits = "00112233445566778899aabbccddeeff";
        assert!(SessionId::parse(digits).is_some());
        for odd in ["", &digits[1..], &digits.to_uppercase(), &digits.replacen('0', "+", 1), &format!("{digits}0")] {
            assert_eq!(SessionId::parse(odd), None, "{odd}");
        }
    }
}
