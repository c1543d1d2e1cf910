//! What the DTLS library calls for handshakes that this side serves: its own crypto, which also checks signatures of RSA and
//! hashes the handshake as the client knows it (see `rsa_handshake`).

use aws_lc_rs::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use dimpl::crypto::aws_lc_rs::default_provider;
use dimpl::crypto::{
    Buf, CryptoProvider, HashAlgorithm, HashContext, HashProvider, SignatureAlgorithm, SignatureVerifier,
};
use dimpl::{CryptoError, CryptoOperation};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;

use super::rsa_handshake::as_client_knows;

/// RFC 8017 §A.1.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The library's crypto with RSA.
pub fn provider() -> CryptoProvider {
    CryptoProvider { signature_verification: &WithRsa, hash_provider: &WithRsa, ..default_provider() }
}

#[derive(Debug)]
struct WithRsa;

impl SignatureVerifier for WithRsa {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        let data = as_client_knows(data);
        if algorithm != SignatureAlgorithm::RSA {
            let ecdsa = default_provider().signature_verification;
            return ecdsa.verify_signature(certificate, &data, signature, hash, algorithm);
        }
        // The one hash function that was asked for.
        if hash != HashAlgorithm::SHA256 {
            return Err(CryptoError::UnsupportedSignatureAlgorithm(algorithm));
        }
        let certificate = Certificate::from_der(certificate).map_err(|_| CryptoError::CertificateParseFailed)?;
        let key = certificate.tbs_certificate().subject_public_key_info();
        if key.algorithm.oid != RSA_ENCRYPTION {
            return Err(CryptoError::UnsupportedPublicKeyAlgorithm);
        }
        let key = key.subject_public_key.as_bytes().ok_or(CryptoError::InvalidSubjectPublicKey)?;
        // A short key is its owner's risk: the fingerprint of SDP says whose certificate it is, no authority does.
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, key)
            .verify(&data, signature)
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::VerifySignature))
    }
}

impl HashProvider for WithRsa {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(Transcript(default_provider().hash_provider.create_hash(algorithm)))
    }
}

/// The library hands over the whole record of a handshake at once.
#[derive(Debug)]
struct Transcript(Box<dyn HashContext>);

impl HashContext for Transcript {
    fn update(&mut self, data: &[u8]) {
        self.0.update(&as_client_knows(data));
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RsaEncoding, RsaKeyPair};

    use super::*;

    /// A certificate, and its key.
    fn rsa() -> (Vec<u8>, RsaKeyPair) {
        let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        (certificate.der().to_vec(), RsaKeyPair::from_pkcs8(key.serialized_der()).unwrap())
    }

    fn sign(key: &RsaKeyPair, encoding: &'static dyn RsaEncoding) -> Vec<u8> {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(encoding, &SystemRandom::new(), b"data", &mut signature).unwrap();
        signature
    }

    #[test]
    fn only_a_signature_by_the_certificates_own_key_counts() {
        let ((certificate, key), (other, _)) = (rsa(), rsa());
        let signature = sign(&key, &RSA_PKCS1_SHA256);
        let check = |certificate: &[u8], data: &[u8], signature: &[u8], hash, algorithm| {
            WithRsa.verify_signature(certificate, data, signature, hash, algorithm).is_ok()
        };
        let (sha_256, rsa) = (HashAlgorithm::SHA256, SignatureAlgorithm::RSA);
        assert!(check(&certificate, b"data", &signature, sha_256, rsa));
        assert!(!check(&other, b"data", &signature, sha_256, rsa));
        assert!(!check(&certificate, b"dato", &signature, sha_256, rsa));
        assert!(!check(&certificate, b"data", &signature[1..], sha_256, rsa));
        assert!(!check(&certificate, b"data", &[], sha_256, rsa));
        assert!(!check(&certificate, b"data", &sign(&key, &RSA_PKCS1_SHA384), HashAlgorithm::SHA384, rsa));
        assert!(!check(&certificate, b"data", &signature, sha_256, SignatureAlgorithm::ECDSA));
        let ecdsa = rcgen::generate_simple_self_signed(vec![]).unwrap().cert;
        for broken in [ecdsa.der().as_ref(), &certificate[..certificate.len() - 1], &certificate[9..], b""] {
            assert!(!check(broken, b"data", &signature, sha_256, rsa));
        }
    }
}
