//! A private server over real sockets, tokens for it, and the requests that tests send to it.

use roomtone::access::token_store::TokenStore;
use roomtone::access::tokens::Permission;
use roomtone::ids::names::RoomName;
use roomtone::os::state_dir::StateDir;
use roomtone::web::handlers::authorize::Authorizer;
use serde_json::{Value, json};

use crate::harness::http_client::HttpResponse;
use crate::harness::server::Server as TestServer;
use crate::web::whep;

pub const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A server that needs tokens, and its state folder.
pub struct PrivateServer {
    pub server: TestServer,
    pub folder: tempfile::TempDir,
}

impl PrivateServer {
    pub fn start() -> PrivateServer {
        let folder = tempfile::tempdir().unwrap();
        PrivateServer { server: start(&folder), folder }
    }

    pub fn restart(self) -> PrivateServer {
        let PrivateServer { server, folder } = self;
        server.running.stop().unwrap();
        PrivateServer { server: start(&folder), folder }
    }

    pub fn token(&self, permission: Permission) -> String {
        store(&self.folder).issue(permission, None, None).unwrap().0
    }

    pub fn token_with_uses(&self, permission: Permission, uses: u32) -> String {
        store(&self.folder).issue(permission, None, Some(uses)).unwrap().0
    }
}

fn start(folder: &tempfile::TempDir) -> TestServer {
    TestServer::with_authorizer(Authorizer::new(true, store(folder)))
}

/// The token store of a folder, as another process opens it.
pub fn store(folder: &tempfile::TempDir) -> TokenStore {
    TokenStore::open(Some(StateDir::open(folder.path()).unwrap())).unwrap()
}

pub fn room(name: &str) -> Permission {
    Permission::Room(RoomName::parse(name).unwrap())
}

pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Sends an offer by WHEP. The server admits two listeners.
pub fn listen(server: &TestServer, path: &str, fields: &str) -> HttpResponse {
    server.ask("POST", path, &format!("{}{fields}", whep::SDP), whep::offer().as_bytes())
}

pub fn offer_as_json(server: &TestServer, fields: &str) -> HttpResponse {
    let body = json!({"sdp": whep::offer(), "type": "offer"}).to_string();
    server.ask("POST", "/offer", &format!("Content-Type: application/json\r\n{fields}"), body.as_bytes())
}

/// The status and error code of a WebSocket handshake at `/ws` that is refused.
pub fn ws_refusal(server: &TestServer, query: &str, fields: &str) -> (u16, String) {
    server.ask("GET", &format!("/ws?{query}"), &format!("{UPGRADE}{fields}"), b"").error()
}

/// What `/api/access` says about a token.
pub fn check_access(server: &TestServer, query: &str, token: &str) -> Result<Value, (u16, String)> {
    let reply = server.ask("GET", &format!("/api/access?{query}"), &bearer(token), b"");
    if reply.status == 200 { Ok(reply.json()) } else { Err(reply.error()) }
}
