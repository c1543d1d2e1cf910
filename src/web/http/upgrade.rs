//! The opening handshake of a room's WebSocket (RFC 6455 §4.2): which room, which peer returns, and whether it is a
//! handshake at all. Pure. It does not decide who may join, and from which page.

use crate::access::tickets::Ticket;
use crate::ids::names::RoomName;
use crate::ids::peer::ResumeToken;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::head::{Handshake, Head};
use crate::web::http::message::{Response, split_target};
use crate::web::http::query::{Ambiguous, parameter};

/// The one version there is (RFC 6455 §4.1, point 9).
const VERSION: &str = "13";
/// 16 bytes in base64 (RFC 6455 §4.1, point 7).
const KEY_CHARS: usize = 24;

/// A handshake that can be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Which room.
    pub room: RoomName,
    /// The resume token, if a peer returns.
    pub resume: Option<ResumeToken>,
    /// What stands for all tokens, if it is there.
    pub ticket: Option<Ticket>,
    key: String,
}

impl Upgrade {
    /// The response that turns the connection into a WebSocket (RFC 6455 §4.2.2). No extension and no subprotocol is
    /// chosen.
    pub fn accepted(&self) -> String {
        let accept = tungstenite::handshake::derive_accept_key(self.key.as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
    }
}

/// Reads the handshake of a `GET`.
///
/// # Errors
/// The response to send before closing.
pub fn read(head: &Head) -> Result<Upgrade, Response> {
    let query = split_target(&head.target).1;
    let handshake = head.websocket.as_ref().filter(|asked| asked.version.as_deref() == Some(VERSION));
    let Some(Handshake { key, .. }) = handshake else {
        // RFC 9110 §15.5.22 and RFC 6455 §4.2.2, point 4.
        let response = Response::error(ErrorCode::UpgradeRequired, "Rooms are joined over a WebSocket of version 13.");
        return Err(response
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Version", VERSION));
    };
    let Some(key) = key.as_ref().filter(|key| is_key(key)) else {
        return Err(Response::error(ErrorCode::BadUpgrade, "Sec-WebSocket-Key is 16 bytes in base64."));
    };
    let (resume, ticket) = (resume(query)?, ticket(query)?);
    if resume.is_some() && ticket.is_some() {
        return Err(Response::error(ErrorCode::BadResume, "A ticket stands for a resume token: send one of them."));
    }
    Ok(Upgrade { room: room(query)?.unwrap_or_default(), resume, ticket, key: key.clone() })
}

/// 22 characters of base64 and `==`; what they encode does not matter.
fn is_key(key: &str) -> bool {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    key.len() == KEY_CHARS && key.strip_suffix("==").is_some_and(|digits| digits.bytes().all(base64))
}

/// The room that a query names.
///
/// # Errors
/// The response, if no room can have that name.
pub fn room(query: &str) -> Result<Option<RoomName>, Response> {
    room_in(query, "room")
}

/// The same by another parameter.
///
/// # Errors
/// The response, if no room can have that name.
pub fn room_in(query: &str, name: &str) -> Result<Option<RoomName>, Response> {
    let bad = || {
        Response::error(ErrorCode::BadRoom, "A room's name is 1 to 64 letters, digits, hyphens, underscores and dots.")
    };
    match parameter(query, name) {
        Ok(None) => Ok(None),
        Ok(Some(name)) => RoomName::parse(name).map(Some).ok_or_else(bad),
        Err(Ambiguous) => Err(bad()),
    }
}

/// The resume token that a query holds.
///
/// # Errors
/// The response, if it is not a token.
pub fn resume(query: &str) -> Result<Option<ResumeToken>, Response> {
    match parameter(query, "resume") {
        Ok(None) => Ok(None),
        Ok(Some(token)) => ResumeToken::parse(token).map(Some).ok_or_else(bad_resume),
        Err(Ambiguous) => Err(bad_resume()),
    }
}

/// The response to what is no resume token.
pub fn bad_resume() -> Response {
    Response::error(ErrorCode::BadResume, "resume is a token of 64 hexadecimal digits, as config gave it.")
}

/// The ticket that a query holds.
fn ticket(query: &str) -> Result<Option<Ticket>, Response> {
    let bad =
        || Response::error(ErrorCode::TicketInvalid, "A ticket has 32 hexadecimal digits, as /api/access gives it.");
    match parameter(query, "ticket") {
        Ok(None) => Ok(None),
        Ok(Some(ticket)) => Ticket::parse(ticket).map(Some).ok_or_else(bad),
        Err(Ambiguous) => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::http::routes::{self, Resource};
    use crate::web::http::{head, message};

    const FIELDS: &str = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

    /// As a connection does it: None if the path is not the WebSocket's.
    fn asked(line: &str, fields: &str) -> Result<Option<Upgrade>, u16> {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let head = head::parse(head.as_bytes()).unwrap();
        let route = routes::find(message::split_target(&head.target).0);
        if route.resource != Resource::WebSocket {
            return Ok(None);
        }
        if !route.has(&head.method) {
            return Err(route.method_not_allowed().status);
        }
        read(&head).map(Some).map_err(|response| response.status)
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
        assert_eq!((upgrade.resume, upgrade.ticket), (ResumeToken::parse(&token), None));
        let upgrade = asked(&format!("GET /ws?ticket={}", "ab".repeat(16)), FIELDS).unwrap().unwrap();
        assert_eq!((upgrade.resume, upgrade.ticket), (None, Ticket::parse(&"ab".repeat(16))));
    }

    #[test]
    fn an_invalid_handshake_or_room_name_is_refused_before_the_upgrade() {
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
        let (ticket, resume) = ("ab".repeat(16), "ab".repeat(32));
        for query in ["ticket=", "ticket=1", &format!("ticket={ticket}&ticket={ticket}")] {
            assert_eq!(asked(&format!("GET /ws?{query}"), FIELDS), Err(401), "{query}");
        }
        assert_eq!(asked(&format!("GET /ws?ticket={ticket}&resume={resume}"), FIELDS), Err(400));
    }
}
