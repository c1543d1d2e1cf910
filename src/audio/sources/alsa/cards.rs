//! The sound cards of a Linux host, by cpal's ALSA host: which of ALSA's many names are worth showing, and libasound
//! kept from writing to the terminal. Runs on the caller's thread. It opens no device; asking each of ALSA's names for
//! its formats would open every one of them.

use cpal::HostId;
use cpal::traits::{DeviceTrait, HostTrait};

use crate::audio::sources::alsa::messages::silence;

/// cpal's ALSA host, with libasound silenced.
pub(crate) fn host() -> Option<cpal::Host> {
    silence();
    cpal::host_from_id(HostId::Alsa).ok()
}

/// The inputs of the real sound cards, each with whether it is ALSA's default. With a sound server the default is left
/// out: it leads to that server.
///
/// Of the ten or so names ALSA has for one card, `plughw` is the one that always works and `hw` the one without any
/// conversion; the others are mixers, upmixers and numeric repetitions of these.
pub(crate) fn captures(has_server: bool) -> Vec<(cpal::Device, bool)> {
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
pub(crate) fn hardware_of(device: &cpal::Device) -> Option<cpal::Device> {
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
