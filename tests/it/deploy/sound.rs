//! Sources of sound for the static binary in a chroot: a sound server whose socket is bind-mounted, and ALSA devices.
//! Run by `make static-test`; ignored otherwise.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::chroot::{Chroot, TONE_ARGS, text};
use crate::harness::sound_server::SoundServer;

/// Mounts `/dev/full`, which libasound opens for a PCM of type `null`, as the device files of a card would be mounted.
const MOUNT_DEVICES_OF_NULL: &str = "mkdir dev && touch dev/full && mount --bind /dev/full dev/full";

#[test]
#[ignore = "make static-test"]
fn sound_is_captured_from_a_pulseaudio_server_whose_socket_is_bind_mounted() {
    let sound_server = SoundServer::start();
    let tones = sound_server.tones(500.0, 800.0, 60);
    let _player = sound_server.play(&tones, "vout");
    let chroot = Chroot::new().with_file("pulse/native", "");
    let socket = sound_server.socket();
    let bind = format!("mount --bind {} pulse/native", socket.display());
    let open = PermissionsExt::from_mode(0o777);
    fs::set_permissions(&socket, open).unwrap();
    // Without a cookie the server accepts only its own user, so the binary runs as that user.
    let server = chroot.start(
        &format!("{bind}; NOBODY=0:0"),
        &[("PULSE_SERVER", "unix:/pulse/native")],
        &["--loopback", "--no-tls", "--log-file", "none"],
    );
    server.wait_until_live();
    server.listen(20).wait_for(500.0, 800.0);
    assert_eq!(server.stop(), Some(0));
}

#[test]
#[ignore = "make static-test"]
fn sound_is_captured_from_an_alsa_device_of_a_given_configuration() {
    let chroot = Chroot::new().with_file("null", "").with_file(
        "asound.conf",
        "pcm.mic { type file\n slave.pcm { type null }\n file /null\n infile /mic\n format raw\n \
         hint { show on\n description \"a FIFO\" } }\n",
    );
    let fifo = chroot.path().join("mic");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for name in ["mic", "null"] {
        fs::set_permissions(chroot.path().join(name), PermissionsExt::from_mode(0o666)).unwrap();
    }
    thread::spawn(move || write_tone(&fifo, 600.0));
    let card = ["--input-device", "alsa:mic", "--no-tls", "--log-file", "none"];
    let server = chroot.start(MOUNT_DEVICES_OF_NULL, &[("ALSA_CONFIG_PATH", "/asound.conf")], &card);
    server.wait_until_live();
    server.listen(20).wait_for(600.0, 600.0);
    assert_eq!(server.stop(), Some(0));
}

/// Writes a tone for a minute in real time, 32-bit floats at 48 kHz in stereo.
fn write_tone(fifo: &Path, hz: f64) {
    // Open for both, so that it stays open between two readers: the program lists the device before it opens it.
    let Ok(mut pipe) = fs::OpenOptions::new().read(true).write(true).open(fifo) else { return };
    let block_time = Duration::from_millis(10);
    let mut due = Instant::now();
    for block in 0..6_000_u32 {
        let samples = (block * 480..(block + 1) * 480).flat_map(|n| {
            let sample = 0.3 * (std::f64::consts::TAU * hz * f64::from(n) / 48_000.0).sin();
            [(sample as f32).to_le_bytes(); 2].concat()
        });
        if pipe.write_all(&samples.collect::<Vec<u8>>()).is_err() {
            return;
        }
        // A full pipe delays the tone; nothing is made up for.
        due = (due + block_time).max(Instant::now());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[test]
#[ignore = "make static-test"]
fn a_configuration_that_needs_plugins_is_replaced_by_the_built_in_one() {
    // As in a distribution's 99-pulse.conf.
    let plugins = "@hooks [ { func load files [ \"/etc/none\" ] errors false } ]\n\
                   hook_func.wanted { lib \"libasound_module_conf_pulse.so\" func \"conf_pulse_hook_load_if_running\" }\n\
                   @hooks [ { func wanted files [ ] } ]\n";
    let usable = include_str!("../../../src/audio/sources/alsa/minimal.conf");
    let with = |text: &str| Chroot::new().with_file("usr/share/alsa/alsa.conf", text);
    let bind = "mkdir -p proc && mount -t proc proc proc";
    for (chroot, replaced) in [(Chroot::new(), true), (with(plugins), true), (with(usable), false)] {
        let listed = chroot.command(bind, &[], &["--list-devices"]).output().unwrap();
        assert!(listed.status.success(), "{}", text(&listed));
        let absent = chroot.command(bind, &[], &["--input-device", "alsa:plughw:CARD=63,DEV=0"]).output().unwrap();
        assert_eq!(absent.status.code(), Some(4), "{}", text(&absent));
        let server = chroot.start(bind, &[], TONE_ARGS);
        let open = fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap();
        let mut open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        assert_eq!(open.any(|file| file.to_string_lossy().contains("memfd:roomtone-alsa")), replaced);
    }
}

#[test]
#[ignore = "make static-test"]
fn the_static_libasound_contains_what_the_built_in_configuration_names() {
    const PROBE: &str = r#"
        #include <alsa/asoundlib.h>
        int main(int count, char **names) {
            for (int n = 1; n < count; n++) {
                snd_pcm_t *pcm;
                int code = snd_pcm_open(&pcm, names[n], SND_PCM_STREAM_CAPTURE, 0);
                printf("%s %s\n", names[n], code ? snd_strerror(code) : "opened");
                if (!code) snd_pcm_close(pcm);
            }
            return 0;
        }"#;
    let own = include_str!("../../../src/audio/sources/alsa/minimal.conf").to_owned()
        + "pcm.converted { type plug slave.pcm null }\n";
    let chroot = Chroot::new().with_file("own.conf", own).with_file("probe.c", PROBE);
    let binary = PathBuf::from(std::env::var_os("ROOMTONE_STATIC").unwrap());
    let library = binary.with_file_name("alsa").join("libasound.a");
    let mut compiler = Command::new("cc");
    compiler.args(["-static-pie", "probe.c"]).arg(library).args(["-lm", "-o", "roomtone"]).current_dir(chroot.path());
    let compiled = compiler.output().unwrap();
    assert!(compiled.status.success(), "{}", text(&compiled));
    // The chroot has no card: opening a defined name fails because of the card, another because of the name.
    let card = "hw:CARD=63,DEV=0";
    let names = ["null", "converted", card, &format!("plug{card}"), "nonsense:CARD=63"];
    let command = chroot.command(MOUNT_DEVICES_OF_NULL, &[("ALSA_CONFIG_PATH", "/own.conf")], &names).output();
    let output = command.unwrap();
    let printed = text(&output);
    for opened in ["null opened", "converted opened"] {
        assert!(printed.contains(opened), "{printed}");
    }
    assert!(printed.contains("Unknown PCM nonsense:CARD=63") && !printed.contains("Unknown PCM hw"), "{printed}");
    assert!(!printed.contains("Unknown PCM plughw") && !printed.contains("plughw:CARD=63,DEV=0 opened"), "{printed}");
}
