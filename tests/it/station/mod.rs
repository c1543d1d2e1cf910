//! Stations in real time: with a real engine, and on a simulated device.

mod broadcast;
mod simulated;
