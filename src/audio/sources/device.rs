//! Which devices there are and which one is meant: the list for people, and finding one by index, id or name. Runs on
//! the caller's thread and may take some seconds if a sound server hangs. It opens no stream; that is `capture`'s.

use std::fmt;

use cpal::DeviceId;
use cpal::traits::{DeviceTrait, HostTrait};
use serde::Serialize;

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The default input of the host.
    DefaultInput,
    /// An index of the list, an id, a name, or a part of either.
    Named(String),
    /// What the host itself plays.
    Loopback,
}

/// A device as people see it: one line of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceEntry {
    /// Position in the list, from 0. It may change when a device comes or goes.
    pub index: usize,
    /// Stable: `HOST:NAME`.
    pub id: String,
    /// For people.
    pub name: String,
    /// The sound system the device is reached through: `pulseaudio`, `alsa`, `wasapi`, `coreaudio`.
    pub host: String,
    /// Channels it records, if that is known without opening it.
    pub channels: Option<u16>,
    /// Lowest rate in Hz, if known.
    pub min_rate_hz: Option<u32>,
    /// Highest rate in Hz, if known.
    pub max_rate_hz: Option<u32>,
    /// The rate it would be opened with in Hz, if known.
    pub default_rate_hz: Option<u32>,
    /// Whether it is the host's default input.
    pub is_default: bool,
    /// Whether it is what the host plays, and not what it hears.
    pub is_loopback: bool,
}

/// A device that can be opened, and what people call it.
#[derive(Clone, Debug)]
pub struct Found {
    /// For cpal.
    pub device: cpal::Device,
    /// For people.
    pub entry: DeviceEntry,
}

impl Found {
    /// A device that comes from no list: a simulated one, or one of another host of the caller's.
    pub fn of(device: cpal::Device) -> Found {
        let id = device.id().ok();
        let entry = DeviceEntry {
            host: id.as_ref().map(|id| id.host().to_string()).unwrap_or_default(),
            id: id.map(|id| id.to_string()).unwrap_or_default(),
            name: device.to_string(),
            ..DeviceEntry::default()
        };
        Found { device, entry }
    }

    fn is_same(&self, other: &DeviceId) -> bool {
        self.device.id().is_ok_and(|id| id == *other)
    }
}

/// Why no device was found. Displayed it is a sentence that says what to do, followed by a line for each candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindError {
    /// Several devices fit.
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// What fits it.
        candidates: Vec<DeviceEntry>,
    },
    /// No device fits.
    Unknown {
        /// What was asked for.
        wanted: String,
        /// All devices.
        candidates: Vec<DeviceEntry>,
    },
    /// The host has no input.
    NoInput {
        /// What the sound systems said, if anything.
        why: String,
    },
    /// What the host plays cannot be captured.
    NoLoopback {
        /// What the sound system said, if anything.
        why: String,
    },
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FindError::Ambiguous { wanted, candidates } => {
                write!(f, "Several devices fit {wanted:?}; name one by its index or its id:")?;
                write_candidates(f, candidates)
            }
            FindError::Unknown { wanted, candidates } if candidates.is_empty() => {
                write!(
                    f,
                    "No device fits {wanted:?}, and this host has none at all; connect one or start a sound server."
                )
            }
            FindError::Unknown { wanted, candidates } => {
                write!(f, "No device fits {wanted:?}; choose one of these by index, id or name:")?;
                write_candidates(f, candidates)
            }
            FindError::NoInput { why } => {
                write!(f, "This host has no input device; connect one or choose another source.{}", because(why))
            }
            FindError::NoLoopback { why } => {
                write!(f, "What this host plays cannot be captured; choose an input device instead.{}", because(why))
            }
        }
    }
}

impl std::error::Error for FindError {}

