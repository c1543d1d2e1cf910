//! PeerEvent requests are answered with.

pub mod authorize;
pub mod context;
pub mod pages;
pub mod status;
pub mod websocket;
pub mod whep;
