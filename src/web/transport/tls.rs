//! The public port's TLS settings: versions, tickets, and the present certificate. Asked by the `conn-<n>` thread of
//! each TLS connection, which also checks, once a second at most, whether the certificate is to be replaced: nothing
//! watches or polls. Connections keep the certificate they began with. It touches no socket; see `socket`.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets};

use crate::net::token_bucket::{Rate, TokenBucket};
use crate::os::secret_file::FileStamp;
use crate::os::state_dir::StateDir;
use crate::web::transport::certificate::Certificate;
use crate::web::transport::own_certificate::{self, Renewal, names_of_this_host};

/// The only protocol spoken here (RFC 7301 §6).
const ALPN: &[u8] = b"http/1.1";
/// How often files and clock are checked, if there are new connections.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How often a certificate is made: a few at once, for a clock that is being set, then one an hour. Browsers warn anew of each.
const RENEWALS: Rate = Rate { per_s: 1.0 / 3_600.0, burst: 4.0 };

/// How the public port speaks TLS.
pub struct Tls {
    /// Locked for a moment only. (Behind `arc_swap`, each new thread of a connection would search a list of all threads.)
    present: RwLock<Arc<Present>>,
    source: Source,
    provider: Arc<CryptoProvider>,
    ticketer: Arc<dyn ProducesTickets>,
    /// Held by the thread that checks; no other waits for it.
    last_check: Mutex<LastCheck>,
}

/// The present certificate.
struct Present {
    config: Arc<ServerConfig>,
    fingerprint: String,
    /// Of one that was made here.
    renewal: Option<Renewal>,
    /// The names of hosts that it is for.
    names: Vec<String>,
}

/// Where certificates come from.
enum Source {
    Files {
        cert: PathBuf,
        key: PathBuf,
    },
    /// Made here; None if there is no state folder.
    SelfSigned(Option<StateDir>),
}

struct LastCheck {
    at: Instant,
    stamps: [FileStamp; 2],
    renewals: TokenBucket,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.fingerprint())
    }
}

impl Tls {
    /// With the certificate in these files, which is read again when they change.
    ///
    /// # Errors
    /// What is wrong with which file, to be read by a person.
    pub fn from_files(cert: PathBuf, key: PathBuf) -> Result<Tls, String> {
        let stamps = [FileStamp::of(&cert), FileStamp::of(&key)];
        let certificate = Certificate::read(&cert, &key)?;
        Tls::new(certificate, Source::Files { cert, key }, stamps)
    }

    /// With a self-signed certificate: the one in the state folder, or a new one.
    ///
    /// # Errors
    /// The crypto library's error.
    pub fn self_signed(state: Option<StateDir>) -> Result<Tls, String> {
        let certificate = own_certificate(state.as_ref(), SystemTime::now(), None)?;
        if state.is_none() {
            log::warn!("there is no state folder, so browsers will see another certificate after the next start");
        }
        Tls::new(certificate, Source::SelfSigned(state), Default::default())
    }

