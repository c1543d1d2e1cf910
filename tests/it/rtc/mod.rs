//! Sessions in virtual time, the engine with real threads, and listeners of the running program.

#[cfg(target_os = "linux")]
mod address_translation;
mod engine;
mod hostile_datagrams;
#[cfg(target_os = "linux")]
mod loss;
#[cfg(target_os = "linux")]
mod lossy_proxy;
mod offers;
mod paths;
mod sealing;
mod sessions;
#[cfg(target_os = "linux")]
mod threads;
mod tracks;
