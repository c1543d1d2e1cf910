//! PeerEvent a request for `/ws` asks for, from its head: which room, which seat, and whether it is a WebSocket at all
//! (RFC 6455 §4.2). Pure. Who may come, and from which page, is not looked at here.

use crate::ids::names::RoomName;
use crate::ids::peer::ResumeToken;
use crate::web::http::head::{Handshake, Head};
use crate::web::http::message::{Answer, ErrorCode};
use crate::web::http::query::{Twice, parameter};

const PATH: &str = "/ws";
/// The one version there is (RFC 6455 §4.1, point 9).
const VERSION: &str = "13";
/// 16 bytes in base64 (RFC 6455 §4.1, point 7).
const KEY_CHARS: usize = 24;

/// A request that may be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Which room.
    pub room: RoomName,
    /// PeerEvent the seat was proved with, if it is one from before.
    pub resume: Option<ResumeToken>,
    key: String,
}

impl Upgrade {
    /// The answer that turns the connection into a WebSocket (RFC 6455 §4.2.2). No extension and no subprotocol is chosen.
    pub fn accepted(&self) -> String {
        let accept = tungstenite::handshake::derive_accept_key(self.key.as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
    }
}

/// None if the request is for something else than rooms.
///
/// # Errors
/// The answer to give before closing.
pub fn read(head: &Head) -> Result<Option<Upgrade>, Answer> {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    if path != PATH {
        return Ok(None);
    }
    if head.method != "GET" {
        let message = format!("{} cannot be done here, but GET can, for a WebSocket.", head.method);
        return Err(Answer::error(ErrorCode::MethodNotAllowed, message).header("Allow", "GET"));
    }
    let handshake = head.websocket.as_ref().filter(|asked| asked.version.as_deref() == Some(VERSION));
    let Some(Handshake { key, .. }) = handshake else {
        // RFC 9110 §15.5.22 and RFC 6455 §4.2.2, point 4.
        let answer = Answer::error(ErrorCode::UpgradeRequired, "Rooms are entered over a WebSocket of version 13.");
        return Err(answer
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Version", VERSION));
    };
    let Some(key) = key.as_ref().filter(|key| is_key(key)) else {
        return Err(Answer::error(ErrorCode::BadUpgrade, "Sec-WebSocket-Key is 16 bytes in base64."));
    };
    Ok(Some(Upgrade { room: room(query)?.unwrap_or_default(), resume: resume(query)?, key: key.clone() }))
}

/// 22 characters of base64 and `==`; what they stand for is nobody's business.
fn is_key(key: &str) -> bool {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    key.len() == KEY_CHARS && key.strip_suffix("==").is_some_and(|digits| digits.bytes().all(base64))
}

/// The room that a query names.
///
/// # Errors
/// The answer to give, if no room can have that name.
pub fn room(query: &str) -> Result<Option<RoomName>, Answer> {
    let bad = || {
        Answer::error(ErrorCode::BadRoom, "A room's name is 1 to 64 letters, digits, hyphens, underscores and dots.")
    };
    match parameter(query, "room") {
        Ok(None) => Ok(None),
        Ok(Some(name)) => RoomName::parse(name).map(Some).ok_or_else(bad),
        Err(Twice) => Err(bad()),
    }
}

/// The secret of the seat that a query names.
///
/// # Errors
/// The answer to give, if it is none.
pub fn resume(query: &str) -> Result<Option<ResumeToken>, Answer> {
    let bad = || Answer::error(ErrorCode::BadResume, "resume is a token of 64 hexadecimal digits, as config gave it.");
    match parameter(query, "resume") {
        Ok(None) => Ok(None),
        Ok(Some(token)) => ResumeToken::parse(token).map(Some).ok_or_else(bad),
        Err(Twice) => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::http::head;

    const FIELDS: &str = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

    fn asked(line: &str, fields: &str) -> Result<Option<Upgrade>, u16> {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        read(&head::parse(head.as_bytes()).unwrap()).map_err(|answer| answer.status)
    }

    #[test]
    fn a_browsers_handshake_is_accepted() {
        let upgrade = asked("GET /ws?room=a.b&x=y", FIELDS).unwrap().unwrap();
        assert_eq!((upgrade.room.as_str(), upgrade.resume), ("a.b", None));
        // RFC 6455 §1.3.
        assert!(upgrade.accepted().contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert_eq!(asked("GET /ws", FIELDS).unwrap().unwrap().room, RoomName::default());
        let token = "ab".repeat(32);
        let upgrade = asked(&format!("GET /ws?resume={token}"), FIELDS).unwrap().unwrap();
        assert_eq!(upgrade.resume, ResumeToken::parse(&token));
    }

    #[test]
    fn what_is_no_websocket_or_no_room_is_refused_before_the_upgrade() {
        assert_eq!(asked("GET /wsx", FIELDS), Ok(None));
        assert_eq!(asked("POST /ws", FIELDS), Err(405));
        assert_eq!(asked("GET /ws", ""), Err(426));
        assert_eq!(asked("GET /ws", &FIELDS.replace("13", "8")), Err(426));
        assert_eq!(asked("GET /ws", &FIELDS.replace("Connection", "X")), Err(426));
        assert_eq!(asked("GET /ws", &FIELDS.replace("Sec-WebSocket-Key", "X")), Err(400));
        assert_eq!(asked("GET /ws", &FIELDS.replace("dGhl", "!Ghl")), Err(400));
        assert_eq!(asked("GET /ws", &format!("{FIELDS}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")), Err(400));
        for query in ["room=", "room=a%20b", "room=a&room=b", "resume=1", "resume="] {
            assert_eq!(asked(&format!("GET /ws?{query}"), FIELDS), Err(400), "{query}");
        }
        assert_eq!(asked(&format!("GET /ws?room={}", "a".repeat(65)), FIELDS), Err(400));
    }
}
