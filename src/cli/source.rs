//! Chooses the station's source: what a flag asked for, or else what suits the host: a menu on a terminal, the default
//! input, a test tone. Runs on `main` before anything is started; it opens no device.

use std::sync::Arc;

use crate::audio::sources::capture::Finder;
use crate::audio::sources::device::{self, DeviceChoice, DeviceEntry};
use crate::cli::menu;
use crate::config::start_error::{ExitCode, StartError};
use crate::config::{SourceChoice, StationConfig};
use crate::station::source::Source;

/// Turns the choice into a source.
///
/// # Errors
/// [`ExitCode::Device`] if a device was asked for that is not there, with the devices that are;
/// [`ExitCode::Stopped`] if a person left the menu.
pub fn resolve(config: &StationConfig) -> Result<Source, StartError> {
    match &config.source {
        SourceChoice::Sine => Ok(Source::Sine { tone_hz: config.tone_hz }),
        SourceChoice::Device(choice) => chosen(choice),
        SourceChoice::Unspecified => suitable(config.tone_hz),
    }
}

/// A device that was asked for must be present at the start; later it may disappear and return.
fn chosen(choice: &DeviceChoice) -> Result<Source, StartError> {
    let found = device::find(choice).map_err(|error| StartError::new(ExitCode::Device, error.to_string()))?;
    log::info!("source: {} ({})", found.entry.name, found.entry.id);
    Ok(match choice {
        // An index or a part of a name may mean another device when it is opened again; an id does not.
        DeviceChoice::Named(_) => named(&found.entry),
        DeviceChoice::Loopback => following(DeviceChoice::Loopback, "loopback"),
        DeviceChoice::DefaultInput => following(DeviceChoice::DefaultInput, "device"),
    })
}

fn suitable(tone_hz: f64) -> Result<Source, StartError> {
    if cfg!(windows) && device::find(&DeviceChoice::Loopback).is_ok() {
        return chosen(&DeviceChoice::Loopback);
    }
    if menu::is_possible() {
        let devices = device::list();
        if !devices.is_empty() {
            return ask(&devices, tone_hz);
        }
    } else if device::find(&DeviceChoice::DefaultInput).is_ok() {
        return chosen(&DeviceChoice::DefaultInput);
    }
    log::info!(
        "no sound device found, so the station is a test tone of {tone_hz} Hz; choose another source with \
         --input-device X or --loopback (roomtone --list-devices shows what there is)"
    );
    Ok(Source::Sine { tone_hz })
}

fn ask(devices: &[DeviceEntry], tone_hz: f64) -> Result<Source, StartError> {
    let mut lines: Vec<String> = devices.iter().map(line).collect();
    lines.push(format!("Test tone, {tone_hz} Hz"));
    let default = devices.iter().position(|entry| entry.is_default).unwrap_or(0);
    let choice = menu::choose("Choose the station's source: arrow keys and Enter; Esc quits.", &lines, default)
        .map_err(|error| StartError::new(ExitCode::Bug, format!("the terminal cannot show the menu: {error}.")))?;
    match choice {
        None => Err(StartError::new(ExitCode::Stopped, "nothing chosen")),
        Some(n) => Ok(devices.get(n).map_or(Source::Sine { tone_hz }, named)),
    }
}

fn line(entry: &DeviceEntry) -> String {
    let mut line = format!("{}  [{}]", entry.name, entry.sound_system);
    if entry.is_loopback {
        line += "  what this host plays";
    }
    if entry.is_default {
        line += "  (default)";
    }
    line
}

fn named(entry: &DeviceEntry) -> Source {
    let kind = if entry.is_loopback { "loopback" } else { "device" };
    following(DeviceChoice::Named(entry.id.clone()), kind)
}

fn following(choice: DeviceChoice, kind: &'static str) -> Source {
    let finder: Finder = Arc::new(move || device::find(&choice));
    Source::Device { kind, finder }
}
