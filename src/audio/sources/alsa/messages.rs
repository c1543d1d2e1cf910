//! Keeps libasound from writing to the terminal.
#![allow(unsafe_code)]

use std::sync::Once;

/// libasound prints a dozen lines to stderr on a host without cards; what matters comes back as errors anyway.
pub(super) fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler's C type takes variable arguments, which Rust cannot define. Ours ignores all it is
        // given, and in the C calling conventions of Linux a function may be called with more arguments than it reads.
        // It is set before any other call into libasound, and never changed.
        unsafe {
            type Silent = unsafe extern "C" fn();
            type Handler = alsa_sys::snd_lib_error_handler_t;
            let silent: Silent = ignore;
            alsa_sys::snd_lib_error_set_handler(std::mem::transmute::<Silent, Handler>(silent));
        }
    });
}

unsafe extern "C" fn ignore() {}
