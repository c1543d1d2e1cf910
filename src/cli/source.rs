//! Chooses the station's source: what a flag asked for, or else what suits the host: a menu on a terminal, the default
//! input, a test tone. Runs on `main` before anything is started; it opens no device.

use std::sync::Arc;

use crate::audio::sources::capture::Finder;
use crate::audio::sources::device::{self, CaptureDevice, DeviceChoice, DeviceEntry, InputChannels};
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
        SourceChoice::Device(choice) => chosen(choice, config.input_channels),
        SourceChoice::Unspecified => suitable(config),
    }
}

/// A device that was asked for must be present at the start; later it may disappear and return.
fn chosen(choice: &DeviceChoice, wanted: Option<InputChannels>) -> Result<Source, StartError> {
    let found = device::find(choice).map_err(|error| StartError::new(ExitCode::Device, error.to_string()))?;
    log::info!("source: {} ({})", found.entry.name, found.entry.id);
    Ok(match choice {
        // An index or a part of a name may mean another device when it is opened again; an id does not.
        DeviceChoice::Named(_) => named(&found.entry, wanted),
        DeviceChoice::Loopback => following(DeviceChoice::Loopback, "loopback", wanted),
        DeviceChoice::DefaultInput => following(DeviceChoice::DefaultInput, "device", wanted),
    })
}

fn suitable(config: &StationConfig) -> Result<Source, StartError> {
    let StationConfig { tone_hz, input_channels, .. } = *config;
    if cfg!(windows) && device::find(&DeviceChoice::Loopback).is_ok() {
        return chosen(&DeviceChoice::Loopback, input_channels);
    }
    if menu::is_possible() {
        let devices = device::list();
        if !devices.is_empty() {
            return ask(&devices, config);
        }
    }
    let why = match device::find(&DeviceChoice::DefaultInput) {
        Ok(_) if !menu::is_possible() => return chosen(&DeviceChoice::DefaultInput, input_channels),
        Ok(_) => "No sound device was found.".to_owned(),
        Err(error) => error.to_string(),
    };
    log::info!(
        "{why} So the station is a test tone of {tone_hz} Hz; choose another source with \
         --input-device X or --loopback (roomtone --list-devices shows what there is)"
    );
    Ok(Source::Sine { tone_hz })
}

fn ask(devices: &[DeviceEntry], config: &StationConfig) -> Result<Source, StartError> {
    let tone_hz = config.tone_hz;
    let mut lines: Vec<String> = devices.iter().map(line).collect();
    lines.push(format!("Test tone, {tone_hz} Hz"));
    // Enter alone never chooses what this host plays.
    let input =
        |is_default: bool| devices.iter().position(|entry| !entry.is_loopback && (entry.is_default || !is_default));
    let default = input(true).or_else(|| input(false)).unwrap_or(devices.len());
    let choice = choose("Choose the station's source: arrow keys and Enter; Esc quits.", &lines, default)?;
    let Some(entry) = devices.get(choice) else { return Ok(Source::Sine { tone_hz }) };
    Ok(named(entry, if config.input_channels.is_some() { config.input_channels } else { ask_channels(entry)? }))
}

/// Which channels of a device that has more than two.
fn ask_channels(entry: &DeviceEntry) -> Result<Option<InputChannels>, StartError> {
    let Some(count) = entry.channels.filter(|count| *count > 2) else { return Ok(None) };
    let pairs: Vec<_> = (1..count).step_by(2).map(|left| InputChannels { left, right: left + 1 }).collect();
    let mut lines = vec!["All of them, by position; the first two if they have none".to_owned()];
    lines.extend(pairs.iter().map(|InputChannels { left, right }| format!("Channels {left} and {right}")));
    let choice = choose(&format!("{} has {count} channels. Which?", entry.name), &lines, 0)?;
    Ok(choice.checked_sub(1).and_then(|nth| pairs.get(nth).copied()))
}

fn choose(title: &str, lines: &[String], selected: usize) -> Result<usize, StartError> {
    let choice = menu::choose(title, lines, selected)
        .map_err(|error| StartError::new(ExitCode::Bug, format!("the terminal cannot show the menu: {error}.")))?;
    choice.ok_or_else(|| StartError::new(ExitCode::Stopped, "nothing chosen"))
}

fn line(entry: &DeviceEntry) -> String {
    let mut line = format!("{}  [{}]", entry.name, entry.sound_system);
    if entry.is_loopback {
        line += "  what this host plays";
    }
    if let Some(count) = entry.channels.filter(|count| *count > 2) {
        line += &format!("  {count} channels");
    }
    if entry.is_default {
        line += "  (default)";
    }
    line
}

fn named(entry: &DeviceEntry, wanted: Option<InputChannels>) -> Source {
    let kind = if entry.is_loopback { "loopback" } else { "device" };
    following(DeviceChoice::Named(entry.id.clone()), kind, wanted)
}

fn following(choice: DeviceChoice, kind: &'static str, wanted: Option<InputChannels>) -> Source {
    let finder: Finder = Arc::new(move || device::find(&choice).map(|found| CaptureDevice { wanted, ..found }));
    Source::Device { kind, finder }
}
