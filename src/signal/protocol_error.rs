//! What a client is told when a message cannot be used, or before its connection is closed: a stable code and a sentence.
//! Values only.

use serde::Serialize;

use crate::observe::sentence::{json_error, sentence};

/// The payload of an `error` message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// For programs.
    pub code: ErrorCode,
    /// For people: one sentence of limited length.
    pub message: String,
}

/// The codes of `error` messages. A code never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the table in protocol.md explains each of them")]
pub enum ErrorCode {
    BadJson,
    BadMessage,
    UnknownType,
    UnknownTarget,
    TooLarge,
    NotText,
    TooManyMessages,
    TooSlow,
    RoomFull,
    Replaced,
    GoingAway,
    NotAllowed,
    Removed,
    RoomLocked,
    RoomEnded,
}

impl ProtocolError {
    /// A message that is JSON, but not what the protocol says.
    pub fn bad_message(message: String) -> ProtocolError {
        ProtocolError { code: ErrorCode::BadMessage, message }
    }

    /// `targetId` is no other peer in this room.
    pub fn unknown_target() -> ProtocolError {
        ProtocolError { code: ErrorCode::UnknownTarget, message: "No such peer is in this room.".into() }
    }

    /// What serde says about a message; `expected` says what it should have been.
    pub fn from_json(error: &serde_json::Error, expected: &str) -> ProtocolError {
        let code = if error.is_data() { ErrorCode::BadMessage } else { ErrorCode::BadJson };
        // Here already, since it waits for the hub.
        let message = sentence(&format!("{expected}: {}.", json_error(error))).into_owned();
        ProtocolError { code, message }
    }
}
