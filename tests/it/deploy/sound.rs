//! Where the binary alone hears from: a sound server whose socket is bound in, and what libasound can reach.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::static_file::{Desert, PLAIN, text};
use crate::harness::sound_server::SoundServer;

/// What libasound opens for a PCM of the type `null`, as a card's files would be given to the program.
const DEVICES_OF_NULL: &str = "mkdir dev && touch dev/full && mount --bind /dev/full dev/full";

#[test]
#[ignore = "make static-test"]
fn sound_comes_from_a_pulse_server_whose_socket_is_bound_in() {
    let server = SoundServer::start();
    let tones = server.tones(500.0, 800.0, 60);
    let _player = server.play(&tones, "vout");
    let desert = Desert::new().with("pulse/native", "");
    let socket = server.socket();
    let bind = format!("mount --bind {} pulse/native", socket.display());
    let open = PermissionsExt::from_mode(0o777);
    fs::set_permissions(&socket, open).unwrap();
    // The server knows its own user without a cookie, and strangers by it; so this is run as that user.
    let hermit = desert.start(
        &format!("{bind}; NOBODY=0:0"),
        &[("PULSE_SERVER", "unix:/pulse/native")],
        &["--loopback", "--no-tls", "--log-file", "none"],
    );
    hermit.waits_for_sound();
    hermit.listen(20).wait_for(500.0, 800.0);
    assert_eq!(hermit.stop(), Some(0));
}

#[test]
#[ignore = "make static-test"]
fn a_sound_card_of_alsa_is_heard_by_a_configuration_of_ones_own() {
    let desert = Desert::new().with("null", "").with(
        "asound.conf",
        "pcm.mic { type file\n slave.pcm { type null }\n file /null\n infile /mic\n format raw\n \
         hint { show on\n description \"a FIFO\" } }\n",
    );
    let fifo = desert.path().join("mic");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for name in ["mic", "null"] {
        fs::set_permissions(desert.path().join(name), PermissionsExt::from_mode(0o666)).unwrap();
    }
    thread::spawn(move || play_into(&fifo, 600.0));
    let card = ["--input-device", "alsa:mic", "--no-tls", "--log-file", "none"];
    let hermit = desert.start(DEVICES_OF_NULL, &[("ALSA_CONFIG_PATH", "/asound.conf")], &card);
    hermit.waits_for_sound();
    hermit.listen(20).wait_for(600.0, 600.0);
    assert_eq!(hermit.stop(), Some(0));
}

/// A tone in real time, 32-bit floats at 48 kHz in stereo, until nobody reads it any more.
fn play_into(fifo: &Path, hz: f64) {
    let Ok(mut pipe) = fs::OpenOptions::new().write(true).open(fifo) else { return };
    let begun = Instant::now();
    for block in 0..6_000_u32 {
        let samples = (block * 480..(block + 1) * 480).flat_map(|n| {
            let sample = 0.3 * (std::f64::consts::TAU * hz * f64::from(n) / 48_000.0).sin();
            [(sample as f32).to_le_bytes(); 2].concat()
        });
        if pipe.write_all(&samples.collect::<Vec<u8>>()).is_err() {
            return;
        }
        let due = begun + Duration::from_millis(10) * block;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[test]
#[ignore = "make static-test"]
fn a_configuration_that_asks_for_plugins_is_replaced_by_our_own() {
    // As a distribution's 99-pulse.conf does.
    let plugins = "@hooks [ { func load files [ \"/etc/none\" ] errors false } ]\n\
                   hook_func.wanted { lib \"libasound_module_conf_pulse.so\" func \"conf_pulse_hook_load_if_running\" }\n\
                   @hooks [ { func wanted files [ ] } ]\n";
    let usable = include_str!("../../../src/audio/sources/alsa/minimal.conf");
    let with = |text: &str| Desert::new().with("usr/share/alsa/alsa.conf", text);
    let bind = "mkdir -p proc && mount -t proc proc proc";
    for (desert, replaced) in [(Desert::new(), true), (with(plugins), true), (with(usable), false)] {
        let listed = desert.command(bind, &[], &["--list-devices"]).output().unwrap();
        assert!(listed.status.success(), "{}", text(&listed));
        let absent = desert.command(bind, &[], &["--input-device", "alsa:plughw:CARD=63,DEV=0"]).output().unwrap();
        assert_eq!(absent.status.code(), Some(4), "{}", text(&absent));
        let hermit = desert.start(bind, &[], PLAIN);
        let open = fs::read_dir(format!("/proc/{}/fd", hermit.child.id())).unwrap();
        let mut open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        assert_eq!(open.any(|file| file.to_string_lossy().contains("memfd:roomtone-alsa")), replaced);
    }
}

#[test]
#[ignore = "make static-test"]
fn what_our_configuration_names_is_part_of_the_static_libasound() {
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
    let desert = Desert::new().with("own.conf", own).with("probe.c", PROBE);
    let binary = PathBuf::from(std::env::var_os("ROOMTONE_STATIC").unwrap());
    let library = binary.with_file_name("alsa").join("libasound.a");
    let mut compiler = Command::new("cc");
    compiler.args(["-static-pie", "probe.c"]).arg(library).args(["-lm", "-o", "roomtone"]).current_dir(desert.path());
    let compiled = compiler.output().unwrap();
    assert!(compiled.status.success(), "{}", text(&compiled));
    // There is no card here; a name that is understood fails for the card's sake.
    let card = "hw:CARD=63,DEV=0";
    let names = ["null", "converted", card, &format!("plug{card}"), "nonsense:CARD=63"];
    let command = desert.command(DEVICES_OF_NULL, &[("ALSA_CONFIG_PATH", "/own.conf")], &names).output();
    let output = command.unwrap();
    let said = text(&output);
    for opened in ["null opened", "converted opened"] {
        assert!(said.contains(opened), "{said}");
    }
    assert!(said.contains("Unknown PCM nonsense:CARD=63") && !said.contains("Unknown PCM hw"), "{said}");
    assert!(!said.contains("Unknown PCM plughw") && !said.contains("plughw:CARD=63,DEV=0 opened"), "{said}");
}
