//! The engine's crypto provider: str0m's own for aws-lc-rs, with changes.
//!
//! 1. One DTLS configuration for all sessions. The wrapped provider builds one for each session, with a self-test of every
//!    cipher and curve, which costs more than the handshake.
//! 2. A forged datagram does not end a session: what DTLS cannot authenticate or read is dropped (RFC 6347 §4.1.2.7),
//!    alerts in clear included, and certificates that are not the client's. The engine learns of a certificate once the
//!    handshake has proved it.
//! 3. Clients may have RSA certificates, if they begin the handshake, as nearly all do.
//! 4. Data channels are not negotiated here, so application data is dropped before the engine opens an association for it.
//! 5. Packets can be sealed beside the engine: [`SessionKeys`] hands out a session's SRTP keys, and [`with_sent`] puts the
//!    counts of such packets into the engine's sender reports.
//!
//! Runs on whatever thread drives a session. Decides nothing about packets, addresses or time.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use dimpl::{CertificateError, Dtls, DtlsCertificate, Error, Output, SecurityError};
use str0m::crypto::dtls::{DtlsCert, DtlsInstance, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, CryptoError, CryptoProvider, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80, from_feature_flags,
};

use crate::rtc::srtp::fingerprint::Fingerprint;
use crate::rtc::srtp::keys::{Key, Keys, SALT_BYTES};
use crate::rtc::srtp::{records, rsa_crypto, rsa_handshake};

/// Bytes GCM appends (RFC 7714 §12).
const TAG_BYTES: usize = 16;

/// RTCP packet type of a sender report (RFC 3550 §6.4.1).
const SENDER_REPORT: u8 = 200;
/// Where the authenticated first eight bytes of an SRTCP packet carry the sender's SSRC (RFC 7714 §9.2).
const SENDER_SSRC: std::ops::Range<usize> = 4..8;
/// Where RTP time, packet count and octet count lie behind those eight bytes (RFC 3550 §6.4.1).
const RTP_TIME_AND_COUNTS: std::ops::Range<usize> = 8..20;

/// The provider for every session of this process.
pub fn provider() -> Arc<CryptoProvider> {
    // The engine asks for providers with a static lifetime.
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| {
            Arc::new(CryptoProvider { dtls_provider: &Wrapped, srtp_provider: &Wrapped, ..from_feature_flags() })
        })
        .clone()
}

thread_local! {
    /// Left by the engine's construction for [`take_session_keys`]: the engine has no way to say whose instance it makes.
    static LATEST_INSTANCE: RefCell<Option<Arc<SessionKeys>>> = const { RefCell::new(None) };
    /// See [`with_sent`].
    static SENT: Cell<Option<Sent>> = const { Cell::new(None) };
}

/// Where the keys of the session that this thread built last will be found.
pub fn take_session_keys() -> Option<Arc<SessionKeys>> {
    LATEST_INSTANCE.with(RefCell::take)
}

/// A session's own SRTP keys, from the moment that DTLS is up, and the certificate that its client must have.
#[derive(Default)]
pub struct SessionKeys {
    keys: OnceLock<Keys>,
    certificate: OnceLock<Fingerprint>,
}

impl SessionKeys {
    /// The keys with which this host protects what it sends; None before DTLS is up, and for profiles other than GCM
    /// (RFC 7714).
    pub fn get(&self) -> Option<&Keys> {
        self.keys.get()
    }

    /// The client must have this certificate, or one of these. If this is not called, the engine checks it by itself. The first
    /// call counts.
    pub fn expect_certificate(&self, expected: Fingerprint) {
        let _ = self.certificate.set(expected);
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys")
    }
}

/// What a sender report says of one stream (RFC 3550 §6.4.1) whose packets do not pass through the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which stream.
    pub ssrc: u32,
    /// RTP time of this moment.
    pub rtp_time: u32,
    /// Packets sent, modulo 2³².
    pub packets: u32,
    /// Payload bytes sent, modulo 2³².
    pub octets: u32,
}

/// Drives a session's engine. Sender reports of that stream that leave the engine meanwhile carry these figures instead of
/// the engine's own. `None` leaves them as they are.
pub fn with_sent<T>(sent: Option<Sent>, drive: impl FnOnce() -> T) -> T {
    SENT.set(sent);
    let result = drive();
    SENT.set(None);
    result
}

/// Corrects a sender report on its way into the cipher. `header` is its first eight bytes, `body` what follows.
fn correct_sender_report(header: &[u8], body: &mut [u8]) {
    let Some(sent) = SENT.get().filter(|_| header.get(1) == Some(&SENDER_REPORT)) else { return };
    if header.get(SENDER_SSRC) != Some(&sent.ssrc.to_be_bytes()) {
        return;
    }
    if let Some(place) = body.get_mut(RTP_TIME_AND_COUNTS) {
        for (bytes, value) in place.chunks_exact_mut(4).zip([sent.rtp_time, sent.packets, sent.octets]) {
            bytes.copy_from_slice(&value.to_be_bytes());
        }
    }
}

