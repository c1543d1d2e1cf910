//! The public port: HTTP, TLS, WebSocket.

pub mod handlers;
pub mod http;
pub mod server;
pub mod transport;
