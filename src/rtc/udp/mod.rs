//! UDP: sockets, batches of datagrams, plain STUN.

pub mod batch;
#[cfg(target_os = "linux")]
mod sendmmsg;
pub mod socket;
pub mod stun;
