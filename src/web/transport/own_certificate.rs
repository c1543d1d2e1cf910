//! The certificate that is made here: for the names of this host, signed by itself, kept in the state folder, and replaced in
//! time. Called at start-up, and by the `conn-<n>` thread that finds it due.
//!
//! One file holds the key and the certificate, so that no power failure can leave two that do not belong together. The clock
//! may be wrong, and may be set while the server runs: small computers start in 1970.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::pki_types::PrivateKeyDer;

use crate::access::token_clock::CLOCK_SET_SINCE_S;
use crate::os::state_dir::StateDir;
use crate::web::transport::certificate::Certificate;

/// In the state folder, for its owner only, as all of that folder: the key, then the certificate. Older versions wrote only the
/// key to it.
pub const KEY_FILE: &str = "tls-key.pem";
/// In the state folder: the certificate once more, for people who want to install it in a browser. It is read only if there is
/// none in the other file.
pub const CERT_FILE: &str = "tls-cert.pem";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// As long as browsers take from public authorities (CA/Browser Forum, Baseline Requirements §6.3.2).
const VALID_DAYS: u32 = 397;
/// Clocks of phones and laptops are sometimes wrong: one that is a day behind still accepts the certificate.
const BACKDATED_DAYS: u32 = 1;
/// A certificate with fewer days left is replaced.
const RENEWED_BEFORE_DAYS: u32 = 30;

/// The one in the state folder, if it is there, whole, and not due.
pub fn kept(state: &StateDir, today: SystemTime) -> Option<Certificate> {
    let found = stored(state).unwrap_or_else(|wrong| {
        log::warn!("the certificate in {} cannot be used ({wrong}): a new one is made", state.path().display());
        None
    })?;
    (!Renewal::of(&found, Instant::now(), today)?.is_due_by_clock(today)).then_some(found)
}

fn stored(state: &StateDir) -> Result<Option<Certificate>, String> {
    let read = |name: &str| state.read(name).map_err(|error| format!("{name}: {error}"));
    let Some(pair) = read(KEY_FILE)? else { return Ok(None) };
    let in_one_file = Certificate::parse(&pair, &pair);
    let certificate = match &in_one_file {
        Ok(_) => in_one_file,
        Err(wrong) => match read(CERT_FILE)? {
            // A certificate is in it, so its key has to fit.
            _ if has_certificate(&pair) => return Err(wrong.clone()),
            Some(cert) => {
                let certificate = Certificate::parse(&cert, &pair);
                if certificate.is_ok() {
                    store(state, &pair, &cert);
                }
                certificate
            }
            None => return Err(wrong.clone()),
        },
    }?;
    if certificate.validity().is_none() { Err("it says not when it is valid".into()) } else { Ok(Some(certificate)) }
}

fn has_certificate(pem: &[u8]) -> bool {
    pem.windows(BEGIN_CERTIFICATE.len()).any(|window| window == BEGIN_CERTIFICATE)
}

const BEGIN_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn store(state: &StateDir, key_pem: &[u8], cert_pem: &[u8]) {
    let pair = [key_pem.trim_ascii_end(), b"\n", cert_pem].concat();
    let written = state.write(KEY_FILE, &pair).and_then(|()| state.write(CERT_FILE, cert_pem));
    if let Err(error) = written {
        log::warn!("the certificate cannot be kept in {}: {error}", state.path().display());
    }
}

/// A fresh one for this host, kept if there is a folder to keep it in.
///
/// # Errors
/// The crypto library's error.
pub fn make(names: &[String], state: Option<&StateDir>, today: SystemTime) -> Result<Certificate, rcgen::Error> {
    // With a clock that is not set the earliest possible time is assumed: clients may have the right time.
    let today = today.max(clock_set_since());
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
        store(state, key.serialize_pem().as_bytes(), made.pem().as_bytes());
    }
    Ok(Certificate { chain: vec![made.der().clone()], key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) })
}

fn clock_set_since() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(CLOCK_SET_SINCE_S)
}

/// When a certificate is to be replaced, by the system's clock and, should that one be set back or stand in 1970, by the time
/// that has passed.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    valid_from: SystemTime,
    renew_at: SystemTime,
    latest: Instant,
}

impl Renewal {
    /// Of a certificate that is in use from now on; None if it says not when it is valid.
    pub fn of(certificate: &Certificate, now: Instant, today: SystemTime) -> Option<Renewal> {
        let (valid_from, ends) = certificate.validity()?;
        let renew_at = ends.checked_sub(DAY * RENEWED_BEFORE_DAYS)?;
        let left = renew_at.duration_since(today.max(clock_set_since())).unwrap_or_default();
        let latest = now + left.min(DAY * (VALID_DAYS - RENEWED_BEFORE_DAYS));
        Some(Renewal { valid_from, renew_at, latest })
    }

    /// By either clock.
    pub fn is_due(&self, now: Instant, today: SystemTime) -> bool {
        now >= self.latest || self.is_due_by_clock(today)
    }

