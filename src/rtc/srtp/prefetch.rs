//! Memory fetched ahead of its use. What a listener needs for a packet has been out of the nearer caches for a packet's
//! time, and waiting for it costs as much as the work itself.
//!
//! Pure: changes nothing but how soon something is at hand. Where the compiler knows no such instruction, does nothing.
#![allow(unsafe_code)]

/// Lets the processor fetch a value while it does something else.
pub fn fetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        /// What the processor fetches at once.
        const LINE_BYTES: usize = 64;
        let start = (&raw const *value).cast::<i8>();
        for offset in (0..size_of::<T>()).step_by(LINE_BYTES) {
            // SAFETY: fetching changes nothing, and the offset stays within the value.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
