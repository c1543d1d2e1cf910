//! PulseAudio host.
