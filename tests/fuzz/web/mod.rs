//! Bodies for the web server.

pub mod connection;
mod responses;
mod server;