    fn new(certificate: Certificate, source: Source, stamps: [FileStamp; 2]) -> Result<Tls, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let ticketer = aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
        let (now, today) = (Instant::now(), SystemTime::now());
        let present = present(certificate, &source, &provider, &ticketer, now, today)?;
        let last_check = Mutex::new(LastCheck { at: now, stamps, renewals: TokenBucket::full(RENEWALS, now) });
        Ok(Tls { present: RwLock::new(Arc::new(present)), source, provider, ticketer, last_check })
    }

    /// What a new connection uses.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.check(Instant::now(), SystemTime::now());
        Arc::clone(&self.present().config)
    }

    fn present(&self) -> Arc<Present> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// SHA-256 of the certificate, as browsers show it.
    pub fn fingerprint(&self) -> String {
        self.present().fingerprint.clone()
    }

    /// Whether browsers will warn of the certificate, because no authority has signed it.
    pub fn is_self_signed(&self) -> bool {
        matches!(self.source, Source::SelfSigned(_))
    }

    /// Whether the certificate is for a host of this name, which is in lower case and has no dot at its end.
    pub fn is_for(&self, name: &str) -> bool {
        self.present().names.iter().any(|pattern| match pattern.strip_prefix("*.") {
            // RFC 9525 §6.3: the star is for exactly one label.
            Some(domain) => name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
            None => pattern == name,
        })
    }

    /// Replaces the certificate if it is time. A thread that comes while another checks goes on with the present one.
    fn check(&self, now: Instant, today: SystemTime) {
        let Ok(mut last_check) = self.last_check.try_lock() else { return };
        if now.saturating_duration_since(last_check.at) < CHECK_EVERY {
            return;
        }
        last_check.at = now;
        let found = match &self.source {
            Source::Files { cert, key } => {
                let stamps = [FileStamp::of(cert), FileStamp::of(key)];
                // Remembered whatever the result, so that a bad file is logged once.
                (std::mem::replace(&mut last_check.stamps, stamps) != stamps).then(|| Certificate::read(cert, key))
            }
            Source::SelfSigned(state) => {
                let present = self.present();
                let is_due = present.renewal.is_none_or(|renewal| renewal.is_due(now, today));
                (is_due && last_check.renewals.take(RENEWALS, now).is_ok())
                    .then(|| own_certificate(state.as_ref(), today, Some(&present.fingerprint)))
            }
        };
        let Some(found) = found else { return };
        let configured = |it| present(it, &self.source, &self.provider, &self.ticketer, now, today);
        match found.and_then(configured) {
            Ok(present) => {
                // Not if only the permissions of a file have changed.
                if present.fingerprint != self.fingerprint() {
                    log::info!("certificate: replaced, SHA-256 {}", present.fingerprint);
                }
                *self.present.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(present);
            }
            Err(wrong) => log::warn!("certificate: not replaced: {wrong}"),
        }
    }
}

/// The one that is kept, or a new one; not the one that is due, whose fingerprint is `due`.
fn own_certificate(state: Option<&StateDir>, today: SystemTime, due: Option<&str>) -> Result<Certificate, String> {
    let kept = state.and_then(|state| own_certificate::kept(state, today));
    match kept.filter(|kept| due.is_none_or(|due| kept.fingerprint() != due)) {
        Some(kept) => Ok(kept),
        None => own_certificate::make(&names_of_this_host(), state, today)
            .map_err(|error| format!("no certificate could be made: {error}")),
    }
}