    /// Too old, or not valid yet: then it was made while the clock was ahead. A clock that is not set tells nothing.
    fn is_due_by_clock(&self, today: SystemTime) -> bool {
        today >= clock_set_since() && !(self.valid_from..self.renew_at).contains(&today)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        (folder, state)
    }

    fn made(state: &StateDir, today: SystemTime) -> Certificate {
        make(&names_of_this_host(), Some(state), today).unwrap()
    }

    #[test]
    fn a_certificate_that_was_made_is_used_again_until_it_expires_soon() {
        let (_folder, state) = folder();
        let today = SystemTime::now();
        assert!(kept(&state, today).is_none());
        let made = made(&state, today);
        let again = kept(&state, today).unwrap();
        assert_eq!((made.fingerprint(), &made.key), (again.fingerprint(), &again.key));
        assert!(kept(&state, today + DAY * (VALID_DAYS - RENEWED_BEFORE_DAYS - 2)).is_some());
        assert!(kept(&state, today + DAY * (VALID_DAYS - RENEWED_BEFORE_DAYS)).is_none());
        assert!(kept(&state, today - DAY * 2).is_none(), "it was made while the clock was ahead");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(state.file(KEY_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn the_two_files_of_an_older_version_are_taken_over_if_they_belong_together() {
        let (_folder, state) = folder();
        let (today, old, other) = (SystemTime::now(), pair(), pair());
        let write = |(cert, key): (&str, &str)| {
            state.write(CERT_FILE, cert.as_bytes()).unwrap();
            state.write(KEY_FILE, key.as_bytes()).unwrap();
        };
        write((&old.0, &old.1));
        let first = kept(&state, today).unwrap().fingerprint();
        std::fs::remove_file(state.file(CERT_FILE)).unwrap();
        assert_eq!(kept(&state, today).unwrap().fingerprint(), first, "now they are in one file");
        write((&old.0, &other.1));
        assert!(kept(&state, today).is_none(), "a renewal by an older version was cut short");
    }

    /// A certificate and its key, as an older version wrote them.
    fn pair() -> (String, String) {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = (SystemTime::now() + DAY * 300).into();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_renewal_that_is_cut_short_leaves_a_whole_pair() {
        let (_folder, state) = folder();
        let today = SystemTime::now();
        let first = made(&state, today).fingerprint();
        let (one, copy) = (state.read(KEY_FILE).unwrap().unwrap(), state.read(CERT_FILE).unwrap().unwrap());
        let second = made(&state, today).fingerprint();
        // Cut between the two writes.
        state.write(CERT_FILE, &copy).unwrap();
        assert_eq!(kept(&state, today).unwrap().fingerprint(), second);
        state.write(KEY_FILE, &one).unwrap();
        assert_eq!(kept(&state, today).unwrap().fingerprint(), first);
    }

    #[test]
    fn a_broken_certificate_in_the_state_folder_is_not_used() {
        let (_folder, state) = folder();
        let today = SystemTime::now();
        made(&state, today);
        let whole = state.read(KEY_FILE).unwrap().unwrap();
        let cut = whole.len() - 40;
        for broken in [b"-----BEGIN PRIVATE KEY-----\nAAAA\n", &b""[..], &whole[..cut], &whole[100..]] {
            state.write(KEY_FILE, broken).unwrap();
            assert!(kept(&state, today).is_none(), "{}", broken.escape_ascii());
        }
    }

    #[test]
    fn with_a_clock_in_1970_a_certificate_is_made_that_clients_accept_and_that_is_replaced_later() {
        let (_folder, state) = folder();
        let (now, unset) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(20));
        let certificate = made(&state, unset);
        let (from, ends) = certificate.validity().unwrap();
        assert!(from < clock_set_since() && ends > clock_set_since() + DAY * 300);
        assert_eq!(kept(&state, unset).unwrap().fingerprint(), certificate.fingerprint());
        let renewal = Renewal::of(&certificate, now, unset).unwrap();
        assert!(!renewal.is_due(now, unset));
        assert!(!renewal.is_due(now, clock_set_since() + DAY * 200), "the network has told the time");
        assert!(renewal.is_due(now, clock_set_since() + DAY * 400));
        assert!(renewal.is_due(now + DAY * VALID_DAYS, unset), "it is never told");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_put_off_a_renewal() {
        let (_folder, state) = folder();
        let (now, today) = (Instant::now(), clock_set_since() + DAY * 1_000);
        let certificate = made(&state, today);
        let renewal = Renewal::of(&certificate, now, today).unwrap();
        let due = DAY * (VALID_DAYS - RENEWED_BEFORE_DAYS);
        assert!(!renewal.is_due(now + due - DAY * 2, today) && renewal.is_due(now + due, today));
    }

    #[test]
    fn this_host_has_each_name_once() {
        let names = names_of_this_host();
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(names.iter().filter(|it| *it == name).count(), 1, "{names:?}");
        }
        assert!(names.iter().any(|name| name.ends_with(".local")), "{names:?}");
    }
}
