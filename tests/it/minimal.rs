//! The static binary on a host that has nothing: in a chroot with only this file, without an environment, as nobody. Run
//! by `make static-test`, which names the binary in `ROOMTONE_STATIC` and needs root for chroot, mount and cgroup;
//! ignored otherwise. Times and sizes are printed, never asserted.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::wait_until;
use crate::program::{Listening, get};
use crate::rooms::Peer;
use crate::sound_server::SoundServer;

const NOBODY: &str = "65534:65534";

/// What every start here has in common.
const PLAIN: &[&str] = &["--sine-wave", "--no-tls", "--log-file", "none"];

/// What libasound opens for a PCM of the type `null`, as a card's files would be given to the program.
const DEVICES_OF_NULL: &str = "mkdir dev && touch dev/full && mount --bind /dev/full dev/full";

/// A folder that holds only the binary.
struct Desert(tempfile::TempDir);

impl Desert {
    fn new() -> Desert {
        let binary = std::env::var_os("ROOMTONE_STATIC").expect("ROOMTONE_STATIC names the binary");
        let folder = tempfile::tempdir().unwrap();
        fs::copy(binary, folder.path().join("roomtone")).unwrap();
        // Whoever runs in it must be able to enter it.
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Desert(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file that this host happens to have.
    fn with(self, path: &str, content: impl AsRef<[u8]>) -> Desert {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Shell words that end inside, with nothing but `env`. What is mounted before is gone with the process.
    fn command(&self, before: &str, env: &[(&str, &str)], args: &[&str]) -> Command {
        // Without an environment there is no PATH to look `chroot` up in.
        let chroot = "exec env -i $ENTRY \"$(command -v chroot)\" --userspec=$NOBODY . /roomtone \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &format!("{before}\n{chroot}"), "sh"]).args(args);
        let entry: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        command.env("ENTRY", entry.join(" ")).env("NOBODY", NOBODY).current_dir(self.path());
        command.stdin(Stdio::null());
        command
    }

    fn start(&self, before: &str, env: &[(&str, &str)], args: &[&str]) -> Hermit {
        let port = free_port();
        self.start_at(port, before, env, &[&["--port", &port.to_string()], args].concat())
    }

    fn start_at(&self, port: u16, before: &str, env: &[(&str, &str)], args: &[&str]) -> Hermit {
        let mut command = self.command(before, env, args);
        let errors = tempfile::NamedTempFile::new().unwrap();
        let begun = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(errors.reopen().unwrap()).spawn().unwrap();
        let mut hermit = Hermit { child, port, errors, started_in: Duration::ZERO };
        wait_until("the first answer", || hermit.answers());
        hermit.started_in = begun.elapsed();
        hermit
    }
}

/// Free for TCP a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

/// The program inside; killed when dropped.
struct Hermit {
    child: Child,
    port: u16,
    errors: tempfile::NamedTempFile,
    started_in: Duration,
}

impl Hermit {
    fn answers(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", self.log());
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut answer = [0; 12];
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream.read_exact(&mut answer).is_ok_and(|()| &answer == b"HTTP/1.1 200")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.errors.path()).unwrap()
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn listen(&self, seconds: u32) -> Listening {
        let url = format!("http://{}/whep", self.address());
        Listening::start(&[&url, "--seconds", &seconds.to_string(), "--json"])
    }

    fn status(&self) -> Value {
        let answer = get(self.port, "/api/status");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Until the device delivers; before, listeners are told to come again.
    fn waits_for_sound(&self) {
        wait_until("sound from the device", || {
            // Whoever asks hundreds of times a second is refused.
            thread::sleep(Duration::from_millis(50));
            self.status()["stations"][0]["source"]["state"] == "live"
        });
    }

    /// A line of `/proc/PID/status`, in KiB: the process is the one that was started, all before it was replaced.
    fn memory_kib(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let found = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        found.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Its exit code, after it was asked to stop.
    fn stop(mut self) -> Option<i32> {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Hermit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The page, a room and the tone, seen from outside.
fn serves_all_it_should(hermit: &Hermit) {
    let page = get(hermit.port, "/listen");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("</html>"), "{page}");
    let mut first = Peer::enter_at(hermit.address(), "room=desert");
    let second = Peer::enter_at(hermit.address(), "room=desert");
    assert_eq!(first.hear()["payload"]["id"], json!(second.id));
    hermit.listen(4).wait_for(440.0, 440.0);
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
#[ignore = "make static-test"]
fn the_binary_alone_says_what_it_is() {
    let output = Desert::new().command("", &[], &["--version"]).output().unwrap();
    let said = text(&output);
    assert!(output.status.success() && said.contains("static") && said.contains("features: "), "{said}");
    println!("{said}");
}

#[test]
#[ignore = "make static-test"]
fn nothing_but_the_binary_serves_page_room_and_tone() {
    let hermit = Desert::new().start("", &[], PLAIN);
    serves_all_it_should(&hermit);
    assert_eq!(hermit.stop(), Some(0));
}

#[test]
#[ignore = "make static-test"]
fn https_needs_neither_files_nor_urandom() {
    // There is no /dev at all in there; what is secret comes from the system call.
    let desert = Desert::new();
    let hermit = desert.start("", &[], &["--sine-wave", "--tls-self-signed", "--log-file", "none"]);
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-connect", &hermit.address().to_string()]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.stdin.as_mut().unwrap().write_all(request).unwrap();
    let answer = text(&client.wait_with_output().unwrap());
    assert!(answer.starts_with("HTTP/1.1 200") && answer.trim_end().ends_with("ok"), "{answer}\n{}", hermit.log());
    assert_eq!(hermit.stop(), Some(0));
}

#[test]
#[ignore = "make static-test"]
fn a_root_that_cannot_be_written_is_enough() {
    let read_only = "mount --bind . . && mount -o remount,ro,bind . && cd \"$PWD\" && ! touch written";
    let desert = Desert::new();
    let hermit = desert.start(read_only, &[], PLAIN);
    serves_all_it_should(&hermit);
    assert_eq!(fs::read_dir(desert.path()).unwrap().count(), 1, "something was written");
    assert_eq!(hermit.stop(), Some(0));
}

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
    let usable = include_str!("../../src/audio/alsa/own.conf");
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
    let own = include_str!("../../src/audio/alsa/own.conf").to_owned() + "pcm.converted { type plug slave.pcm null }\n";
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

/// A module of the host's that ends whoever loads it, as one of another libc may.
fn poison(desert: &Desert) {
    let source = desert.path().join("poison.c");
    let library = desert.path().join("lib/x86_64-linux-gnu/libnss_foreign.so.2");
    fs::create_dir_all(library.parent().unwrap()).unwrap();
    fs::write(&source, "__attribute__((constructor)) static void in(void) { __builtin_trap(); }\n").unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-nostdlib", "-o"]).arg(&library).arg(&source).status();
    assert!(built.unwrap().success());
    fs::remove_file(source).unwrap();
}

#[test]
#[ignore = "make static-test"]
fn look_up_modules_of_another_libc_are_left_alone() {
    let foreign = "passwd: foreign\ngroup: foreign\nhosts: foreign\nservices: foreign\n";
    let desert = Desert::new().with("etc/nsswitch.conf", foreign).with("etc/hosts", "127.0.0.1 here\n");
    poison(&desert);
    serves_all_it_should(&desert.start("", &[], PLAIN));
    // The program itself looks up next to nothing, so that proves little. This does: the same words before a look-up.
    for (settled, survives) in [("lookups::settle();", true), ("", false)] {
        compile(desert.path(), settled);
        let output = desert.command("mv resolve roomtone", &[], &[]).output().unwrap();
        assert_eq!(output.status.success(), survives, "{settled}: {:?} {}", output.status, text(&output));
        if survives {
            assert!(text(&output).contains("127.0.0.1"), "{}", text(&output));
        }
    }
}

/// A static program that resolves a name and nothing else.
fn compile(folder: &Path, settled: &str) {
    let lookups = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lookups.rs");
    let source = format!(
        "#[path = {lookups:?}]\n#[allow(dead_code)] mod lookups;\nfn main() {{ {settled}\n\
         let found = std::net::ToSocketAddrs::to_socket_addrs(&(\"here\", 80)).map(|all| all.collect::<Vec<_>>());\n\
         println!(\"{{found:?}}\"); }}"
    );
    let path = folder.join("resolve.rs");
    fs::write(&path, source).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let mut command = Command::new(rustc);
    command
        .args(["--edition", "2024", "-C", "target-feature=+crt-static", "-o"])
        .arg(folder.join("resolve"))
        .arg(&path);
    let built = command.stderr(Stdio::null()).status().unwrap();
    assert!(built.success(), "it cannot be compiled");
}

#[test]
#[ignore = "make static-test"]
fn fifty_listeners_fit_into_64_mb() {
    const LIMIT_BYTES: u64 = 64 * 1024 * 1024;
    const LISTENERS: usize = 50;
    let group = Group::new(LIMIT_BYTES);
    let limit = group.as_ref().map(|group| format!("echo $$ > {}/cgroup.procs", group.0.display()));
    let desert = Desert::new();
    let hermit = desert.start(&limit.unwrap_or_default(), &[], PLAIN);
    let listeners: Vec<_> = (0..LISTENERS).map(|_| hermit.listen(12)).collect();
    wait_until("fifty listeners", || hermit.status()["rtc"]["sessions"].as_u64() == Some(LISTENERS as u64));
    for listener in &listeners {
        listener.wait_for(440.0, 440.0);
    }
    // Where there are no cgroups, what it took is looked at. `ulimit -v` would count stacks and heaps that are only reserved.
    let most_kib = hermit.memory_kib("VmHWM");
    assert!(most_kib * 1024 < LIMIT_BYTES, "{most_kib} KiB");
    let by = if group.is_some() { "held by a cgroup" } else { "there is no cgroup to hold it" };
    println!("50 listeners in 64 MB ({by}): {most_kib} KiB resident at most");
    drop(listeners);
    assert_eq!(hermit.stop(), Some(0));
}

/// A memory cgroup, of either version; None where none can be made.
struct Group(PathBuf);

impl Group {
    fn new(bytes: u64) -> Option<Group> {
        let name = format!("roomtone-{}", std::process::id());
        [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")].into_iter().find_map(
            |(root, file)| {
                let group = Group(Path::new(root).join(&name));
                fs::create_dir(&group.0).ok()?;
                fs::write(group.0.join(file), bytes.to_string()).ok().map(|()| group)
            },
        )
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        wait_until("the group is empty", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
#[ignore = "make static-test"]
fn start_and_idle_memory_are_told() {
    let desert = Desert::new();
    let mut starts: Vec<_> = (0..10).map(|_| desert.start("", &[], PLAIN).started_in).collect();
    starts.sort();
    let hermit = desert.start("", &[], PLAIN);
    thread::sleep(Duration::from_secs(2));
    println!("start to first answer: median {:?}, most {:?}, of 10 (chroot included)", starts[5], starts[9]);
    println!("idle, serving a tone to nobody: {} KiB resident", hermit.memory_kib("VmRSS"));
    let size = fs::metadata(desert.path().join("roomtone")).unwrap().len();
    println!("the binary: {size} bytes");
}

#[test]
#[ignore = "make static-test"]
fn a_supervisor_hears_of_start_life_and_stop() {
    let desert = Desert::new();
    let path = desert.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    let hermit = desert.start("", &[("NOTIFY_SOCKET", "/notify"), ("WATCHDOG_USEC", "200000")], PLAIN);
    let hear = || {
        let mut word = [0; 64];
        let length = socket.recv(&mut word).unwrap();
        String::from_utf8_lossy(&word[..length]).into_owned()
    };
    assert_eq!(hear(), "READY=1");
    assert_eq!([hear(), hear(), hear()], ["WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
    assert_eq!(hermit.stop(), Some(0));
    wait_until("the last word", || hear() == "STOPPING=1");
}

#[test]
#[ignore = "make static-test"]
fn nginx_in_front_passes_on_page_room_and_tone() {
    // Which addresses are somebody's is told at this level only.
    let args = [PLAIN, &["--trust-proxy", "127.0.0.1", "--log-level", "debug"]].concat();
    let hermit = Desert::new().start("", &[], &args);
    let port = free_port();
    // Our own example, but for what belongs to a real name and its certificate.
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy/nginx.conf");
    let example = fs::read_to_string(example).unwrap();
    let server = example.replace("listen 443 ssl", &format!("listen 127.0.0.1:{port}"));
    let server = server.replace("127.0.0.1:8088", &hermit.address().to_string());
    let server: String = server.lines().filter(|line| !line.contains("ssl_")).map(|line| format!("{line}\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().display();
    let config = format!(
        "daemon off; master_process off; user root; pid {inside}/pid; error_log {inside}/errors; events {{}}\nhttp {{ access_log off;\n\
         client_body_temp_path {inside}/body; proxy_temp_path {inside}/proxy;\n{server} }}\n"
    );
    fs::write(folder.path().join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-c").arg(folder.path().join("nginx.conf")).stderr(Stdio::null());
    let nginx = nginx.spawn().expect("nginx is installed (make static-test does it)");
    let mut front =
        Hermit { child: nginx, port, errors: tempfile::NamedTempFile::new().unwrap(), started_in: Duration::ZERO };
    wait_until("nginx's first answer", || front.answers());
    serves_all_it_should(&front);
    // Whom nginx names is whom limits and log are about; what anybody else claims is not believed.
    let claim = "X-Forwarded-For: 198.51.100.7";
    ask_from("127.0.0.3", &front, "/by-proxy", claim);
    wait_until("the client's address", || hermit.log().contains("127.0.0.3:0: GET /by-proxy "));
    ask_from("127.0.0.2", &hermit, "/straight", claim);
    wait_until("the stranger's own address", || {
        hermit.log().lines().any(|line| line.contains(" 127.0.0.2:") && line.contains(": GET /straight "))
    });
    assert_eq!(front.stop(), Some(0));
}

/// A request from one of this host's many addresses.
fn ask_from(address: &str, hermit: &Hermit, path: &str, field: &str) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(address.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&hermit.address().into()).unwrap();
    let mut stream = TcpStream::from(socket);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{field}\r\nConnection: close\r\n\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

/// What our examples for platforms start, each with its way of naming the port.
#[test]
#[ignore = "make static-test"]
fn what_the_examples_for_platforms_start_listens_where_the_platform_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let words = |line: &str| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let after =
        |text: &str, key: &str| text.lines().find_map(|l| Some(l.trim().strip_prefix(key)?.to_owned())).unwrap();
    let listed = |key: &str| serde_json::from_str::<Vec<String>>(&after(&read("Dockerfile"), key)).unwrap();
    let unit = after(&read("roomtone.service"), "ExecStart=");
    let unit = unit.replace("/var/lib/roomtone", "/state").replace("--port 8088", "");
    for args in [
        words(&after(&read("Procfile"), "web: ")),
        words(&after(&read("render.yaml"), "dockerCommand: ")),
        [&listed("ENTRYPOINT ")[1..], &listed("CMD ")].concat(),
        words(&unit),
    ] {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        println!("roomtone {}", args.join(" "));
        let port = free_port().to_string();
        let desert = Desert::new().with("state/.keep", "");
        fs::set_permissions(desert.path().join("state"), PermissionsExt::from_mode(0o777)).unwrap();
        let hermit = desert.start_at(port.parse().unwrap(), "", &[("PORT", &port)], &args);
        assert!(get(hermit.port, "/").starts_with("HTTP/1.1 200"));
        assert_eq!(hermit.stop(), Some(0));
    }
}
