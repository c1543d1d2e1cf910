//! Attacks on a release build while a hundred listeners measure what they notice: `make attack-test`. `ROOMTONE_BINARY` gives
//! the absolute path of the build.

mod listeners;
mod own_session;
mod room_attacks;
mod session_attacks;
