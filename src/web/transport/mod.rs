//! Sockets, TLS, certificates and limits.

pub mod certificate;
pub mod first_bytes;
mod frame_counter;
pub mod limits;
pub(crate) mod metered_socket;
pub mod metrics;
pub mod own_certificate;
pub mod readiness;
pub mod socket;
pub mod tls;
