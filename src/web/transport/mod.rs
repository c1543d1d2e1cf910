//! Sockets, TLS, certificates and limits.

pub mod certificate;
pub mod first_bytes;
pub mod limits;
pub mod metrics;
pub mod own_certificate;
pub mod readiness;
pub mod socket;
pub mod tls;