fn write_candidates(f: &mut fmt::Formatter<'_>, candidates: &[DeviceEntry]) -> fmt::Result {
    candidates.iter().try_for_each(|entry| write!(f, "\n  {}  {}  ({})", entry.index, entry.name, entry.id))
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(" ({why})") }
}

/// Every device that sound can be captured from, in a stable order.
pub fn list() -> Vec<DeviceEntry> {
    let mut found = platform::devices();
    found.iter_mut().for_each(platform::describe);
    found.into_iter().map(|found| found.entry).collect()
}

/// The device that is meant.
///
/// # Errors
/// See [`FindError`].
pub fn find(choice: &DeviceChoice) -> Result<Found, FindError> {
    match choice {
        DeviceChoice::DefaultInput => platform::default_input(),
        DeviceChoice::Loopback => platform::loopback(),
        DeviceChoice::Named(wanted) => {
            let devices = platform::devices();
            let entries: Vec<_> = devices.iter().map(|found| found.entry.clone()).collect();
            match choose(wanted, &entries) {
                Ok(index) => devices.into_iter().nth(index).ok_or_else(|| unknown(wanted, entries)),
                Err(FindError::Unknown { .. }) => platform::unlisted(wanted).ok_or_else(|| unknown(wanted, entries)),
                Err(ambiguous) => Err(ambiguous),
            }
        }
    }
}

fn unknown(wanted: &str, candidates: Vec<DeviceEntry>) -> FindError {
    FindError::Unknown { wanted: wanted.to_owned(), candidates }
}

/// The position of the entry that `wanted` means: an index, else an id, else a name, else a part of a name or id.
/// Names are looked for host by host, in the order of the list: a sound server usually holds the same cards that ALSA
/// lists again below, and is then the one that is meant.
fn choose(wanted: &str, entries: &[DeviceEntry]) -> Result<usize, FindError> {
    let wanted = wanted.trim();
    let lower = wanted.to_lowercase();
    if let Some(index) = entries.iter().position(|entry| wanted.parse() == Ok(entry.index) || entry.id == wanted) {
        return Ok(index);
    }
    let has_name = |entry: &DeviceEntry| entry.name.to_lowercase() == lower || entry.id.to_lowercase() == lower;
    let has_part = |entry: &DeviceEntry| {
        !lower.is_empty() && (entry.name.to_lowercase().contains(&lower) || entry.id.to_lowercase().contains(&lower))
    };
    let tests: [&dyn Fn(&DeviceEntry) -> bool; 2] = [&has_name, &has_part];
    for test in tests {
        let matches: Vec<usize> = (0..entries.len()).filter(|&i| test(&entries[i])).collect();
        let Some(&first) = matches.first() else { continue };
        let of_first_host = matches.into_iter().filter(|&i| entries[i].host == entries[first].host);
        let others = of_first_host.filter(|&i| !is_same_card(&entries[i], &entries[first]));
        let candidates: Vec<_> = std::iter::once(first).chain(others).map(|i| entries[i].clone()).collect();
        return match candidates.len() {
            1 => Ok(first),
            _ => Err(FindError::Ambiguous { wanted: wanted.to_owned(), candidates }),
        };
    }
    Err(unknown(wanted, entries.to_vec()))
}

/// Whether two entries are two ways ALSA offers to the same hardware (`plughw:CARD=…` and `hw:CARD=…`).
fn is_same_card(a: &DeviceEntry, b: &DeviceEntry) -> bool {
    let card = |entry: &DeviceEntry| entry.id.find("CARD=").map(|at| entry.id[at..].to_owned());
    a.id == b.id || (a.host == b.host && card(a).is_some() && card(a) == card(b))
}

