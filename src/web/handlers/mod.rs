//! What requests are answered with.

pub mod access;
pub mod assets;
pub mod authorize;
pub mod context;
pub mod dispatch;
pub mod origin_check;
pub mod pages;
pub mod status;
pub mod websocket;
pub mod whep;
