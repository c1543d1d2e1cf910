//! Lists the capture devices of this machine and finds the one that is meant. Runs on the caller's thread, and may take
//! some seconds if a sound server hangs. It opens no stream; `capture` does.

use crate::audio::layout::Layout;
pub use crate::audio::sources::device_choice::{DeviceChoice, FindError};
use crate::audio::sources::device_choice::{choose, unknown};
pub use crate::audio::sources::device_entry::{CaptureDevice, DeviceEntry, InputChannels, table};
#[cfg(not(target_os = "linux"))]
use crate::audio::sources::platform::cpal_hosts as platform;
#[cfg(target_os = "linux")]
use crate::audio::sources::platform::linux as platform;

/// Every device that sound can be captured from, in a stable order.
pub fn list() -> Vec<DeviceEntry> {
    let mut devices = platform::devices();
    devices.iter_mut().for_each(platform::read_formats);
    devices.into_iter().map(|device| device.entry).collect()
}

/// The device that is meant.
///
/// # Errors
/// See [`FindError`].
pub fn find(choice: &DeviceChoice) -> Result<CaptureDevice, FindError> {
    match choice {
        DeviceChoice::DefaultInput => platform::default_input(),
        DeviceChoice::Loopback => platform::loopback(),
        DeviceChoice::Named(wanted) => {
            let devices = platform::devices();
            let entries: Vec<_> = devices.iter().map(|device| device.entry.clone()).collect();
            match choose(wanted, &entries) {
                Ok(index) => devices.into_iter().nth(index).ok_or_else(|| unknown(wanted, entries)),
                Err(FindError::Unknown { .. }) => platform::unlisted(wanted).ok_or_else(|| unknown(wanted, entries)),
                Err(ambiguous) => Err(ambiguous),
            }
        }
    }
}

/// Where the channels of a device are that is opened with so many.
pub(crate) fn layout(found: &CaptureDevice, channels: u16) -> Layout {
    let of_all = || found.layout.unwrap_or_else(|| platform::layout(&found.device, channels));
    found.wanted.map_or_else(of_all, InputChannels::layout)
}

/// Sets the environment variables that the sound libraries of this system need. Call it while the process has only one
/// thread: changing the environment is not safe beside other threads.
pub fn prepare_sound_libraries() {
    platform::prepare_sound_libraries();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_and_finding_work_on_any_machine() {
        let entries = list();
        println!("{}", table(&entries));
        assert!(entries.iter().enumerate().all(|(at, entry)| entry.index == at));
        for choice in [DeviceChoice::DefaultInput, DeviceChoice::Loopback] {
            if let Err(e) = find(&choice) {
                assert!(matches!(e, FindError::NoInput { .. } | FindError::NoLoopback { .. }), "{e}");
            }
        }
        let unknown = find(&DeviceChoice::Named("no such device anywhere".into())).expect_err("it does not exist");
        assert!(matches!(unknown, FindError::Unknown { .. }), "{unknown}");
    }
}