/// The list as text for people, one line a device.
pub fn table(entries: &[DeviceEntry]) -> String {
    if entries.is_empty() {
        return "No input devices.\n".to_owned();
    }
    let head = ["", "NAME", "CHANNELS", "RATES", "HOST", "ID"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(entries.iter().map(row)).collect();
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
    [entry.index.to_string(), name, channels, rates, entry.host.clone(), entry.id.clone()]
}

/// Fills in what can be learned from the formats a device offers.
fn describe_formats(entry: &mut DeviceEntry, device: &cpal::Device) {
    let inputs = device.supported_input_configs().map(Vec::from_iter).unwrap_or_default();
    // An output that is captured as a loopback lists its formats as an output.
    let outputs = || device.supported_output_configs().map(Vec::from_iter).unwrap_or_default();
    let configs = if inputs.is_empty() { outputs() } else { inputs };
    let default = device.default_input_config().or_else(|_| device.default_output_config()).ok();
    entry.min_rate_hz = configs.iter().map(|config| config.min_sample_rate()).min();
    entry.max_rate_hz = configs.iter().map(|config| config.max_sample_rate()).max();
    entry.channels = default.as_ref().map(|config| config.channels());
    entry.default_rate_hz = default.as_ref().map(|config| config.sample_rate());
}

/// Prepares what the sound libraries expect of the process; to be called while it has one thread.
pub fn settle() {
    platform::settle();
}

#[cfg(target_os = "linux")]
mod platform {
    //! Linux: the sound server, if one answers, then the sound cards themselves.

    use super::*;
    use crate::audio::sources::alsa::{cards, configuration};
    use crate::audio::sources::pulse::host::{PulseDevice, PulseHost};

    const SERVER: &str = "pulseaudio";
    const CARDS: &str = "alsa";

    pub(crate) fn settle() {
        configuration::settle();
    }

    pub(crate) fn devices() -> Vec<Found> {
        let served = PulseHost::new().list();
        let has_server = served.is_ok();
        let served = served.unwrap_or_default().into_iter().map(Found::from);
        let cards = cards::captures(has_server).into_iter().map(|(device, is_default)| {
            let mut found = found_on_card(device);
            found.entry.is_default = is_default;
            found
        });
        let mut devices: Vec<_> = served.chain(cards).collect();
        devices.iter_mut().enumerate().for_each(|(index, found)| found.entry.index = index);
        devices
    }

    impl From<PulseDevice> for Found {
        fn from(device: PulseDevice) -> Found {
            let mut entry = DeviceEntry {
                id: format!("{SERVER}:{}", device.name()),
                host: SERVER.to_owned(),
                is_default: device.is_default(),
                is_loopback: device.is_monitor(),
                ..DeviceEntry::default()
            };
            let device = cpal::Device::from(cpal::platform::CustomDevice::from_device(device));
            entry.name = device.to_string();
            // What the server has said already: this asks nobody.
            describe_formats(&mut entry, &device);
            Found { device, entry }
        }
    }

    fn found_on_card(device: cpal::Device) -> Found {
        let mut found = Found::of(device);
        found.entry.host = CARDS.to_owned();
        found
    }

    /// Cards tell their rates only when they are opened, so this is done for the list alone and for nothing but
    /// hardware.
    pub(crate) fn describe(found: &mut Found) {
        if found.entry.host == CARDS
            && let Some(hardware) = cards::hardware_of(&found.device)
        {
            describe_formats(&mut found.entry, &hardware);
        }
    }

    pub(crate) fn default_input() -> Result<Found, FindError> {
        let served = match PulseHost::new().input_device() {
            Ok(device) => return Ok(Found::from(device)),
            Err(e) => e,
        };
        let cards = cards::captures(false);
        let default = cards.iter().position(|(_, is_default)| *is_default);
        let (device, _) = default
            .and_then(|index| cards.into_iter().nth(index))
            .ok_or_else(|| FindError::NoInput { why: served.to_string() })?;
        let mut found = found_on_card(device);
        found.entry.is_default = true;
        Ok(found)
    }

    pub(crate) fn loopback() -> Result<Found, FindError> {
        let monitor = PulseHost::new().loopback_device();
        monitor.map(Found::from).map_err(|e| FindError::NoLoopback { why: e.to_string() })
    }

    /// An ALSA device of a configuration of the user's own, by its exact id.
    pub(crate) fn unlisted(wanted: &str) -> Option<Found> {
        let id: DeviceId = wanted.parse().ok()?;
        cards::host()?.devices().ok()?.map(found_on_card).find(|found| found.is_same(&id))
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    //! Windows and macOS: cpal's own hosts. An output opened as an input is a loopback there: WASAPI sets its loopback
    //! flag, Core Audio (14.6 or newer) makes a process tap and an aggregate device.

    use super::*;

    pub(crate) fn settle() {}

    /// `cpal::default_host` panics where this is merely empty.
    fn hosts() -> impl Iterator<Item = cpal::Host> {
        cpal::available_hosts().into_iter().filter_map(|id| cpal::host_from_id(id).ok())
    }

    pub(crate) fn devices() -> Vec<Found> {
        let mut devices: Vec<Found> = hosts().flat_map(|host| devices_of(&host)).collect();
        devices.iter_mut().enumerate().for_each(|(index, found)| found.entry.index = index);
        devices
    }

    /// Inputs first, then what can be captured as a loopback: outputs that are not inputs too.
    fn devices_of(host: &cpal::Host) -> Vec<Found> {
        let default = host.default_input_device().and_then(|device| device.id().ok());
        let all: Vec<Found> = host.devices().map(|all| all.map(Found::of).collect()).unwrap_or_default();
        let (mut inputs, outputs): (Vec<_>, Vec<_>) = all.into_iter().partition(|found| found.device.supports_input());
        for found in &mut inputs {
            found.entry.is_default = default.as_ref().is_some_and(|id| found.is_same(id));
        }
        let outputs = outputs.into_iter().filter(|found| found.device.supports_output());
        inputs.extend(outputs.map(as_loopback));
        inputs
    }

    fn as_loopback(mut found: Found) -> Found {
        found.entry.is_loopback = true;
        found
    }

    pub(crate) fn describe(found: &mut Found) {
        describe_formats(&mut found.entry, &found.device);
    }

    pub(crate) fn default_input() -> Result<Found, FindError> {
        let device = hosts().find_map(|host| host.default_input_device());
        let mut found = device.map(Found::of).ok_or(FindError::NoInput { why: String::new() })?;
        found.entry.is_default = true;
        Ok(found)
    }

    /// The default output, unless it is an input as well: then cpal would open its microphones.
    pub(crate) fn loopback() -> Result<Found, FindError> {
        let output = hosts().find_map(|host| host.default_output_device());
        let found = output.map(Found::of).ok_or(FindError::NoLoopback { why: String::new() })?;
        if found.device.supports_input() {
            let why = format!("{} is an input too, and would be opened as one", found.entry.name);
            return Err(FindError::NoLoopback { why });
        }
        Ok(as_loopback(found))
    }

    pub(crate) fn unlisted(_wanted: &str) -> Option<Found> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: usize, host: &str, name: &str, id: &str) -> DeviceEntry {
        DeviceEntry { index, host: host.into(), name: name.into(), id: id.into(), ..DeviceEntry::default() }
    }

    /// A host as it usually is: a sound server, and the same cards once more by ALSA.
    fn usual() -> Vec<DeviceEntry> {
        vec![
            entry(0, "pulseaudio", "Monitor of Built-in Audio", "pulseaudio:alsa_output.pci.monitor"),
            entry(1, "pulseaudio", "Built-in Audio", "pulseaudio:alsa_input.pci"),
            entry(2, "pulseaudio", "USB Microphone", "pulseaudio:alsa_input.usb-1"),
            entry(3, "pulseaudio", "USB Microphone", "pulseaudio:alsa_input.usb-2"),
            entry(4, "alsa", "HDA Intel, ALC256 Analog", "alsa:plughw:CARD=PCH,DEV=0"),
            entry(5, "alsa", "HDA Intel, ALC256 Analog", "alsa:hw:CARD=PCH,DEV=0"),
            entry(6, "alsa", "USB Microphone, USB Audio", "alsa:plughw:CARD=Mic,DEV=0"),
        ]
    }

    fn chosen(wanted: &str) -> usize {
        choose(wanted, &usual()).unwrap_or_else(|e| panic!("{wanted}: {e}"))
    }

    #[test]
    fn a_device_is_named_by_index_id_name_or_a_part_of_either() {
        assert_eq!(chosen("3"), 3);
        assert_eq!(chosen("alsa:hw:CARD=PCH,DEV=0"), 5);
        assert_eq!(chosen("PULSEAUDIO:alsa_input.PCI"), 1);
        // The whole name of one is a part of the name of another.
        assert_eq!(chosen("built-in audio"), 1);
        assert_eq!(chosen("monitor of"), 0);
        assert_eq!(chosen(" usb-2 "), 3);
    }

    #[test]
    fn the_two_ways_to_one_card_are_one_device() {
        assert_eq!(chosen("alc256"), 4);
    }

    #[test]
    fn a_name_that_fits_several_is_ambiguous_and_lists_them() {
        let error = choose("usb", &usual()).expect_err("two microphones");
        let text = error.to_string();
        assert!(text.starts_with("Several devices fit \"usb\""), "{text}");
        assert!(text.contains("\n  2  USB Microphone  (pulseaudio:alsa_input.usb-1)"), "{text}");
        assert!(text.contains("\n  3  "), "{text}");
        assert!(!text.contains("alsa:"), "the sound server's devices are the ones meant: {text}");
    }

    #[test]
    fn an_unknown_name_lists_everything() {
        for wanted in ["theremin", "7", ""] {
            let error = choose(wanted, &usual()).expect_err("no such device");
            let FindError::Unknown { candidates, .. } = &error else { panic!("{error:?}") };
            assert_eq!(candidates.len(), usual().len());
        }
        let alone = choose("x", &[]).expect_err("no devices").to_string();
        assert!(alone.contains("none at all"), "{alone}");
        assert!(!alone.contains('\n'));
    }

    #[test]
    fn the_table_has_aligned_columns_and_marks_what_is_special() {
        let mut entries = usual();
        entries[1].is_default = true;
        entries[0].is_loopback = true;
        entries[0].channels = Some(2);
        (entries[0].min_rate_hz, entries[0].max_rate_hz) = (Some(48_000), Some(48_000));
        (entries[1].min_rate_hz, entries[1].max_rate_hz) = (Some(8_000), Some(96_000));
        let text = table(&entries);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 8);
        let id_column = lines[0].find("ID").expect("a heading");
        for (line, entry) in lines[1..].iter().zip(&entries) {
            assert_eq!(line.find(&entry.id), Some(id_column), "{text}");
        }
        assert!(lines[1].contains("Monitor of Built-in Audio (loopback)") && lines[1].contains("  48000  "), "{text}");
        assert!(lines[2].contains("Built-in Audio (default)") && lines[2].contains("8000-96000"), "{text}");
        assert_eq!(table(&[]), "No input devices.\n");
    }

    #[test]
    fn listing_and_finding_work_on_any_host() {
        let entries = list();
        println!("{}", table(&entries));
        assert!(entries.iter().enumerate().all(|(at, entry)| entry.index == at));
        for choice in [DeviceChoice::DefaultInput, DeviceChoice::Loopback] {
            if let Err(e) = find(&choice) {
                assert!(matches!(e, FindError::NoInput { .. } | FindError::NoLoopback { .. }), "{e}");
            }
        }
        let unknown = find(&DeviceChoice::Named("no such device anywhere".into())).expect_err("it is not there");
        assert!(matches!(unknown, FindError::Unknown { .. }), "{unknown}");
    }
}
