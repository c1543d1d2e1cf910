//! What the bench and its listener process say to each other: one JSON value a line, over standard input and output.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// To the process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Make offers for so many listeners more.
    Connect(usize),
    /// The server's answer to a listener's offer.
    Answer { listener: usize, sdp: String },
    /// Forget what has been received so far.
    Reset,
    /// Report what has been received since the last reset.
    Report,
}

/// From the process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// A listener's SDP offer.
    Offer { listener: usize, sdp: String },
    /// All listeners asked for are connected.
    Connected,
    /// What `Command::Report` asked for.
    Report(Report),
}

impl Message {
    /// Writes it as a line for the bench.
    pub fn send(&self) {
        println!("{}", serde_json::to_string(self).expect("JSON"));
    }
}

/// What the listeners received since the last reset.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// Listeners whose DTLS handshake is complete.
    pub connected: usize,
    /// Where each listener receives.
    pub addresses: Vec<SocketAddr>,
    /// RTP packets received by all listeners.
    pub received: u64,
    /// RTP packets received by the listener that received fewest.
    pub fewest: u64,
    /// Packets that were decrypted, by those listeners that decrypt.
    pub decrypted: u64,
    /// Packets that these listeners received.
    pub sampled: u64,
    /// From one packet of a listener to its next, over all listeners.
    pub gap_p50_ms: f64,
    pub gap_p99_ms: f64,
    pub gap_max_ms: f64,
}
