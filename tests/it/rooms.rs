//! Rooms over real sockets: what a browser, a browser of the original and somebody of ill will get to see.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use roomtone::signal::rooms::Limits;
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use crate::http::{House, code, wait_until};

/// No answer takes that long on a machine that is not on fire.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for what must not come to have come.
const A_MOMENT: Duration = Duration::from_millis(200);

/// A browser, as far as the server can tell.
struct Peer {
    socket: WebSocket<TcpStream>,
    id: String,
    /// `peerIds` of `init-peers`.
    others: Vec<String>,
    config: Value,
}

impl Peer {
    fn enter(house: &House, query: &str) -> Peer {
        Peer::enter_at(house.door.address(), query)
    }

    fn enter_at(address: SocketAddr, query: &str) -> Peer {
        let mut socket = connect(address, query);
        let init = next(&mut socket);
        assert_eq!(init["type"], "init-peers", "{init}");
        let config = next(&mut socket);
        assert_eq!(config["type"], "config", "{config}");
        let id = init["payload"]["id"].as_str().unwrap().to_owned();
        let others = init["payload"]["peerIds"].as_array().unwrap();
        let others = others.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        Peer { socket, id, others, config: config["payload"].clone() }
    }

    /// One that can come back.
    fn enter_and_say_hello(house: &House, query: &str, name: &str) -> Peer {
        let mut peer = Peer::enter(house, query);
        peer.say(&json!({"type": "hello", "payload": {"name": name}}));
        peer
    }

    fn resume(&self) -> String {
        format!("resume={}", self.config["resume"].as_str().unwrap())
    }

    fn say(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).unwrap();
    }

    fn hear(&mut self) -> Value {
        next(&mut self.socket)
    }

    fn hear_error(&mut self) -> String {
        let error = self.hear();
        assert_eq!(error["type"], "error", "{error}");
        assert!(error["payload"]["message"].as_str().unwrap().ends_with('.'), "{error}");
        error["payload"]["code"].as_str().unwrap().to_owned()
    }

    fn hears_nothing(&mut self) {
        self.socket.get_ref().set_read_timeout(Some(A_MOMENT)).unwrap();
        let heard = self.socket.read();
        assert!(matches!(heard, Err(Error::Io(_))), "{heard:?}");
        self.socket.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Reads on until the server closes, with the proper handshake.
    fn close_code(&mut self) -> CloseCode {
        loop {
            match self.socket.read() {
                Ok(Message::Close(frame)) => return frame.expect("a close frame has a code").code,
                Ok(_) => {}
                Err(error) => panic!("no goodbye: {error}"),
            }
        }
    }

    /// As when a network vanishes.
    fn drop_connection(self) -> String {
        let resume = self.resume();
        self.socket.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
        resume
    }
}

fn connect(address: SocketAddr, query: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    tungstenite::client(format!("ws://{address}/ws?{query}"), stream).expect("the server upgrades").0
}

fn next(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        match socket.read().expect("the server speaks") {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn named(kind: &str, id: &str) -> Value {
    json!({"type": kind, "payload": {"id": id}})
}

#[test]
fn two_browsers_of_the_original_meet_and_part() {
    let house = House::open();
    let mut first = Peer::enter(&house, "");
    assert!(first.others.is_empty());
    let mut second = Peer::enter(&house, "");
    assert_eq!(second.others, [first.id.clone()]);
    assert_eq!(first.hear(), named("new-peer", &second.id));

    second.say(&json!({"type": "offer", "targetId": first.id, "payload": {"sdp": {"type": "offer", "sdp": "v=0"}}}));
    let offer = first.hear();
    assert_eq!(
        offer,
        json!({"type": "offer", "payload": {"senderId": second.id, "sdp": {"type": "offer", "sdp": "v=0"}}})
    );
    first.say(&json!({"type": "answer", "targetId": second.id, "payload": {"sdp": "v=1", "more": [1.50]}}));
    assert_eq!(
        second.hear(),
        json!({"type": "answer", "payload": {"senderId": first.id, "sdp": "v=1", "more": [1.5]}})
    );
    first.say(&json!({"type": "ice-candidate", "targetId": second.id, "payload": {"candidate": null}}));
    assert_eq!(second.hear(), json!({"type": "ice-candidate", "payload": {"senderId": first.id, "candidate": null}}));

    // It never said hello, so it cannot come back and nobody waits for it.
    let id = second.id.clone();
    drop(second.drop_connection());
    assert_eq!(first.hear(), named("peer-disconnect", &id));
    first.hears_nothing();
}
