//! The sound cards of a Linux machine, by cpal's ALSA host: which of ALSA's many device names are listed. Runs on the
//! caller's thread. It opens no device; listing the formats of each of ALSA's names would open every one of them.

use cpal::HostId;
use cpal::traits::{DeviceTrait, HostTrait};

use crate::audio::layout::Layout;
use crate::audio::sources::alsa::channel_maps;
use crate::audio::sources::alsa::messages::silence_libasound;

/// cpal's ALSA host. libasound no longer writes to the terminal after this call.
pub(crate) fn host() -> Option<cpal::Host> {
    silence_libasound();
    cpal::host_from_id(HostId::Alsa).ok()
}

/// The inputs of the real sound cards, each with whether it is ALSA's default. If a sound server runs, the default is
/// left out, because it leads to that server.
///
/// ALSA has about ten names for one card. `plughw` is the one that always works, and `hw` the one without any
/// conversion; the others are mixers, upmixers, and these two once more by the number of the card.
pub(crate) fn inputs(has_server: bool) -> Vec<(cpal::Device, bool)> {
    let Some(host) = host() else { return Vec::new() };
    let all: Vec<_> = host.devices().map(Iterator::collect).unwrap_or_default();
    // cpal lists every card once more by its number, which can change at every boot. A configuration that lists no
    // names, such as a minimal one, leaves only the numbers.
    let has_names = all.iter().any(|device| is_named(&pcm_of(device), "plughw:CARD="));
    let starting_with = |prefix: &str| -> Vec<(cpal::Device, bool)> {
        let matches = |pcm: String| if has_names { is_named(&pcm, prefix) } else { pcm.starts_with(prefix) };
        let inputs = all.iter().filter(|device| matches(pcm_of(device)) && device.supports_input());
        inputs.map(|device| (device.clone(), false)).collect()
    };
    let cards = starting_with("plughw:CARD=");
    if cards.is_empty() {
        // Without a card, ALSA's default cannot be opened.
        return cards;
    }
    let default = host.default_input_device().filter(|_| !has_server).map(|device| (device, true));
    default.into_iter().chain(cards).chain(starting_with("hw:CARD=")).collect()
}

/// The `hw` device of the same hardware: only that name tells the true formats.
pub(crate) fn hardware_of(device: &cpal::Device) -> Option<cpal::Device> {
    let pcm = pcm_of(device);
    let card = pcm.strip_prefix("plughw:").or_else(|| pcm.strip_prefix("hw:"))?;
    let hardware = format!("hw:{card}");
    host()?.devices().ok()?.find(|device| pcm_of(device) == hardware)
}

/// Where so many of its channels are, if its driver knows.
pub(crate) fn layout(device: &cpal::Device, channels: u16) -> Option<Layout> {
    channel_maps::positions(&pcm_of(device), channels)
}

fn pcm_of(device: &cpal::Device) -> String {
    device.id().map(|id| id.id().to_owned()).unwrap_or_default()
}

/// Whether what follows `prefix` is a card's name, and not its number.
fn is_named(pcm: &str, prefix: &str) -> bool {
    pcm.strip_prefix(prefix).is_some_and(|card| !card.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_name_their_card_by_number_are_left_out() {
        assert!(is_named("plughw:CARD=PCH,DEV=0", "plughw:CARD="));
        assert!(!is_named("plughw:CARD=0,DEV=0", "plughw:CARD="));
        assert!(!is_named("sysdefault:CARD=PCH", "plughw:CARD="));
    }

    #[test]
    fn a_machine_without_cards_lists_nothing_and_does_not_fail() {
        // On a machine with cards this shows that none is marked as default beside a sound server.
        assert!(inputs(true).iter().all(|(_, is_default)| !is_default));
    }
}
