//! The sound cards of a Linux host, by cpal's ALSA host: which of ALSA's many names are worth showing, and libasound
//! kept from writing to the terminal. Runs on the caller's thread. It opens no device; asking each of ALSA's names for
//! its formats would open every one of them.

mod own;

use std::sync::Once;

use cpal::HostId;
use cpal::traits::{DeviceTrait, HostTrait};

/// Sees to it that libasound has a configuration that it can use; for `main`, while there is one thread.
pub(super) fn settle() {
    // What is linked dynamically can load whatever the system's configuration asks for.
    if cfg!(target_feature = "crt-static") {
        own::settle();
    }
}

/// cpal's ALSA host, with libasound silenced.
pub(super) fn host() -> Option<cpal::Host> {
    silence();
    cpal::host_from_id(HostId::Alsa).ok()
}

/// The inputs of the real sound cards, each with whether it is ALSA's default. With a sound server the default is left
/// out: it leads to that server.
///
/// Of the ten or so names ALSA has for one card, `plughw` is the one that always works and `hw` the one without any
/// conversion; the others are mixers, upmixers and numeric repetitions of these.
pub(super) fn captures(has_server: bool) -> Vec<(cpal::Device, bool)> {
    let Some(host) = host() else { return Vec::new() };
    let all: Vec<_> = host.devices().map(Iterator::collect).unwrap_or_default();
    // cpal lists every card once more by its number, which changes from boot to boot. A configuration that has no
    // names to offer, such as a minimal one, leaves only these.
    let has_names = all.iter().any(|device| is_named(&pcm_of(device), "plughw:CARD="));
    let starting_with = |prefix: &str| -> Vec<(cpal::Device, bool)> {
        let fits = |pcm: String| if has_names { is_named(&pcm, prefix) } else { pcm.starts_with(prefix) };
        let named = all.iter().filter(|device| fits(pcm_of(device)) && device.supports_input());
        named.map(|device| (device.clone(), false)).collect()
    };
    let cards = starting_with("plughw:CARD=");
    if cards.is_empty() {
        // Without a card ALSA's default is a name that cannot be opened.
        return cards;
    }
    let default = host.default_input_device().filter(|_| !has_server).map(|device| (device, true));
    default.into_iter().chain(cards).chain(starting_with("hw:CARD=")).collect()
}

/// The bare hardware behind a device: the one name of it that tells its true formats.
pub(super) fn hardware_of(device: &cpal::Device) -> Option<cpal::Device> {
    let pcm = pcm_of(device);
    let card = pcm.strip_prefix("plughw:").or_else(|| pcm.strip_prefix("hw:"))?;
    let hardware = format!("hw:{card}");
    host()?.devices().ok()?.find(|device| pcm_of(device) == hardware)
}

fn pcm_of(device: &cpal::Device) -> String {
    device.id().map(|id| id.id().to_owned()).unwrap_or_default()
}

/// Whether a device gives its card by name.
fn is_named(pcm: &str, prefix: &str) -> bool {
    pcm.strip_prefix(prefix).is_some_and(|card| !card.starts_with(|first: char| first.is_ascii_digit()))
}

/// libasound prints a dozen lines to stderr on a host without cards; what matters comes back as errors anyway.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler's C type takes variable arguments, which Rust cannot define. Ours ignores all it is
        // given, and in the C calling conventions of Linux a function may be called with more arguments than it reads.
        // It is set before any other call into libasound, and never changed.
        unsafe {
            type Silent = unsafe extern "C" fn();
            type Handler = alsa_sys::snd_lib_error_handler_t;
            let silent: Silent = ignore;
            alsa_sys::snd_lib_error_set_handler(std::mem::transmute::<Silent, Handler>(silent));
        }
    });
}

unsafe extern "C" fn ignore() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_repetitions_of_a_card_are_left_out() {
        assert!(is_named("plughw:CARD=PCH,DEV=0", "plughw:CARD="));
        assert!(!is_named("plughw:CARD=0,DEV=0", "plughw:CARD="));
        assert!(!is_named("sysdefault:CARD=PCH", "plughw:CARD="));
    }

    #[test]
    fn a_host_without_cards_lists_nothing_and_does_not_fail() {
        // On a host with cards this still shows that every one of them can record.
        assert!(captures(true).iter().all(|(_, is_default)| !is_default));
    }
}
