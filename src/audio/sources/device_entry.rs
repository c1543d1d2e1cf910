//! A capture device: what people see of it in a list, and what cpal needs to open it. Runs on the caller's thread. It
//! looks for no device and opens no stream.

use cpal::DeviceId;
use cpal::traits::DeviceTrait;
use serde::Serialize;

use crate::audio::layout::{Layout, Position};

/// One line of the device list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceEntry {
    /// Position in the list, from 0. It may change when a device is connected or removed.
    pub index: usize,
    /// Stable: `SOUND-SYSTEM:NAME`.
    pub id: String,
    /// The name that people read.
    pub name: String,
    /// The sound system through which the device is reached, which cpal calls its host: `pulseaudio`, `alsa`, `wasapi`,
    /// `coreaudio`.
    #[serde(rename = "host")]
    pub sound_system: String,
    /// Channels it records, if that is known without opening it.
    pub channels: Option<u16>,
    /// Lowest rate in Hz, if known.
    pub min_rate_hz: Option<u32>,
    /// Highest rate in Hz, if known.
    pub max_rate_hz: Option<u32>,
    /// The rate in Hz at which it would be opened by default, if known.
    pub default_rate_hz: Option<u32>,
    /// Whether it is the default input of this machine.
    pub is_default: bool,
    /// Whether it records what this machine plays, and not an input.
    pub is_loopback: bool,
}

impl DeviceEntry {
    /// Fills in what the formats of `device` tell. ALSA opens a device to list its formats.
    pub(crate) fn read_formats(&mut self, device: &cpal::Device) {
        let inputs = device.supported_input_configs().map(Vec::from_iter).unwrap_or_default();
        // An output that is captured as a loopback lists its formats as an output.
        let outputs = || device.supported_output_configs().map(Vec::from_iter).unwrap_or_default();
        let configs = if inputs.is_empty() { outputs() } else { inputs };
        let default = device.default_input_config().or_else(|_| device.default_output_config()).ok();
        self.min_rate_hz = configs.iter().map(|config| config.min_sample_rate()).min();
        self.max_rate_hz = configs.iter().map(|config| config.max_sample_rate()).max();
        self.channels = default.as_ref().map(|config| config.channels());
        self.default_rate_hz = default.as_ref().map(|config| config.sample_rate());
    }
}

/// A device that can be opened, with its entry.
#[derive(Clone, Debug)]
pub struct CaptureDevice {
    /// The device, for cpal.
    pub device: cpal::Device,
    /// The device, for people.
    pub entry: DeviceEntry,
    /// Where its channels are, if the list says so.
    pub layout: Option<Layout>,
    /// The channels that are wanted, if not all of them.
    pub wanted: Option<InputChannels>,
}

/// The channels of a device that become the left one and the right one, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputChannels {
    /// The left channel.
    pub left: u16,
    /// The right one; the same as the left one if a single channel is for both sides.
    pub right: u16,
}

impl InputChannels {
    /// Channels that the device must have.
    pub fn least(self) -> u16 {
        self.left.max(self.right)
    }

    /// These two at full level, and no other.
    pub fn layout(self) -> Layout {
        let position = |channel| match (channel == self.left, channel == self.right) {
            (true, true) => Position::Centre,
            (true, false) => Position::FrontLeft,
            (false, true) => Position::FrontRight,
            (false, false) => Position::Aux,
        };
        Layout::of((1..=self.least()).map(position))
    }
}

impl CaptureDevice {
    /// A device of cpal's, with an entry made from its id and name: no formats, no flags, index 0.
    pub fn from_cpal(device: cpal::Device) -> CaptureDevice {
        let id = device.id().ok();
        let entry = DeviceEntry {
            sound_system: id.as_ref().map(|id| id.host().to_string()).unwrap_or_default(),
            id: id.map(|id| id.to_string()).unwrap_or_default(),
            name: device.to_string(),
            ..DeviceEntry::default()
        };
        CaptureDevice { device, entry, layout: None, wanted: None }
    }

    pub(crate) fn has_id(&self, id: &DeviceId) -> bool {
        self.device.id().is_ok_and(|own| own == *id)
    }
}

/// Sets each entry's index to its position.
pub(crate) fn number(devices: &mut [CaptureDevice]) {
    devices.iter_mut().enumerate().for_each(|(index, device)| device.entry.index = index);
}

/// The list as text for people: a heading, then one line for each device.
pub fn table(entries: &[DeviceEntry]) -> String {
    if entries.is_empty() {
        return "No input devices.\n".to_owned();
    }
    let heading = ["", "NAME", "CHANNELS", "RATES", "HOST", "ID"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(heading).chain(entries.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(entry: &DeviceEntry) -> [String; 6] {
    let mut name = entry.name.clone();
    if entry.is_default {
        name.push_str(" (default)");
    }
    if entry.is_loopback {
        name.push_str(" (loopback)");
    }
    let channels = entry.channels.map_or("-".to_owned(), |channels| channels.to_string());
    let rates = match (entry.min_rate_hz, entry.max_rate_hz) {
        (Some(min), Some(max)) if min != max => format!("{min}-{max}"),
        (Some(rate), _) => rate.to_string(),
        _ => "-".to_owned(),
    };
    [entry.index.to_string(), name, channels, rates, entry.sound_system.clone(), entry.id.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_aligned_columns_and_marks_default_and_loopback() {
        let entry = |index: usize, name: &str, id: &str| DeviceEntry {
            index,
            name: name.into(),
            id: id.into(),
            sound_system: id.split(':').next().unwrap().into(),
            ..DeviceEntry::default()
        };
        let mut entries = [
            entry(0, "Monitor of Built-in Audio", "pulseaudio:alsa_output.pci.monitor"),
            entry(1, "Built-in Audio", "pulseaudio:alsa_input.pci"),
            entry(2, "HDA Intel, ALC256 Analog", "alsa:plughw:CARD=PCH,DEV=0"),
        ];
        entries[1].is_default = true;
        entries[0].is_loopback = true;
        entries[0].channels = Some(2);
        (entries[0].min_rate_hz, entries[0].max_rate_hz) = (Some(48_000), Some(48_000));
        (entries[1].min_rate_hz, entries[1].max_rate_hz) = (Some(8_000), Some(96_000));
        let text = table(&entries);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        let id_column = lines[0].find("ID").expect("a heading");
        for (line, entry) in lines[1..].iter().zip(&entries) {
            assert_eq!(line.find(&entry.id), Some(id_column), "{text}");
        }
        assert!(lines[1].contains("Monitor of Built-in Audio (loopback)") && lines[1].contains("  48000  "), "{text}");
        assert!(lines[2].contains("Built-in Audio (default)") && lines[2].contains("8000-96000"), "{text}");
        assert_eq!(table(&[]), "No input devices.\n");
    }

    #[test]
    fn wanted_channels_are_heard_at_full_level_and_no_other() {
        let gains = |left, right| InputChannels { left, right }.layout().gains(4);
        assert_eq!(gains(3, 4), [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(gains(2, 1), [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]);
        assert_eq!(gains(2, 2), [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]);
    }

    #[test]
    fn in_json_the_sound_system_is_called_host() {
        let entry = DeviceEntry { sound_system: "alsa".into(), ..DeviceEntry::default() };
        assert_eq!(serde_json::to_value(entry).unwrap()["host"], "alsa");
    }
}
