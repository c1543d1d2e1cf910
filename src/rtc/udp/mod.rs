//! UDP: sockets, batches of datagrams, what a datagram is, plain STUN.

pub mod batch;
pub mod classify;
#[cfg(target_os = "linux")]
mod sendmmsg;
pub mod socket;
pub mod stun;
pub mod stun_shares;
pub mod stun_writer;
