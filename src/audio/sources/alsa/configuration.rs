//! A small configuration of our own for libasound, where the system's cannot be used: in a statically linked program, which
//! can load no plugins, and on hosts that have none. Settled once by `main`, before there are threads. It knows the cards
//! themselves and nothing else; sound servers are reached without libasound.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};

use crate::audio::sources::alsa::messages::silence;

/// libasound's name for the files it reads; whoever sets it means it.
const PATH: &str = "ALSA_CONFIG_PATH";

const OWN: &str = include_str!("minimal.conf");

/// Hands libasound our configuration, unless somebody named another or the system's can be used. A program that is linked
/// dynamically can load whatever the system's configuration asks for and needs none of this.
pub(crate) fn settle() {
    if !cfg!(target_feature = "crt-static") {
        return;
    }
    if std::env::var_os(PATH).is_some_and(|path| !path.is_empty()) || system_is_usable() {
        return;
    }
    // Without it there are no cards, and the station says that it has none.
    let Ok(path) = in_memory(OWN) else { return };
    // SAFETY: `main` calls this before there is a second thread, so nobody reads the environment meanwhile.
    unsafe { std::env::set_var(PATH, path) };
}

/// Whether the files are there and ask for nothing that cannot be loaded: `99-pulse.conf`, say, runs a plugin's code while
/// it is read.
fn system_is_usable() -> bool {
    silence();
    // SAFETY: takes no arguments; libasound has a lock of its own for its global configuration. What it has read is kept
    // only if all of it was good.
    let read = unsafe { alsa_sys::snd_config_update() >= 0 };
    read && names_a_card()
}

/// Whether `hw` is known: without any files libasound is content with an empty configuration.
fn names_a_card() -> bool {
    let mut top = std::ptr::null_mut();
    let mut found = std::ptr::null_mut();
    // SAFETY: both out-pointers outlive the calls; the tree is held by its reference until it is given back, and what was
    // found in it is not looked at.
    unsafe {
        if alsa_sys::snd_config_update_ref(&mut top) < 0 {
            return false;
        }
        let known = alsa_sys::snd_config_search(top, c"pcm.hw".as_ptr(), &mut found) >= 0;
        alsa_sys::snd_config_unref(top);
        known
    }
}

/// Puts a text where libasound can open it by name as long as this process lives, without a file system that can be written.
fn in_memory(text: &str) -> io::Result<OsString> {
    let name = CString::new("roomtone-alsa").map_err(io::Error::other)?;
    // SAFETY: the name is a C string that outlives the call; what is returned is checked before it is owned.
    let mut file = unsafe {
        match libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) {
            -1 => return Err(io::Error::last_os_error()),
            descriptor => File::from_raw_fd(descriptor),
        }
    };
    file.write_all(text.as_bytes())?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // Kept open on purpose: the name is good for as long as the descriptor is.
    let _ = file.into_raw_fd();
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    /// How libasound answers to opening a device with our configuration alone.
    fn open(pcm: &CStr) -> i32 {
        silence();
        let (mut top, mut opened) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the text outlives the call that reads it, and all that is made is given back.
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
    fn our_configuration_knows_the_cards_by_the_names_that_are_shown() {
        assert_eq!(open(c"null"), 0);
        // No host has so many cards: what is understood fails for the number's sake, what is not for its name's.
        for pcm in [c"hw:CARD=63,DEV=0", c"plughw:CARD=63,DEV=0", c"hw:63,0"] {
            assert_eq!(open(pcm), -libc::EINVAL, "{pcm:?}");
        }
        for pcm in [c"hw:CORD=63", c"nonsense:CARD=63"] {
            assert_eq!(open(pcm), -libc::ENOENT, "{pcm:?}");
        }
    }

    #[test]
    fn the_configuration_can_be_read_by_its_name() {
        assert_eq!(std::fs::read_to_string(in_memory(OWN).unwrap()).unwrap(), OWN);
    }
}
