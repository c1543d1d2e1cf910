//! The one public port and what is behind it. `door` stands on `http`, `http` on `whep`, `api` and `assets`; those know
//! requests and answers (`exchange`) and the house (`site`), but no sockets.
//!
//! ```text
//! door -> conn -> { head, body (pure), loopback }      the public socket: limits of size and time, keep-alive
//!   |       `--> wire -> tls -> certificate             plain or TLS, told by the first byte; caller, redirect (pure)
//!   |--> ws -> { upgrade (pure), readiness }           rooms: a WebSocket on the very thread and socket, told by the hub
//!   `--> http -> { whep, api, assets } -> exchange, site   tiny_http on a private loopback socket: what is answered
//! ```
//!
//! `gate` decides who comes in, for `conn` and `http` alike; it stands on `origin`, `quota` and the books of `access`.

mod api;
pub mod assets;
pub mod body;
pub mod caller;
pub mod certificate;
mod conn;
pub mod descriptors;
pub mod door;
pub mod exchange;
pub mod gate;
pub mod head;
mod http;
mod loopback;
pub mod origin;
mod query;
mod readiness;
pub mod redirect;
pub mod site;
pub mod tls;
pub mod upgrade;
pub mod whep;
mod wire;
mod ws;
