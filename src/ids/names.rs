//! Names of rooms and stations. Values only; parsed here and nowhere else.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// Where somebody goes who names no room.
const DEFAULT_ROOM: &str = "main";
const ROOM_NAME_CHARS: usize = 64;

/// A room's name: 1 to 64 of ASCII letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// None if it is not a name. Nothing is decoded: none of the characters needs to be escaped in a URL.
    pub fn parse(text: &str) -> Option<RoomName> {
        let valid = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let fits = (1..=ROOM_NAME_CHARS).contains(&text.len()) && text.bytes().all(valid);
        fits.then(|| RoomName(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RoomName {
    fn default() -> Self {
        RoomName(DEFAULT_ROOM.into())
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_name_is_what_a_url_carries_as_it_is() {
        for good in ["a", "Room-1_2.x", &"x".repeat(64)] {
            assert_eq!(RoomName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "ä", "a%2Eb", "a+b", &"x".repeat(65)] {
            assert_eq!(RoomName::parse(bad), None, "{bad}");
        }
    }
}
