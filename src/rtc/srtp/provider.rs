//! The engine's crypto provider: str0m's own for aws-lc-rs, with three things of ours around it.
//!
//! 1. One DTLS configuration for all sessions. The provider it wraps builds one for each, with a self-test of every cipher
//!    and curve, which costs more than the handshake.
//! 2. Nobody who only forges datagrams ends a session: what DTLS cannot authenticate or read is dropped (RFC 6347
//!    §4.1.2.7), alerts in clear among it.
//! 3. [`Secrets`]: a session's SRTP keys, so that sound can be sealed beside the engine, and the counts of what was, so
//!    that the engine's sender reports say the truth.
//!
//! Runs on whatever thread drives a session. Decides nothing about packets, addresses or time.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use dimpl::{Dtls, DtlsCertificate, Error, Output, SecurityError};
use str0m::crypto::dtls::{DtlsCert, DtlsInstance, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, CryptoError, CryptoProvider, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80, from_feature_flags,
};

use crate::rtc::srtp::keys::{Key, Keys, SALT_BYTES};

/// Bytes GCM appends (RFC 7714 §12).
const TAG_BYTES: usize = 16;

/// DTLS record header (RFC 6347 §4.1): type, version, epoch, sequence, length.
const RECORD_HEADER_BYTES: usize = 13;
const ALERT: u8 = 21;

/// RTCP packet type of a sender report (RFC 3550 §6.4.1), and where its sender info lies behind the first eight bytes.
const SENDER_REPORT: u8 = 200;
const RTP_TIME_AND_COUNTS: std::ops::Range<usize> = 8..20;

/// The provider for every session of this process.
pub fn provider() -> Arc<CryptoProvider> {
    // The engine wants providers that live for ever.
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(CryptoProvider { dtls_provider: &Ours, srtp_provider: &Ours, ..from_feature_flags() }))
        .clone()
}

thread_local! {
    /// Left by the engine's construction for [`take_secrets`]: the engine knows no way to say whose instance it makes.
    static MADE: RefCell<Option<Arc<Secrets>>> = const { RefCell::new(None) };
    /// Whose keys were just exported; the engine asks for its ciphers before it does anything else.
    static KEYED: RefCell<Option<Arc<Secrets>>> = const { RefCell::new(None) };
}

/// Those of the session that this thread built last.
pub fn take_secrets() -> Option<Arc<Secrets>> {
    MADE.with(RefCell::take)
}

/// What the crypto beneath a session shares with the session.
#[derive(Default)]
pub struct Secrets {
    keys: OnceLock<Keys>,
    counts_are_ours: AtomicU32,
    counts: [AtomicU32; 3],
}

impl Secrets {
    /// Our keys, once DTLS is up and if its profile is one of GCM (RFC 7714).
    pub fn keys(&self) -> Option<&Keys> {
        self.keys.get()
    }

    /// What the next sender report shall say (RFC 3550 §6.4.1): the RTP time of this moment, packets and payload bytes
    /// sent. Without a call the engine's own figures stand.
    pub fn report(&self, rtp_time: u32, packets: u32, octets: u32) {
        for (place, value) in self.counts.iter().zip([rtp_time, packets, octets]) {
            place.store(value, Ordering::Relaxed);
        }
        self.counts_are_ours.store(1, Ordering::Relaxed);
    }

