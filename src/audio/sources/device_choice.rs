//! Which device of a list a person means by what they wrote: an index, an id, a name, or a part of a name. Pure: the
//! list is an argument. It asks no sound system.

use std::fmt;

use crate::audio::sources::device_entry::DeviceEntry;

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The default input of this machine.
    DefaultInput,
    /// An index of the list, an id, a name, or a part of an id or name.
    Named(String),
    /// What this machine itself plays.
    Loopback,
}

/// Why no device was found. Its text is a sentence that says what to do, followed by a line for each candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindError {
    /// Several devices match.
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The devices that match.
        candidates: Vec<DeviceEntry>,
    },
    /// No device matches.
    Unknown {
        /// What was asked for.
        wanted: String,
        /// All devices.
        candidates: Vec<DeviceEntry>,
    },
    /// This machine has no input.
    NoInput {
        /// The sound system's error; empty if it gave none.
        why: String,
    },
    /// What this machine plays cannot be captured.
    NoLoopback {
        /// The sound system's error; empty if it gave none.
        why: String,
    },
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FindError::Ambiguous { wanted, candidates } => {
                write!(f, "Several devices match {wanted:?}; choose one of them by its index or id:")?;
                write_candidates(f, candidates)
            }
            FindError::Unknown { wanted, candidates } if candidates.is_empty() => {
                write!(
                    f,
                    "No device matches {wanted:?}: this machine has no devices at all. Connect one or start a sound server."
                )
            }
            FindError::Unknown { wanted, candidates } => {
                write!(f, "No device matches {wanted:?}; choose one of these by its index, id or name:")?;
                write_candidates(f, candidates)
            }
            FindError::NoInput { why } => {
                write!(f, "This machine has no input device; connect one or choose another source.{}", in_brackets(why))
            }
            FindError::NoLoopback { why } => {
                write!(f, "What this machine plays cannot be captured; choose an input device.{}", in_brackets(why))
            }
        }
    }
}

impl std::error::Error for FindError {}

fn write_candidates(f: &mut fmt::Formatter<'_>, candidates: &[DeviceEntry]) -> fmt::Result {
    candidates.iter().try_for_each(|entry| write!(f, "\n  {}  {}  ({})", entry.index, entry.name, entry.id))
}

fn in_brackets(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(" ({why})") }
}

pub(crate) fn unknown(wanted: &str, candidates: Vec<DeviceEntry>) -> FindError {
    FindError::Unknown { wanted: wanted.to_owned(), candidates }
}

/// The position of the entry that `wanted` means: an index, else an id, else a name, else a part of a name or id. Only
/// matches of the first sound system in the list count: a sound server usually lists the same cards that ALSA lists
/// again below it, and then the sound server's device is the one that is meant.
pub(crate) fn choose(wanted: &str, entries: &[DeviceEntry]) -> Result<usize, FindError> {
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
        let same_system = matches.into_iter().filter(|&i| entries[i].sound_system == entries[first].sound_system);
        let others = same_system.filter(|&i| !is_same_hardware(&entries[i], &entries[first]));
        let candidates: Vec<_> = std::iter::once(first).chain(others).map(|i| entries[i].clone()).collect();
        return match candidates.len() {
            1 => Ok(first),
            _ => Err(FindError::Ambiguous { wanted: wanted.to_owned(), candidates }),
        };
    }
    Err(unknown(wanted, entries.to_vec()))
}

/// Whether two entries are ALSA's two names of the same hardware (`plughw:CARD=…` and `hw:CARD=…`).
fn is_same_hardware(a: &DeviceEntry, b: &DeviceEntry) -> bool {
    let card = |entry: &DeviceEntry| entry.id.find("CARD=").map(|at| entry.id[at..].to_owned());
    a.id == b.id || (a.sound_system == b.sound_system && card(a).is_some() && card(a) == card(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: usize, sound_system: &str, name: &str, id: &str) -> DeviceEntry {
        DeviceEntry {
            index,
            sound_system: sound_system.into(),
            name: name.into(),
            id: id.into(),
            ..DeviceEntry::default()
        }
    }

    /// A usual machine: a sound server, and the same cards once more by ALSA.
    fn usual_devices() -> Vec<DeviceEntry> {
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
        choose(wanted, &usual_devices()).unwrap_or_else(|e| panic!("{wanted}: {e}"))
    }

    #[test]
    fn a_device_is_chosen_by_index_id_name_or_a_part_of_id_or_name() {
        assert_eq!(chosen("3"), 3);
        assert_eq!(chosen("alsa:hw:CARD=PCH,DEV=0"), 5);
        assert_eq!(chosen("PULSEAUDIO:alsa_input.PCI"), 1);
        // The whole name of one device is a part of another's name.
        assert_eq!(chosen("built-in audio"), 1);
        assert_eq!(chosen("monitor of"), 0);
        assert_eq!(chosen(" usb-2 "), 3);
    }

    #[test]
    fn hw_and_plughw_of_one_card_are_one_device() {
        assert_eq!(chosen("alc256"), 4);
    }

    #[test]
    fn a_name_that_matches_several_devices_is_ambiguous_and_lists_them() {
        let error = choose("usb", &usual_devices()).expect_err("two microphones");
        let text = error.to_string();
        assert!(text.starts_with("Several devices match \"usb\""), "{text}");
        assert!(text.contains("\n  2  USB Microphone  (pulseaudio:alsa_input.usb-1)"), "{text}");
        assert!(text.contains("\n  3  "), "{text}");
        assert!(!text.contains("alsa:"), "only the sound server's devices are candidates: {text}");
    }

    #[test]
    fn an_unknown_name_lists_all_devices() {
        for wanted in ["theremin", "7", ""] {
            let error = choose(wanted, &usual_devices()).expect_err("no such device");
            let FindError::Unknown { candidates, .. } = &error else { panic!("{error:?}") };
            assert_eq!(candidates.len(), usual_devices().len());
        }
        let empty = choose("x", &[]).expect_err("no devices").to_string();
        assert!(empty.contains("no devices at all"), "{empty}");
        assert!(!empty.contains('\n'));
    }
}
