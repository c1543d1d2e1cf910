//! A room's client over a real WebSocket: as much of a browser as the server can see. It reads when a test asks it to, and
//! answers pings only while it reads.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use crate::harness::server::Server as TestServer;

/// No answer takes that long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for a message that must not come to have come.
const A_MOMENT: Duration = Duration::from_millis(200);

/// A peer that has joined a room.
pub struct RoomPeer {
    pub socket: WebSocket<TcpStream>,
    pub id: String,
    /// `peerIds` of `init-peers`.
    pub others: Vec<String>,
    /// The payload of `config`.
    pub config: Value,
}

impl RoomPeer {
    /// Connects to `/ws?QUERY` and receives `init-peers` and `config`.
    pub fn join(server: &TestServer, query: &str) -> RoomPeer {
        RoomPeer::join_at(server.address(), query)
    }

    /// The same for a server of which only the address is known.
    pub fn join_at(server: SocketAddr, query: &str) -> RoomPeer {
        let mut socket = connect(server, query);
        let init = receive(&mut socket);
        assert_eq!(init["type"], "init-peers", "{init}");
        let config = receive(&mut socket);
        assert_eq!(config["type"], "config", "{config}");
        let id = init["payload"]["id"].as_str().unwrap().to_owned();
        let others = init["payload"]["peerIds"].as_array().unwrap();
        let others = others.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        RoomPeer { socket, id, others, config: config["payload"].clone() }
    }

    /// Joins as a client that can resume.
    pub fn join_with_hello(server: &TestServer, query: &str, name: &str) -> RoomPeer {
        let mut peer = RoomPeer::join(server, query);
        peer.send(&json!({"type": "hello", "payload": {"name": name}}));
        peer
    }

    /// The parameter of `/ws` with which this peer resumes.
    pub fn resume_query(&self) -> String {
        format!("resume={}", self.config["resume"].as_str().unwrap())
    }

    pub fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).unwrap();
    }

    pub fn receive(&mut self) -> Value {
        receive(&mut self.socket)
    }

    pub fn receive_type(&mut self) -> String {
        self.receive()["type"].as_str().unwrap().to_owned()
    }

    /// Receives an `error`; its code.
    pub fn receive_error(&mut self) -> String {
        let error = self.receive();
        assert_eq!(error["type"], "error", "{error}");
        assert!(error["payload"]["message"].as_str().unwrap().ends_with('.'), "{error}");
        error["payload"]["code"].as_str().unwrap().to_owned()
    }

    pub fn receives_nothing(&mut self) {
        self.socket.get_ref().set_read_timeout(Some(A_MOMENT)).unwrap();
        let received = self.socket.read();
        assert!(matches!(received, Err(Error::Io(_))), "{received:?}");
        self.socket.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Reads until the server's close frame; its code.
    pub fn close_code(&mut self) -> CloseCode {
        loop {
            match self.socket.read() {
                Ok(Message::Close(frame)) => return frame.expect("a close frame has a code").code,
                Ok(_) => {}
                Err(error) => panic!("no close frame: {error}"),
            }
        }
    }

    /// Breaks the connection without a close frame, as a lost network does; the parameter to resume with.
    pub fn drop_connection(self) -> String {
        let resume = self.resume_query();
        self.socket.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
        resume
    }
}

/// Opens a WebSocket at `/ws?QUERY`.
pub fn connect(server: SocketAddr, query: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    tungstenite::client(format!("ws://{server}/ws?{query}"), stream).expect("the server upgrades").0
}

/// The next message.
pub fn receive(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        match socket.read().expect("the server sends a message") {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A message whose payload is a peer's id.
pub fn about_peer(kind: &str, id: &str) -> Value {
    json!({"type": kind, "payload": {"id": id}})
}
