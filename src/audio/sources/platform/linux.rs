//! The capture devices of Linux: those of the sound server, if one answers, then the sound cards themselves. Runs on
//! the caller's thread. It opens no stream.

use cpal::traits::HostTrait;
use cpal::{DeviceId, ErrorKind};

use crate::audio::layout::Layout;
use crate::audio::sources::alsa::{cards, configuration};
use crate::audio::sources::device_choice::FindError;
use crate::audio::sources::device_entry::{self, CaptureDevice, DeviceEntry};
use crate::audio::sources::pulse::host::{PulseDevice, PulseHost};

/// What device ids and lists call a PulseAudio or PipeWire server.
const SOUND_SERVER: &str = "pulseaudio";

/// What device ids and lists call the sound cards.
const SOUND_CARDS: &str = "alsa";

/// Gives libasound a configuration, if it has no usable one.
pub(crate) fn prepare_sound_libraries() {
    configuration::set_own_if_system_unusable();
}

/// The sound server's sources, then the inputs of the cards.
pub(crate) fn devices() -> Vec<CaptureDevice> {
    let sources = PulseHost::new().list();
    let has_server = sources.is_ok();
    let sources = sources.unwrap_or_default().into_iter().map(CaptureDevice::from);
    let cards = cards::inputs(has_server).into_iter().map(|(device, is_default)| {
        let mut card = card(device);
        card.entry.is_default = is_default;
        card
    });
    let mut devices: Vec<_> = sources.chain(cards).collect();
    device_entry::number(&mut devices);
    devices
}

impl From<PulseDevice> for CaptureDevice {
    fn from(device: PulseDevice) -> CaptureDevice {
        let mut entry = DeviceEntry {
            id: format!("{SOUND_SERVER}:{}", device.name()),
            sound_system: SOUND_SERVER.to_owned(),
            is_default: device.is_default(),
            is_loopback: device.is_monitor(),
            ..DeviceEntry::default()
        };
        let layout = device.layout();
        let device = cpal::Device::from(cpal::platform::CustomDevice::from_device(device));
        entry.name = device.to_string();
        // The server's list of sources contains their formats; this sends no request.
        entry.read_formats(&device);
        CaptureDevice { device, entry, layout: Some(layout), wanted: None }
    }
}

fn card(device: cpal::Device) -> CaptureDevice {
    let mut card = CaptureDevice::from_cpal(device);
    card.entry.sound_system = SOUND_CARDS.to_owned();
    card
}

/// Cards tell their rates only when they are opened. So this is called for the list that people see only, and it opens
/// only hardware, none of ALSA's other names.
pub(crate) fn read_formats(device: &mut CaptureDevice) {
    if device.entry.sound_system == SOUND_CARDS
        && let Some(hardware) = cards::hardware_of(&device.device)
    {
        device.entry.read_formats(&hardware);
    }
}

/// Where so many channels of a card are.
pub(crate) fn layout(device: &cpal::Device, channels: u16) -> Layout {
    cards::layout(device, channels).unwrap_or(Layout::UNKNOWN)
}

/// The sound server's default source; without a sound server, ALSA's default. A server that answers has the cards, so ALSA is
/// not asked after it: its default would lead to that server, and may be what this host plays.
pub(crate) fn default_input() -> Result<CaptureDevice, FindError> {
    let server_error = match PulseHost::new().input_device() {
        Ok(device) => return Ok(CaptureDevice::from(device)),
        Err(e) if e.kind() == ErrorKind::DeviceNotAvailable => return Err(FindError::NoInput { why: e.to_string() }),
        Err(e) => e,
    };
    let inputs = cards::inputs(false);
    let default = inputs.iter().position(|(_, is_default)| *is_default);
    let (device, _) = default
        .and_then(|index| inputs.into_iter().nth(index))
        .ok_or_else(|| FindError::NoInput { why: server_error.to_string() })?;
    let mut default = card(device);
    default.entry.is_default = true;
    Ok(default)
}

/// The monitor of the sound server's default sink.
pub(crate) fn loopback() -> Result<CaptureDevice, FindError> {
    let monitor = PulseHost::new().loopback_device();
    monitor.map(CaptureDevice::from).map_err(|e| FindError::NoLoopback { why: e.to_string() })
}

/// An ALSA device that the list leaves out, such as one of the user's own configuration, by its exact id.
pub(crate) fn unlisted(wanted: &str) -> Option<CaptureDevice> {
    let id: DeviceId = wanted.parse().ok()?;
    cards::host()?.devices().ok()?.map(card).find(|device| device.has_id(&id))
}
