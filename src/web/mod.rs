//! The one public port and what is behind it. `door` stands on `http`, `http` on `whep`, `api` and `assets`; those know
//! requests and answers (`exchange`) and the house (`site`), but no sockets.
//!
//! ```text
//! door -> conn -> { head, body (pure), loopback }      the public socket: limits of size and time, keep-alive
//!   |--> ws -> { upgrade (pure), readiness }           rooms: a WebSocket on the very thread and socket, told by the hub
//!   `--> http -> { whep, api, assets } -> exchange, site   tiny_http on a private loopback socket: what is answered
//! ```
//!
//! `gate` decides who comes in, for `conn` and `http` alike; it stands on `origin`, `quota` and the books of `access`.

mod api;
pub mod assets;
mod body;
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
pub mod quota;
mod readiness;
pub mod site;
mod upgrade;
mod whep;
mod ws;
