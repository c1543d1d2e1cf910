//! Reads what a server has sent on one connection, more strictly than a client would.

use serde_json::Value;

/// What it was: the status of each response, without interim ones.
pub fn read(mut bytes: &[u8]) -> Vec<u16> {
    let mut statuses = vec![];
    let mut is_last = false;
    while !bytes.is_empty() {
        assert!(!is_last, "something follows the last response: {}", bytes.escape_ascii());
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is ASCII");
        bytes = &bytes[end..];
        let status: u16 = head.strip_prefix("HTTP/1.1 ").expect("a status line")[..3].parse().expect("a status");
        match status {
            100 => continue,
            101 => {
                statuses.push(status);
                frames(bytes);
                return statuses;
            }
            _ => {}
        }
        statuses.push(status);
        for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a header field");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{line}");
            assert!(value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{line}");
        }
        is_last = field(head, "connection") == Some("close");
        let length: usize = field(head, "content-length").map_or(0, |length| length.parse().expect("a length"));
        // A response to HEAD has the length of a body and no body.
        if bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 ") {
            continue;
        }
        let body = bytes.get(..length).expect("a whole body");
        bytes = &bytes[length..];
        if status >= 400 && field(head, "content-type") == Some("application/json") {
            let error: Value = serde_json::from_slice(body).expect("an error is JSON");
            sentence(&error["error"]["message"]);
        }
    }
    statuses
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The frames of a WebSocket (RFC 6455 §5.2), as a server sends them.
fn frames(mut bytes: &[u8]) {
    let mut is_closed = false;
    while let [first, second, rest @ ..] = bytes {
        assert!(!is_closed, "a frame follows the close frame");
        assert!(second & 0x80 == 0, "a server masks nothing");
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let extended = rest[..length_bytes].iter().fold(0, |length: usize, &b| length << 8 | usize::from(b));
        let length = if length_bytes == 0 { usize::from(second & 0x7f) } else { extended };
        // The connection may have ended before all was sent.
        let Some(payload) = rest.get(length_bytes..length_bytes + length) else { return };
        bytes = &rest[length_bytes + length..];
        match first {
            0x81 => {
                let message: Value = serde_json::from_slice(payload).expect("a message is JSON");
                assert!(message["type"].is_string() && message["payload"].is_object(), "{message}");
                if message["type"] == "error" {
                    sentence(&message["payload"]["message"]);
                }
            }
            0x88 => is_closed = true,
            0x89 | 0x8a => assert!(length <= 125, "a long control frame"),
            other => panic!("a frame that begins with {other:02x}"),
        }
    }
}

fn sentence(text: &Value) {
    let text = text.as_str().expect("an error has a sentence");
    assert!(text.ends_with('.') && text.chars().count() <= 200 && !text.contains(char::is_control), "{text}");
}
