//! The digests of a certificate by which the other side says which one it has (RFC 8122 §5).
//!
//! Pure.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use data_encoding::HEXLOWER_PERMISSIVE;

/// Digests by one hash function, at the most: a client says one for each certificate that it may use.
const MAX_DIGESTS: usize = 8;

/// Hash functions that are checked, the weakest first.
const HASHES: [(&str, &Algorithm); 3] = [("sha-256", &SHA256), ("sha-384", &SHA384), ("sha-512", &SHA512)];

/// What a certificate must be: one whose digest is among these, all by one hash function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    hash: usize,
    /// One after the other; each has the hash function's length.
    digests: Box<[u8]>,
}

/// Why there is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong<'a> {
    /// No value names a hash function that is checked here.
    NoKnownHash,
    /// This one is no digest of the hash function that it names.
    NoDigest(&'a str),
    /// This one is one too many.
    TooMany(&'a str),
}

impl Fingerprint {
    /// Reads the values of all `a=fingerprint` lines of one description: those by the strongest of the known hash functions
    /// count (RFC 8122 §5).
    ///
    /// # Errors
    /// [`Wrong`], if none could be checked, or if one by a known hash function is malformed.
    pub fn read<'a>(values: impl Iterator<Item = &'a str>) -> Result<Fingerprint, Wrong<'a>> {
        let mut strongest: Option<(usize, Vec<u8>)> = None;
        for value in values {
            let (name, digest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
            let Some(hash) = HASHES.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) else { continue };
            let length = HASHES[hash].1.output_len();
            let digest = decoded(digest.trim(), length).ok_or(Wrong::NoDigest(value))?;
            match &mut strongest {
                Some((best, _)) if *best > hash => {}
                Some((best, digests)) if *best == hash => {
                    if digests.len() == MAX_DIGESTS * length {
                        return Err(Wrong::TooMany(value));
                    }
                    digests.extend(digest);
                }
                _ => strongest = Some((hash, digest)),
            }
        }
        let (hash, digests) = strongest.ok_or(Wrong::NoKnownHash)?;
        Ok(Fingerprint { hash, digests: digests.into() })
    }

    /// Whether this is the certificate (DER) that was meant, or one of them.
    pub fn matches(&self, certificate: &[u8]) -> bool {
        let algorithm = HASHES[self.hash].1;
        let digest = digest::digest(algorithm, certificate);
        self.digests.chunks_exact(algorithm.output_len()).any(|expected| expected == digest.as_ref())
    }
}

/// Pairs of hexadecimal digits with colons between them.
fn decoded(digest: &str, length: usize) -> Option<Vec<u8>> {
    // Two digits for each byte, and a colon between two.
    if digest.len() != 3 * length - 1 || !digest.bytes().skip(2).step_by(3).all(|b| b == b':') {
        return None;
    }
    HEXLOWER_PERMISSIVE.decode(digest.replace(':', "").as_bytes()).ok().filter(|bytes| bytes.len() == length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(hash: usize, certificate: &[u8]) -> String {
        let digest = digest::digest(HASHES[hash].1, certificate);
        let digits: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        format!("{} {}", HASHES[hash].0, digits.join(":"))
    }

    fn read<'a>(values: &[&'a str]) -> Result<Fingerprint, Wrong<'a>> {
        Fingerprint::read(values.iter().copied())
    }

    #[test]
    fn a_certificate_is_checked_by_each_known_hash_function() {
        for hash in 0..HASHES.len() {
            let value = value(hash, b"certificate");
            for written in [value.clone(), value.to_lowercase(), value.to_uppercase(), value.replace(' ', "  ")] {
                let fingerprint = read(&[&written]).unwrap();
                assert!(fingerprint.matches(b"certificate") && !fingerprint.matches(b"another"), "{written}");
            }
        }
    }

    #[test]
    fn the_strongest_known_hash_function_counts_and_of_it_every_value() {
        let [weak, strong, other] = [value(0, b"a"), value(2, b"b"), value(2, b"c")];
        for order in [[&weak, &strong, &other], [&other, &weak, &strong], [&strong, &other, &weak]] {
            let fingerprint = read(&[order[0], "sha-1 00:11", "md5 x", order[1], order[2]]).unwrap();
            assert!(fingerprint.matches(b"b") && fingerprint.matches(b"c") && !fingerprint.matches(b"a"));
        }
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        assert_eq!(read(&[]), Err(Wrong::NoKnownHash));
        assert_eq!(read(&["sha-1 00:11", "md5 00", "", "sha-256x 00"]), Err(Wrong::NoKnownHash));
        let good = value(0, b"a");
        let glued = good.replace(':', "");
        for bad in ["sha-256", "sha-256 ", "sha-256 00:11", &glued, &good[..good.len() - 1], &good.replace('A', "G")] {
            let is_refused = read(&[&good, bad]) == Err(Wrong::NoDigest(bad));
            assert!(is_refused || !good.contains('A') && bad == good, "{bad}");
        }
        let many = vec![good.as_str(); MAX_DIGESTS + 1];
        assert!(read(&many[1..]).is_ok());
        assert_eq!(read(&many), Err(Wrong::TooMany(&good)));
    }
}
