//! A certificate and its private key: how they are read from PEM, whether they belong together, and what browsers will see of
//! them. Called at start-up, and by the `conn-<n>` thread that finds the files changed. It fetches nothing from anywhere and
//! verifies no chain: browsers do.

use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::digest;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::os::secret_file::{self, Links};

/// A chain, leaf first, and the leaf's key.
#[derive(Debug)]
pub struct Certificate {
    /// Not empty.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Certificate {
    fn clone(&self) -> Self {
        Certificate { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Certificate {
    /// From the two files that the command line names.
    ///
    /// # Errors
    /// What is wrong with which of them, to be read by a person; without a full stop.
    pub fn read(cert: &Path, key: &Path) -> Result<Certificate, String> {
        let bytes = |flag, path: &Path| match secret_file::read(path, Links::Follow) {
            Ok(Some((bytes, _))) => Ok(bytes),
            Ok(None) => Err(format!("{flag} {}: there is no such file", path.display())),
            Err(error) => Err(format!("{flag} {}: {error}", path.display())),
        };
        let (cert_pem, key_pem) = (bytes("--tls-cert", cert)?, bytes("--tls-key", key)?);
        Ok(Certificate {
            chain: chain(&cert_pem).map_err(|wrong| format!("--tls-cert {}: {wrong}", cert.display()))?,
            key: private_key(&key_pem).map_err(|wrong| format!("--tls-key {}: {wrong}", key.display()))?,
        })
    }

    /// From PEM texts, which may be one and the same.
    ///
    /// # Errors
    /// What is wrong with them, to be read by a person; without a full stop.
    pub fn parse(cert_pem: &[u8], key_pem: &[u8]) -> Result<Certificate, String> {
        let certificate = Certificate { chain: chain(cert_pem)?, key: private_key(key_pem)? };
        match CertifiedKey::from_der(certificate.chain.clone(), certificate.key.clone_key(), &default_provider()) {
            Ok(_) => Ok(certificate),
            Err(rustls::Error::InconsistentKeys(_)) => Err("the key is not the certificate's".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// SHA-256 of the leaf, as browsers show it.
    pub fn fingerprint(&self) -> String {
        let leaf = self.chain.first().map(AsRef::as_ref).unwrap_or_default();
        let digest = digest::digest(&digest::SHA256, leaf);
        let bytes: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(":")
    }

    /// When the leaf begins to be valid, and when it expires; None if it cannot be read.
    pub fn validity(&self) -> Option<(SystemTime, SystemTime)> {
        let leaf = x509_cert::Certificate::from_der(self.chain.first()?).ok()?;
        let validity = leaf.tbs_certificate().validity();
        Some((validity.not_before.to_system_time(), validity.not_after.to_system_time()))
    }

    /// The names of hosts in the leaf, in lower case; the first label may be `*` (RFC 9525 §6.3).
    pub fn host_names(&self) -> Vec<String> {
        let leaf = self.chain.first().and_then(|leaf| x509_cert::Certificate::from_der(leaf).ok());
        let found = leaf.as_ref().map(|leaf| leaf.tbs_certificate().get_extension::<SubjectAltName>());
        let Some(Ok(Some((_, SubjectAltName(names))))) = found else { return vec![] };
        let name = |name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
            _ => None,
        };
        names.into_iter().filter_map(name).collect()
    }
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("no certificate in PEM is in it".to_owned()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unreadable(&error)),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => "no unencrypted private key in PEM is in it".to_owned(),
        error => unreadable(&error),
    })
}

/// Not the crate's own message: it may quote a line of the file.
fn unreadable(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it ends in the middle".to_owned(),
        _ => "it is not PEM".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_file_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
        let wrong = |cert_pem: &str, key_pem: &str| {
            std::fs::write(&cert, cert_pem).unwrap();
            std::fs::write(&key, key_pem).unwrap();
            Certificate::read(&cert, &key).unwrap_err()
        };
        let good = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let (cert_pem, key_pem) = (good.cert.pem(), good.signing_key.serialize_pem());
        assert!(wrong("", &key_pem).contains("no certificate"));
        assert!(wrong(&key_pem, &key_pem).contains("--tls-cert"));
        assert!(wrong(&cert_pem, "").contains("no unencrypted private key"));
        assert!(wrong(&cert_pem[..60], &key_pem).contains("ends in the middle"));
        assert!(wrong(&cert_pem, &key_pem.replace("--\n", "--\n!")).contains("--tls-key"));
        assert!(Certificate::read(&folder.path().join("x"), &key).unwrap_err().contains("no such file"));
    }
}
