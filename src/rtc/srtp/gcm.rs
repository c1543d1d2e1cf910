//! AES-GCM of one key, through the C interface of the crypto library.
//!
//! Runs on the rtc threads, thousands of times for each packet, each time with another key that has left the processor's
//! caches since the packet before. The Rust interface of the same library costs twice as much then, mostly for one more
//! level of memory to wait for. Only here is it known which memory the next key needs, so it can be
//! [prefetched](Gcm::prefetch).
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

use aws_lc_sys::{
    EVP_AEAD_CTX, EVP_AEAD_CTX_cleanup, EVP_AEAD_CTX_init, EVP_AEAD_CTX_seal_scatter, EVP_aead_aes_128_gcm,
    EVP_aead_aes_256_gcm,
};

use crate::rtc::srtp::keys::Key;
use crate::rtc::srtp::prefetch::prefetch;

/// Bytes GCM appends (RFC 7714 §12).
pub const TAG_BYTES: usize = 16;
/// Bytes of a nonce of GCM.
pub const NONCE_BYTES: usize = 12;

/// An expanded key. It never moves, as the library may rely on that.
pub struct Gcm(Box<EVP_AEAD_CTX>);

// SAFETY: the library keeps no thread's state in it, and sealing only reads it (`aead.h`: a context may be used by several
// threads at once).
unsafe impl Send for Gcm {}

impl Gcm {
    /// Expands a key. None if the library will not.
    pub fn new(key: &Key) -> Option<Gcm> {
        let key = key.bytes();
        let mut context = Box::<EVP_AEAD_CTX>::new_uninit();
        // SAFETY: the algorithms are constants. `init` fills the context, whose address stays, or says that it could not;
        // it reads as many bytes of the key as it is told, and there is no engine.
        unsafe {
            let algorithm = if key.len() == 16 { EVP_aead_aes_128_gcm() } else { EVP_aead_aes_256_gcm() };
            context.write(MaybeUninit::zeroed().assume_init());
            let done =
                EVP_AEAD_CTX_init(context.as_mut_ptr(), algorithm, key.as_ptr(), key.len(), TAG_BYTES, ptr::null_mut());
            (done == 1).then(|| Gcm(context.assume_init()))
        }
    }

    /// Encrypts `body` in place and writes the tag. False if the library will not. The same nonce must never be used for
    /// two different packets.
    pub fn seal(&self, nonce: &[u8; NONCE_BYTES], header: &[u8], body: &mut [u8], tag: &mut [u8; TAG_BYTES]) -> bool {
        let mut tag_bytes = 0;
        // SAFETY: every pointer comes with its own length; input and output may be the same, and the tag is apart.
        let done = unsafe {
            EVP_AEAD_CTX_seal_scatter(
                &raw const *self.0,
                body.as_mut_ptr(),
                tag.as_mut_ptr(),
                &raw mut tag_bytes,
                TAG_BYTES,
                nonce.as_ptr(),
                NONCE_BYTES,
                body.as_ptr(),
                body.len(),
                ptr::null(),
                0,
                header.as_ptr(),
                header.len(),
            )
        };
        done == 1 && tag_bytes == TAG_BYTES
    }

    /// Prefetches the expanded key into the processor's cache.
    pub fn prefetch(&self) {
        prefetch(&*self.0);
    }
}

impl Drop for Gcm {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and is not used after this.
        unsafe { EVP_AEAD_CTX_cleanup(&raw mut *self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_vectors_of_gcm_come_out_and_another_header_makes_another_tag() {
        // NIST's first vectors for 128 and 256 bits with an empty header and a block of zeros.
        let sealed = |key: Key, header: &[u8]| {
            let (mut body, mut tag) = ([0; 16], [0; 16]);
            let key = Gcm::new(&key).unwrap();
            key.prefetch();
            assert!(key.seal(&[0; 12], header, &mut body, &mut tag));
            (u128::from_be_bytes(body), u128::from_be_bytes(tag))
        };
        let short = sealed([0; 16].into(), b"");
        assert_eq!(short, (0x0388_dace_60b6_a392_f328_c2b9_71b2_fe78, 0xab6e_47d4_2cec_13bd_f53a_67b2_1257_bddf));
        let long = sealed([0; 32].into(), b"");
        assert_eq!(long, (0xcea7_403d_4d60_6b6e_074e_c5d3_baf3_9d18, 0xd0d1_c8a7_9999_6bf0_265b_98b5_d48a_b919));
        let other = sealed([0; 16].into(), b"header");
        assert!(other.0 == short.0 && other.1 != short.1);
    }
}
