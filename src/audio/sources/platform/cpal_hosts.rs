//! The capture devices of Windows and macOS, by cpal's own hosts. An output that is opened as an input is a loopback
//! there: WASAPI sets its loopback flag, Core Audio (14.6 or newer) makes a process tap and an aggregate device. Runs
//! on the caller's thread. It opens no stream.

use cpal::traits::{DeviceTrait, HostTrait};

use crate::audio::layout::Layout;
use crate::audio::sources::device_choice::FindError;
use crate::audio::sources::device_entry::{self, CaptureDevice};

/// Nothing is needed on these systems.
pub(crate) fn prepare_sound_libraries() {}

/// `cpal::default_host` panics where this is merely empty.
fn hosts() -> impl Iterator<Item = cpal::Host> {
    cpal::available_hosts().into_iter().filter_map(|id| cpal::host_from_id(id).ok())
}

/// The devices of every host, in cpal's order of hosts.
pub(crate) fn devices() -> Vec<CaptureDevice> {
    let mut devices: Vec<CaptureDevice> = hosts().flat_map(|host| devices_of(&host)).collect();
    device_entry::number(&mut devices);
    devices
}

/// Inputs first, then what can be captured as a loopback: outputs that are not inputs too.
fn devices_of(host: &cpal::Host) -> Vec<CaptureDevice> {
    let default = host.default_input_device().and_then(|device| device.id().ok());
    let all: Vec<CaptureDevice> =
        host.devices().map(|all| all.map(CaptureDevice::from_cpal).collect()).unwrap_or_default();
    let (mut inputs, outputs): (Vec<_>, Vec<_>) = all.into_iter().partition(|device| device.device.supports_input());
    for input in &mut inputs {
        input.entry.is_default = default.as_ref().is_some_and(|id| input.has_id(id));
    }
    let outputs = outputs.into_iter().filter(|device| device.device.supports_output());
    inputs.extend(outputs.map(as_loopback));
    inputs
}

fn as_loopback(mut device: CaptureDevice) -> CaptureDevice {
    device.entry.is_loopback = true;
    device
}

/// Where so many channels of a device are: Windows has an order of its own for each number, macOS tells none here.
pub(crate) fn layout(_device: &cpal::Device, channels: u16) -> Layout {
    if cfg!(windows) { Layout::wave(channels) } else { Layout::UNKNOWN }
}

/// Fills in the rates and channels, for the list that people see.
pub(crate) fn read_formats(device: &mut CaptureDevice) {
    device.entry.read_formats(&device.device);
}

/// The default input of the first host that has one.
pub(crate) fn default_input() -> Result<CaptureDevice, FindError> {
    let device = hosts().find_map(|host| host.default_input_device());
    let mut default = device.map(CaptureDevice::from_cpal).ok_or(FindError::NoInput { why: String::new() })?;
    default.entry.is_default = true;
    Ok(default)
}

/// The default output, unless it is an input as well: then cpal would open its microphones.
pub(crate) fn loopback() -> Result<CaptureDevice, FindError> {
    let output = hosts().find_map(|host| host.default_output_device());
    let output = output.map(CaptureDevice::from_cpal).ok_or(FindError::NoLoopback { why: String::new() })?;
    if output.device.supports_input() {
        let why = format!("{} is an input too, and would be opened as one", output.entry.name);
        return Err(FindError::NoLoopback { why });
    }
    Ok(as_loopback(output))
}

/// The list is complete on these systems.
pub(crate) fn unlisted(_wanted: &str) -> Option<CaptureDevice> {
    None
}
