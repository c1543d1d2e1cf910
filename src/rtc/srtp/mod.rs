//! SRTP: keys, and the sealing of packets beside the engine.

pub mod fingerprint;
pub mod gcm;
pub mod keys;
pub mod prefetch;
pub mod provider;
mod records;
mod rsa_crypto;
mod rsa_handshake;