    /// Corrects a sender report on its way into the cipher; `body` begins behind the sender's SSRC.
    fn correct(&self, body: &mut [u8]) {
        if self.counts_are_ours.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(place) = body.get_mut(RTP_TIME_AND_COUNTS) {
            for (bytes, value) in place.chunks_exact_mut(4).zip(&self.counts) {
                bytes.copy_from_slice(&value.load(Ordering::Relaxed).to_be_bytes());
            }
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

#[derive(Debug)]
struct Ours;

impl DtlsProvider for Ours {
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
        // DTLS 1.2 is what every browser speaks in WebRTC, and the engine's default.
        let certificate = DtlsCertificate {
            certificate: certificate.certificate.clone(),
            private_key: certificate.private_key.clone(),
        };
        let dtls = Dtls::new_12(shared_config(mtu)?, certificate, now);
        let secrets = Arc::<Secrets>::default();
        MADE.with(|made| made.replace(Some(secrets.clone())));
        Ok(Box::new(Instance { dtls, secrets }))
    }
}

/// The one configuration. Every session of this process asks for the same datagram size.
fn shared_config(mtu: Option<usize>) -> Result<Arc<dimpl::Config>, CryptoError> {
    static CONFIG: OnceLock<Arc<dimpl::Config>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    // ICE has proved that the client is where it says; cookies would only cost a round trip.
    let builder = dimpl::Config::builder().use_server_cookie(false);
    let builder = mtu.into_iter().fold(builder, dimpl::ConfigBuilder::mtu);
    let config = builder.build().map_err(|error| CryptoError::Other(error.to_string()))?;
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}

struct Instance {
    dtls: Dtls,
    secrets: Arc<Secrets>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instance")
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), Error> {
        if !is_worth_reading(packet) {
            return Ok(());
        }
        match self.dtls.handle_packet(packet) {
            // No alert in clear came this far, so this one is the client's own.
            Err(error @ Error::SecurityError(SecurityError::FatalAlert { .. })) => Err(error),
            // A handshake that cannot go on is given up when its time is over, by whoever it was spoilt.
            _ => Ok(()),
        }
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> Output<'a> {
        let are_client = self.dtls.is_active();
        let output = self.dtls.poll_output(buf);
        if let Output::KeyingMaterial(exported, profile) = &output
            && matches!(profile, SrtpProfile::AEAD_AES_128_GCM | SrtpProfile::AEAD_AES_256_GCM)
            && let Some(keys) = Keys::derive(exported, are_client, &aes_block)
        {
            let _ = self.secrets.keys.set(keys);
            KEYED.with(|keyed| keyed.replace(Some(self.secrets.clone())));
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
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

/// False for a datagram with an alert in clear (epoch zero), which anybody could have sent, and for one whose records do
/// not fill it exactly.
fn is_worth_reading(mut packet: &[u8]) -> bool {
    while let Some((header, rest)) = packet.split_first_chunk::<RECORD_HEADER_BYTES>() {
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        if header[0] == ALERT && header[3..5] == [0, 0] {
            return false;
        }
        let Some(next) = rest.get(length..) else { return false };
        packet = next;
    }
    packet.is_empty()
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

impl SrtpProvider for Ours {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        from_feature_flags().srtp_provider.aes_128_cm_sha1_80()
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Ours
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Ours
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        from_feature_flags().srtp_provider.srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        from_feature_flags().srtp_provider.srtp_aes_256_ecb_round(key, input, output);
    }
}

impl SupportedAeadAes128Gcm for Ours {
    fn create_cipher(&self, key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Cipher::new(key.into()))
    }
}

impl SupportedAeadAes256Gcm for Ours {
    fn create_cipher(&self, key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Cipher::new(key.into()))
    }
}

/// GCM for one direction of RTP or RTCP. The engine makes eight for a session and uses two or three, so the key is
/// expanded when it is first needed.
struct Cipher {
    key: Key,
    expanded: Option<LessSafeKey>,
    /// Of the session whose outgoing RTCP this protects.
    secrets: Option<Arc<Secrets>>,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    fn new(key: Key) -> Cipher {
        let protects_rtcp = |secrets: &&Arc<Secrets>| secrets.keys().is_some_and(|keys| keys.rtcp == key);
        let secrets = KEYED.with_borrow(|keyed| keyed.as_ref().filter(protects_rtcp).cloned());
        Cipher { key, expanded: None, secrets }
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
        // RFC 7714 §9.2: the eight bytes before the encrypted part are those of the first packet's header.
        if let Some(secrets) = self.secrets.as_ref().filter(|_| aad.get(1) == Some(&SENDER_REPORT)) {
            secrets.correct(body);
        }
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
    CryptoError::Other(format!("AES-GCM took {what} for impossible"))
}
