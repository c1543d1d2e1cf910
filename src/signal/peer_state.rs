//! What a peer tells the others about itself: name, microphone, camera, screen. Read from `hello` and `peer-state` messages
//! and written into `peer-state` messages. Values only.

use serde::{Deserialize, Serialize};

use crate::signal::protocol_error::ProtocolError;

/// Characters of a display name.
pub const NAME_CHARS: usize = 64;
/// Characters of a MediaStream's id: browsers make UUIDs of 36, or `{…}` around one.
const STREAM_ID_CHARS: usize = 64;

/// The state of a peer, always as a whole: a member that is left out has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerState {
    /// Display name, at most [`NAME_CHARS`].
    pub name: String,
    /// Its microphone is muted.
    pub muted: bool,
    /// Its camera is on.
    pub camera: bool,
    /// The id of the MediaStream that is its screen, if it shows one.
    pub screen: Option<String>,
}

impl PeerState {
    /// Reads the payload of a message.
    ///
    /// # Errors
    /// What to tell the client, if this is no state or something in it is too long.
    pub fn parse(payload: &str) -> Result<PeerState, ProtocolError> {
        let mut state: PeerState = serde_json::from_str(payload)
            .map_err(|error| ProtocolError::from_json(&error, "A peer-state has name, muted, camera and screen"))?;
        state.name = without_control_characters(&state.name).trim().to_owned();
        if state.name.chars().count() > NAME_CHARS {
            return Err(ProtocolError::bad_message(format!("A name has {NAME_CHARS} characters at most.")));
        }
        if state.screen.as_ref().is_some_and(|id| id.chars().count() > STREAM_ID_CHARS) {
            return Err(ProtocolError::bad_message(format!("A stream's id has {STREAM_ID_CHARS} characters at most.")));
        }
        Ok(state)
    }
}

/// Names are shown on one line.
fn without_control_characters(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::protocol_error::ErrorCode;

    #[test]
    fn a_name_is_one_line_of_at_most_64_characters() {
        let name = "ä".repeat(NAME_CHARS);
        let parsed = PeerState::parse(&format!(r#"{{"name":" {name}\u0000\n","more":1}}"#));
        assert_eq!(parsed, Ok(PeerState { name: name.clone(), ..PeerState::default() }));
        let longer = PeerState::parse(&format!(r#"{{"name":"{name}ä"}}"#));
        assert_eq!(longer.unwrap_err().code, ErrorCode::BadMessage);
    }

    #[test]
    fn a_member_that_is_left_out_has_its_default() {
        assert_eq!(PeerState::parse("{}"), Ok(PeerState::default()));
        let camera = PeerState { camera: true, ..PeerState::default() };
        assert_eq!(PeerState::parse(r#"{"camera":true}"#), Ok(camera));
    }
}
