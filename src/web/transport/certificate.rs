//! A certificate and its private key: read from files, or made here and kept in the state folder. Called at start-up,
//! and by the `conn-<n>` thread that finds the files changed. It fetches nothing from anywhere and verifies no chain:
//! browsers do.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::os::state_dir::{self, StateDir};

/// In the state folder.
pub const CERT_FILE: &str = "tls-cert.pem";
/// In the state folder, for its owner only, as all of that folder.
pub const KEY_FILE: &str = "tls-key.pem";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// As long as browsers take from public authorities (CA/Browser Forum, Baseline Requirements §6.3.2).
const VALID_DAYS: u32 = 397;
/// Clocks of phones and laptops are sometimes wrong: one that is a day behind still accepts the certificate.
const BACKDATED_DAYS: u32 = 1;
/// A self-signed certificate with fewer days left is replaced.
const RENEWED_BEFORE_DAYS: u32 = 30;

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
        let bytes = |flag, path: &Path| match state_dir::read(path) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(format!("{flag} {}: there is no such file", path.display())),
            Err(error) => Err(format!("{flag} {}: {error}", path.display())),
        };
        let (cert_pem, key_pem) = (bytes("--tls-cert", cert)?, bytes("--tls-key", key)?);
        Ok(Certificate {
            chain: chain(&cert_pem).map_err(|wrong| format!("--tls-cert {}: {wrong}", cert.display()))?,
            key: private_key(&key_pem).map_err(|wrong| format!("--tls-key {}: {wrong}", key.display()))?,
        })
    }

    /// The one in the state folder, if it is there and does not expire soon.
    pub fn kept(state: &StateDir, today: SystemTime) -> Option<Certificate> {
        let read = |name| state.read(name).map_err(|error| error.to_string());
        let found = || -> Result<Option<Certificate>, String> {
            let (Some(cert), Some(key)) = (read(CERT_FILE)?, read(KEY_FILE)?) else { return Ok(None) };
            Ok(Some(Certificate { chain: chain(&cert)?, key: private_key(&key)? }))
        };
        let found = found().unwrap_or_else(|wrong| {
            log::warn!("the certificate in {} cannot be used ({wrong}): a new one is made", state.path().display());
            None
        });
        found.filter(|certificate| certificate.renew_at().is_some_and(|at| today < at))
    }

    /// A fresh one for this host, kept if there is a folder to keep it in.
    ///
    /// # Errors
    /// The crypto library's error.
    pub fn make(names: &[String], state: Option<&StateDir>, today: SystemTime) -> Result<Certificate, rcgen::Error> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names)?;
        params.not_before = (today - DAY * BACKDATED_DAYS).into();
        params.not_after = (today + DAY * (VALID_DAYS - BACKDATED_DAYS)).into();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "roomtone on this host");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let made = params.self_signed(&key)?;
        if let Some(state) = state {
            // The key first: a certificate without its key would be taken for a broken one.
            let written = state
                .write(KEY_FILE, key.serialize_pem().as_bytes())
                .and_then(|()| state.write(CERT_FILE, made.pem().as_bytes()));
            if let Err(error) = written {
                log::warn!("the certificate cannot be kept in {}: {error}", state.path().display());
            }
        }
        Ok(Certificate { chain: vec![made.der().clone()], key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) })
    }

    /// SHA-256 of the leaf, as browsers show it.
    pub fn fingerprint(&self) -> String {
        let leaf = self.chain.first().map(AsRef::as_ref).unwrap_or_default();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf);
        let bytes: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(":")
    }

    /// When the leaf expires; None if it cannot be read.
    pub fn ends(&self) -> Option<SystemTime> {
        let leaf = x509_cert::Certificate::from_der(self.chain.first()?).ok()?;
        Some(leaf.tbs_certificate().validity().not_after.to_system_time())
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

    /// When a self-signed one is to be replaced.
    pub fn renew_at(&self) -> Option<SystemTime> {
        Some(self.ends()? - DAY * RENEWED_BEFORE_DAYS)
    }
}

/// Names and addresses by which clients nearby may reach this host.
pub fn names_of_this_host() -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    let host = gethostname::gethostname().to_string_lossy().to_ascii_lowercase();
    let label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if host.split('.').all(label) {
        // Multicast DNS (RFC 6762 §3) names hosts by their first label.
        let first = host.split('.').next().unwrap_or_default();
        names.extend([host.clone(), format!("{first}.local")]);
    }
    names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    // A link-local address of IPv6 needs a zone, which no certificate can carry.
    let scoped = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    names.extend(interfaces.iter().map(|it| it.ip()).filter(|ip| !scoped(ip)).map(|ip| ip.to_string()));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
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
    fn a_certificate_that_was_made_is_used_again_until_it_expires_soon() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let today = SystemTime::now();
        assert!(Certificate::kept(&state, today).is_none());
        let made = Certificate::make(&names_of_this_host(), Some(&state), today).unwrap();
        let kept = Certificate::kept(&state, today).unwrap();
        assert_eq!((made.fingerprint(), &made.key), (kept.fingerprint(), &kept.key));
        assert!(Certificate::kept(&state, today + DAY * (VALID_DAYS - RENEWED_BEFORE_DAYS - 2)).is_some());
        assert!(Certificate::kept(&state, today + DAY * (VALID_DAYS - RENEWED_BEFORE_DAYS)).is_none());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(state.file(KEY_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_broken_certificate_in_the_state_folder_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        Certificate::make(&names_of_this_host(), Some(&state), SystemTime::now()).unwrap();
        state.write(KEY_FILE, b"-----BEGIN PRIVATE KEY-----\nAAAA\n").unwrap();
        assert!(Certificate::kept(&state, SystemTime::now()).is_none());
    }

    #[test]
    fn this_host_has_each_name_once() {
        let names = names_of_this_host();
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(names.iter().filter(|it| *it == name).count(), 1, "{names:?}");
        }
        assert!(names.iter().any(|name| name.ends_with(".local")), "{names:?}");
    }

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
