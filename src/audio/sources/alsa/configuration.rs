//! A small built-in configuration for libasound, used where the system's cannot be: in a statically linked program,
//! which can load no plugins, and on machines that have no configuration. `main` calls this once, before it starts
//! threads. The configuration contains the cards themselves and nothing else; sound servers are reached without
//! libasound.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};

use crate::audio::sources::alsa::messages::silence_libasound;

/// The environment variable by which libasound finds its configuration. If a person has set it, it stays.
const PATH_VARIABLE: &str = "ALSA_CONFIG_PATH";

const OWN: &str = include_str!("minimal.conf");

/// Makes libasound read the built-in configuration, unless the environment names another or the system's can be used. A
/// dynamically linked program can load every plugin that the system's configuration names, so it changes nothing.
///
/// Sets an environment variable: the process must have one thread only.
pub(crate) fn set_own_if_system_unusable() {
    if !cfg!(target_feature = "crt-static") {
        return;
    }
    if std::env::var_os(PATH_VARIABLE).is_some_and(|path| !path.is_empty()) || system_is_usable() {
        return;
    }
    // Without a configuration no card is found, and the station reports that.
    let Ok(path) = in_memory(OWN) else { return };
    // SAFETY: `main` calls this before there is a second thread, so no other thread reads the environment meanwhile.
    unsafe { std::env::set_var(PATH_VARIABLE, path) };
}

/// Whether the system's configuration files exist and name no plugin, which could not be loaded. `99-pulse.conf`, for
/// example, runs a plugin's code while it is read.
fn system_is_usable() -> bool {
    silence_libasound();
    // SAFETY: takes no arguments; libasound has a lock of its own for its global configuration. It keeps what it has
    // read only if all of it is valid.
    let read = unsafe { alsa_sys::snd_config_update() >= 0 };
    read && defines_hw()
}

/// Whether the configuration defines `hw`: without any files libasound accepts an empty configuration.
fn defines_hw() -> bool {
    let mut top = std::ptr::null_mut();
    let mut found = std::ptr::null_mut();
    // SAFETY: both out-pointers outlive the calls; our reference keeps the tree alive until `snd_config_unref`, and
    // what was found in it is not read.
    unsafe {
        if alsa_sys::snd_config_update_ref(&mut top) < 0 {
            return false;
        }
        let known = alsa_sys::snd_config_search(top, c"pcm.hw".as_ptr(), &mut found) >= 0;
        alsa_sys::snd_config_unref(top);
        known
    }
}

/// Puts a text where libasound can open it by its path as long as this process lives; needs no writable file system.
fn in_memory(text: &str) -> io::Result<OsString> {
    let name = CString::new("roomtone-alsa").map_err(io::Error::other)?;
    // SAFETY: the name is a C string that outlives the call; the returned descriptor is checked before it is owned.
    let mut file = unsafe {
        match libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) {
            -1 => return Err(io::Error::last_os_error()),
            descriptor => File::from_raw_fd(descriptor),
        }
    };
    file.write_all(text.as_bytes())?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // Kept open on purpose: the path is valid as long as the descriptor is open.
    let _ = file.into_raw_fd();
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    /// libasound's return code for opening a device with the built-in configuration alone.
    fn open(pcm: &CStr) -> i32 {
        silence_libasound();
        let (mut top, mut opened) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the text outlives the call that reads it; what is opened is closed, and the configuration is deleted.
        unsafe {
            assert_eq!(alsa_sys::snd_config_load_string(&mut top, OWN.as_ptr().cast(), OWN.len()), 0);
            let code =
                alsa_sys::snd_pcm_open_lconf(&mut opened, pcm.as_ptr(), alsa_sys::SND_PCM_STREAM_CAPTURE, 0, top);
            if code == 0 {
                alsa_sys::snd_pcm_close(opened);
            }
            alsa_sys::snd_config_delete(top);
            code
        }
    }

    #[test]
    fn the_built_in_configuration_defines_the_names_that_the_device_list_shows() {
        assert_eq!(open(c"null"), 0);
        // No machine has so many cards: a name that is defined fails because of the number, others because of the name.
        for pcm in [c"hw:CARD=63,DEV=0", c"plughw:CARD=63,DEV=0", c"hw:63,0"] {
            assert_eq!(open(pcm), -libc::EINVAL, "{pcm:?}");
        }
        for pcm in [c"hw:CORD=63", c"nonsense:CARD=63"] {
            assert_eq!(open(pcm), -libc::ENOENT, "{pcm:?}");
        }
    }

    #[test]
    fn the_configuration_can_be_read_by_its_path() {
        assert_eq!(std::fs::read_to_string(in_memory(OWN).unwrap()).unwrap(), OWN);
    }
}
