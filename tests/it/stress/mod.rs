//! Attacks and load against the running program. These tests need the machine for themselves: run them one by one with
//! `cargo test --test it -- stress:: --test-threads 1`. Those in `under_attack` measure time, and need a release build.

mod background_load;
mod chat_load;
mod datagram_attacks;
mod hostile_clients;
mod http_attacks;
mod mixed_load;
mod offer_attacks;
mod one_address;
mod server_under_load;
mod shutdown;
mod thread_priorities;
mod tls_attacks;
mod under_attack;
mod wake_up_probe;
mod websocket_attacks;
