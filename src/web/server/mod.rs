//! Accepts connections and reads requests.

pub mod acceptor;
mod callers;
mod connection;
mod loopback;
mod private_socket;
mod streaming;
mod workers;
