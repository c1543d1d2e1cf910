//! Accepts connections and reads requests.

pub mod acceptor;
mod connection;
mod loopback;
mod workers;