fn present(
    certificate: Certificate,
    source: &Source,
    provider: &Arc<CryptoProvider>,
    ticketer: &Arc<dyn ProducesTickets>,
    now: Instant,
    today: SystemTime,
) -> Result<Present, String> {
    let fingerprint = certificate.fingerprint();
    let is_own = matches!(source, Source::SelfSigned(_));
    let renewal = is_own.then(|| Renewal::of(&certificate, now, today)).flatten();
    let names = certificate.host_names();
    match certificate.validity() {
        Some((_, ends)) if ends < today => log::warn!("certificate: expired; browsers will refuse it"),
        Some((from, _)) if from > today && !is_own => {
            log::warn!("certificate: not valid yet, or this computer's clock is wrong; browsers may refuse it");
        }
        _ => {}
    }
    let unusable = |error: rustls::Error| match (&error, source) {
        (rustls::Error::InconsistentKeys(_), Source::Files { cert, key }) => {
            format!("--tls-key {} is not the key of --tls-cert {}", key.display(), cert.display())
        }
        (_, Source::Files { cert, key }) => {
            format!("--tls-cert {} and --tls-key {} cannot be used: {error}", cert.display(), key.display())
        }
        (_, Source::SelfSigned(_)) => format!("the certificate that was made cannot be used: {error}"),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(certificate.chain, certificate.key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // The same keys for all configurations: a new certificate does not end sessions that may be resumed.
    config.ticketer = Arc::clone(ticketer);
    // Clients keep their tickets, so no sessions are kept here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Present { config: Arc::new(config), fingerprint, renewal, names })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn write_pair(folder: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (cert, key)
    }

    #[test]
    fn files_that_change_are_read_again_once_a_second_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = write_pair(folder.path());
        let tls = Tls::from_files(cert, key).unwrap();
        let (begun, first) = (Instant::now(), tls.fingerprint());
        write_pair(folder.path());
        tls.check(begun + CHECK_EVERY / 2, SystemTime::now());
        assert_eq!(tls.fingerprint(), first);
        tls.check(begun + CHECK_EVERY * 2, SystemTime::now());
        assert_ne!(tls.fingerprint(), first);
    }

    #[test]
    fn a_bad_file_leaves_the_old_certificate_in_use_until_a_good_one_comes() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = write_pair(folder.path());
        let tls = Tls::from_files(cert.clone(), key).unwrap();
        let (begun, first) = (Instant::now(), tls.fingerprint());
        fs::write(&cert, "nonsense").unwrap();
        tls.check(begun + CHECK_EVERY * 2, SystemTime::now());
        assert_eq!(tls.fingerprint(), first);
        fs::remove_file(&cert).unwrap();
        tls.check(begun + CHECK_EVERY * 4, SystemTime::now());
        assert_eq!(tls.fingerprint(), first);
        write_pair(folder.path());
        tls.check(begun + CHECK_EVERY * 6, SystemTime::now());
        assert_ne!(tls.fingerprint(), first);
    }

    #[test]
    fn a_certificate_is_for_its_names_and_for_one_label_in_place_of_a_star() {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["Meet.example.net", "*.home.example", "192.0.2.1"].map(str::to_owned);
        let cert = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let (cert_path, key_path) = (folder.path().join("c"), folder.path().join("k"));
        std::fs::write(&cert_path, cert.pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        let tls = Tls::from_files(cert_path, key_path).unwrap();
        for name in ["meet.example.net", "a.home.example"] {
            assert!(tls.is_for(name), "{name}");
        }
        for name in ["example.net", "a.meet.example.net", "home.example", ".home.example", "a.b.home.example", ""] {
            assert!(!tls.is_for(name), "{name}");
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_with_both_file_names() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ((cert, _), (_, key)) = (write_pair(one.path()), write_pair(other.path()));
        let wrong = Tls::from_files(cert, key).unwrap_err();
        assert!(wrong.contains("is not the key of"), "{wrong}");
    }

    #[test]
    fn a_self_signed_certificate_is_kept_and_renewed_while_the_server_runs() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let tls = Tls::self_signed(Some(state.clone())).unwrap();
        let first = tls.fingerprint();
        assert_eq!(Tls::self_signed(Some(state.clone())).unwrap().fingerprint(), first);
        let (later, today) = (Instant::now() + CHECK_EVERY * 2, SystemTime::now());
        let days = |n: u64| Duration::from_secs(n * 86_400);
        tls.check(later, today + days(300));
        assert_eq!(tls.fingerprint(), first);
        tls.check(later + CHECK_EVERY * 2, today + days(380));
        assert_ne!(tls.fingerprint(), first);
        assert_eq!(own_certificate::kept(&state, today + days(380)).unwrap().fingerprint(), tls.fingerprint());
    }

    #[test]
    fn a_certificate_of_a_wrong_clock_is_replaced_when_the_clock_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let (begun, today) = (Instant::now(), SystemTime::now());
        let ahead = today + Duration::from_secs(30 * 365 * 86_400);
        own_certificate::make(&names_of_this_host(), Some(&state), ahead).unwrap();
        let tls = Tls::self_signed(Some(state.clone())).unwrap();
        let first = tls.fingerprint();
        let valid = own_certificate::kept(&state, today).expect("it was replaced at the start");
        assert_eq!(valid.fingerprint(), first);
        // A clock that jumps to and fro makes a few certificates and not one a second.
        let mut seen = std::collections::HashSet::from([first]);
        for n in 1..100 {
            tls.check(begun + CHECK_EVERY * 2 * n, if n % 2 == 0 { today } else { ahead });
            seen.insert(tls.fingerprint());
        }
        assert!((2..=6).contains(&seen.len()), "{}", seen.len());
        // The hourly one comes, and is right.
        tls.check(begun + Duration::from_secs(7_200), today);
        assert_eq!(own_certificate::kept(&state, today).unwrap().fingerprint(), tls.fingerprint());
    }

    #[test]
    fn a_renewal_by_the_time_that_has_passed_does_not_take_the_old_one_again() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let tls = Tls::self_signed(Some(state)).unwrap();
        let (year, today) = (Duration::from_secs(380 * 86_400), SystemTime::now());
        let first = tls.fingerprint();
        tls.check(Instant::now() + year, today);
        let second = tls.fingerprint();
        assert_ne!(second, first);
        tls.check(Instant::now() + year + CHECK_EVERY * 2, today);
        assert_eq!(tls.fingerprint(), second);
    }
}
