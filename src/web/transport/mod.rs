//! Sockets, TLS and certificates.

pub mod certificate;
pub mod metrics;
pub mod readiness;
pub mod socket;
pub mod tls;