#[derive(Debug)]
struct Wrapped;

impl DtlsProvider for Wrapped {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        // Every browser speaks DTLS 1.2 in WebRTC, and it is the engine's default.
        let certificate = DtlsCertificate {
            certificate: certificate.certificate.clone(),
            private_key: certificate.private_key.clone(),
        };
        let dtls = Dtls::new_12(shared_config(Role::Server, mtu)?, certificate.clone(), now);
        let client = (shared_config(Role::Client, mtu)?, certificate);
        let keys = Arc::<SessionKeys>::default();
        LATEST_INSTANCE.with(|latest| latest.replace(Some(keys.clone())));
        let (changed, certificate) = (vec![], vec![]);
        Ok(Box::new(Instance { dtls, client: Some(client), keys, certificate, changed, due: Due::Nothing, now }))
    }
}

/// Who begins the handshake.
#[derive(Clone, Copy)]
enum Role {
    Client,
    Server,
}

/// The one configuration of a role. Every session of this process asks for the same datagram size.
fn shared_config(role: Role, mtu: Option<usize>) -> Result<Arc<dimpl::Config>, CryptoError> {
    static CONFIGS: [OnceLock<Arc<dimpl::Config>>; 2] = [const { OnceLock::new() }; 2];
    let shared = &CONFIGS[role as usize];
    if let Some(config) = shared.get() {
        return Ok(config.clone());
    }
    // ICE has checked the client's address; a cookie would only cost a round trip.
    let builder = dimpl::Config::builder().use_server_cookie(false);
    let builder = mtu.into_iter().fold(builder, dimpl::ConfigBuilder::mtu);
    let builder = match role {
        Role::Client => builder,
        Role::Server => builder.with_crypto_provider(rsa_crypto::provider()),
    };
    let config = builder.build().map_err(|error| CryptoError::Other(error.to_string()))?;
    Ok(shared.get_or_init(|| Arc::new(config)).clone())
}

struct Instance {
    dtls: Dtls,
    /// What this side needs if it begins the handshake, until it is known whether it does.
    client: Option<(Arc<dimpl::Config>, DtlsCertificate)>,
    keys: Arc<SessionKeys>,
    /// The client's certificate, which is not proved before the handshake is complete.
    certificate: Vec<u8>,
    /// A datagram that was changed on its way out.
    changed: Vec<u8>,
    /// What the engine is told next.
    due: Due,
    /// The latest time that is known.
    now: Instant,
}

/// What was held back: most of it until the handshake was complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// The changed datagram.
    Changed,
    Certificate,
    Connected,
    /// That the session is over, since the client proved to have another certificate than it said.
    Refusal,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instance")
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        if let Some((config, certificate)) = self.client.take().filter(|_| active) {
            self.dtls = Dtls::new_12(config, certificate, self.now);
        }
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), Error> {
        // An empty packet is how the engine starts a handshake of its own.
        let read = records::readable(packet, self.keys.certificate.get());
        if read.is_empty() && !packet.is_empty() {
            return Ok(());
        }
        match self.dtls.handle_packet(read) {
            // Alerts in clear were dropped above, so the client itself sent this one.
            Err(error @ Error::SecurityError(SecurityError::FatalAlert { .. })) => Err(error),
            // A handshake that a forged datagram has spoilt is given up by its own time-out.
            _ => Ok(()),
        }
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> Output<'a> {
        match mem::replace(&mut self.due, Due::Nothing) {
            Due::Certificate => {
                let needed = self.certificate.len();
                let Some(told) = buf.get_mut(..needed) else {
                    self.due = Due::Certificate;
                    return Output::BufferTooSmall { needed };
                };
                self.due = Due::Connected;
                told.copy_from_slice(&mem::take(&mut self.certificate));
                return Output::PeerCert(told);
            }
            Due::Connected => return Output::Connected,
            Due::Changed => {
                let needed = self.changed.len();
                let Some(told) = buf.get_mut(..needed) else {
                    self.due = Due::Changed;
                    return Output::BufferTooSmall { needed };
                };
                told.copy_from_slice(&mem::take(&mut self.changed));
                return Output::Packet(told);
            }
            Due::Refusal => {
                self.due = Due::Refusal;
                return Output::Timeout(self.now);
            }
            Due::Nothing => {}
        }
        let are_client = self.dtls.is_active();
        let output = self.dtls.poll_output(buf);
        // "Now" as the next time-out has the engine ask again at once.
        match &output {
            Output::Packet(datagram) if !are_client && self.keys.keys.get().is_none() => {
                if let Some(changed) = rsa_handshake::as_sent(datagram) {
                    (self.changed, self.due) = (changed, Due::Changed);
                    return Output::Timeout(self.now);
                }
            }
            Output::PeerCert(certificate) => {
                self.certificate = certificate.to_vec();
                return Output::Timeout(self.now);
            }
            // The engine does not check it: it knows one hash function and one digest.
            Output::Connected => {
                let is_expected =
                    self.keys.certificate.get().is_none_or(|expected| expected.matches(&self.certificate));
                self.due = if is_expected { Due::Certificate } else { Due::Refusal };
                return Output::Timeout(self.now);
            }
            _ => {}
        }
        if let Output::KeyingMaterial(exported, profile) = &output
            && matches!(profile, SrtpProfile::AEAD_AES_128_GCM | SrtpProfile::AEAD_AES_256_GCM)
            && let Some(keys) = Keys::derive(exported, are_client, &aes_block)
        {
            // Exported once; a second export would be the same keys.
            let _ = self.keys.keys.set(keys);
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.now = now;
        if self.due == Due::Refusal {
            // The library has no error for a certificate that is another one; the session only learns that it is over.
            return Err(CertificateError::NoClientCertificateForVerification.into());
        }
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, Error> {
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.dtls.close()
    }
}

fn aes_block(key: &[u8], block: &[u8; 16]) -> [u8; 16] {
    let mut out = [0; 32];
    let aes = from_feature_flags().srtp_provider;
    match key.len() {
        16 => aes.srtp_aes_128_ecb_round(key, block, &mut out),
        _ => aes.srtp_aes_256_ecb_round(key, block, &mut out),
    }
    let [block @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = out;
    block
}

impl SrtpProvider for Wrapped {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        from_feature_flags().srtp_provider.aes_128_cm_sha1_80()
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Wrapped
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Wrapped
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        from_feature_flags().srtp_provider.srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        from_feature_flags().srtp_provider.srtp_aes_256_ecb_round(key, input, output);
    }
}

impl SupportedAeadAes128Gcm for Wrapped {
    fn create_cipher(&self, key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Cipher::new(key.into()))
    }
}

