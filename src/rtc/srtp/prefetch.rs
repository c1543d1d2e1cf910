//! Prefetching of memory. The data that one receiver needs for a packet has left the nearer caches since the packet before,
//! and waiting for it costs as much as the work itself.
//!
//! Changes nothing but timing. Does nothing where the compiler offers no such instruction.
#![allow(unsafe_code)]

/// Starts to load a value into the cache, without waiting for it.
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        /// Size of a cache line.
        const LINE_BYTES: usize = 64;
        let start = (&raw const *value).cast::<i8>();
        for offset in (0..size_of::<T>()).step_by(LINE_BYTES) {
            // SAFETY: prefetching changes nothing, and the offset stays within the value.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
