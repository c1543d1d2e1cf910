//! Capture devices.
