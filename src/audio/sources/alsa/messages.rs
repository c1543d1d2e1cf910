//! Keeps libasound from writing to the terminal. Runs on the caller's thread.
#![allow(unsafe_code)]

use std::sync::Once;

/// libasound prints a dozen lines to stderr on a machine without cards. What matters is returned as errors anyway.
pub(super) fn silence_libasound() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler's C type takes variable arguments, which Rust cannot define. This handler ignores all its
        // arguments, and in the C calling conventions of Linux a function may be called with more arguments than it
        // reads. It is set before any other call into libasound, and never changed.
        unsafe {
            type Silent = unsafe extern "C" fn();
            type Handler = alsa_sys::snd_lib_error_handler_t;
            let silent: Silent = ignore;
            alsa_sys::snd_lib_error_set_handler(std::mem::transmute::<Silent, Handler>(silent));
        }
    });
}

unsafe extern "C" fn ignore() {}
