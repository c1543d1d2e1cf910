//! Names of rooms and stations, parsed once where they enter the program. Values that any thread may hold. Whether a room
//! or a station of that name exists is not known here.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The room of a client that names none.
const DEFAULT_ROOM: &str = "main";
/// The station of a client that names none.
const DEFAULT_STATION: &str = "main";
const NAME_CHARS: usize = 64;

/// A room's name: 1 to 64 of ASCII letters, digits, `-`, `_` and `.`. Names that differ only in capital and small letters are
/// equal, as a phone's keyboard begins a word with a capital; each keeps the spelling it was written in.
#[derive(Clone, Debug)]
pub struct RoomName {
    spelling: Arc<str>,
    /// What is compared: the spelling in small letters.
    key: Arc<str>,
}

impl RoomName {
    /// None if the text is not a name. Percent-encoding is not decoded: no allowed character needs it in a URL.
    pub fn parse(text: &str) -> Option<RoomName> {
        is_name(text).then(|| RoomName::from_valid(text))
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.spelling
    }

    fn from_valid(text: &str) -> RoomName {
        let spelling: Arc<str> = text.into();
        let has_capitals = text.bytes().any(|byte| byte.is_ascii_uppercase());
        let key = if has_capitals { text.to_ascii_lowercase().into() } else { Arc::clone(&spelling) };
        RoomName { spelling, key }
    }
}

impl Default for RoomName {
    fn default() -> Self {
        RoomName::from_valid(DEFAULT_ROOM)
    }
}

impl PartialEq for RoomName {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for RoomName {}

impl Hash for RoomName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Serialize for RoomName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.spelling.serialize(serializer)
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelling)
    }
}

/// A station's name: 1 to 64 of ASCII letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct StationName(Arc<str>);

impl StationName {
    /// None if the text is not a name. Percent-encoding is not decoded: no allowed character needs it in a URL.
    pub fn parse(text: &str) -> Option<StationName> {
        is_name(text).then(|| StationName(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for StationName {
    fn default() -> Self {
        StationName(DEFAULT_STATION.into())
    }
}

impl fmt::Display for StationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_CHARS).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_name_has_only_characters_that_a_url_carries_unescaped() {
        for good in ["a", "Room-1_2.x", &"x".repeat(64)] {
            assert_eq!(RoomName::parse(good).unwrap().as_str(), good);
            assert_eq!(StationName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "ä", "a%2Eb", "a+b", &"x".repeat(65)] {
            assert_eq!(RoomName::parse(bad), None, "{bad}");
            assert_eq!(StationName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_rooms_are_equal_in_capital_and_small_letters() {
        let (kitchen, small) = (RoomName::parse("Kitchen").unwrap(), RoomName::parse("kitchen").unwrap());
        assert_eq!(kitchen, small);
        assert_eq!(HashSet::from([kitchen.clone()]).get(&small).map(RoomName::as_str), Some("Kitchen"));
        assert_eq!(serde_json::to_string(&kitchen).unwrap(), r#""Kitchen""#);
        assert_ne!(kitchen, RoomName::parse("Kitchen-2").unwrap());
        assert_ne!(StationName::parse("Kitchen"), StationName::parse("kitchen"));
    }

    #[test]
    fn a_default_name_is_a_valid_name() {
        assert_eq!(RoomName::parse(DEFAULT_ROOM), Some(RoomName::default()));
        assert_eq!(StationName::parse(DEFAULT_STATION), Some(StationName::default()));
    }
}