impl SupportedAeadAes256Gcm for Wrapped {
    fn create_cipher(&self, key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Cipher::new(key.into()))
    }
}

/// GCM for one direction of RTP or RTCP. The engine makes eight ciphers for a session and uses two or three, so a key is
/// expanded when it is first needed.
struct Cipher {
    key: Key,
    expanded: Option<LessSafeKey>,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    fn new(key: Key) -> Cipher {
        Cipher { key, expanded: None }
    }

    fn expanded(&mut self) -> Result<&LessSafeKey, CryptoError> {
        if self.expanded.is_none() {
            self.expanded = Some(gcm_key(&self.key)?);
        }
        self.expanded.as_ref().ok_or_else(|| refused("a key"))
    }

    fn seal(&mut self, iv: &[u8; SALT_BYTES], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        let (body, tag) = output.split_at_mut_checked(input.len()).ok_or_else(|| refused("a buffer"))?;
        let tag = tag.get_mut(..TAG_BYTES).ok_or_else(|| refused("a buffer"))?;
        body.copy_from_slice(input);
        // RTP passes here too. RFC 5761 §4 keeps payload types 64 to 95 unused, so no RTP header looks like a report's.
        correct_sender_report(aad, body);
        let nonce = Nonce::assume_unique_for_key(*iv);
        let sealed = self.expanded()?.seal_in_place_separate_tag(nonce, Aad::from(aad), body);
        tag.copy_from_slice(sealed.map_err(|_| refused("a packet"))?.as_ref());
        Ok(())
    }

    fn open(
        &mut self,
        iv: &[u8; SALT_BYTES],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let (body, tag) = input.split_last_chunk::<TAG_BYTES>().ok_or_else(|| refused("a packet"))?;
        let output = output.get_mut(..body.len()).ok_or_else(|| refused("a buffer"))?;
        let nonce = Nonce::assume_unique_for_key(*iv);
        let opened = match aads {
            [aad] => self.expanded()?.open_separate_gather(nonce, Aad::from(*aad), body, tag, output),
            _ => self.expanded()?.open_separate_gather(nonce, Aad::from(aads.concat()), body, tag, output),
        };
        opened.map(|()| body.len()).map_err(|_| refused("a packet"))
    }
}

impl AeadAes128GcmCipher for Cipher {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.seal(iv, aad, input, output)
    }

    fn decrypt(
        &mut self,
        iv: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        self.open(iv, aads, input, output)
    }
}

impl AeadAes256GcmCipher for Cipher {
    fn encrypt(&mut self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.seal(iv, aad, input, output)
    }

    fn decrypt(
        &mut self,
        iv: &[u8; 12],
        aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        self.open(iv, aads, input, output)
    }
}

/// A key of GCM, expanded.
///
/// # Errors
/// If the crypto library is out of memory.
pub fn gcm_key(key: &Key) -> Result<LessSafeKey, CryptoError> {
    let algorithm = if key.bytes().len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
    UnboundKey::new(algorithm, key.bytes()).map(LessSafeKey::new).map_err(|_| refused("a key"))
}

fn refused(what: &str) -> CryptoError {
    CryptoError::Other(format!("AES-GCM refused {what}"))
}
