//! The static binary on a host that has nothing: in a chroot with only this file, without an environment, as nobody. Run
//! by `make static-test`, which names the binary in `ROOMTONE_STATIC` and needs root for chroot, mount and cgroup;
//! ignored otherwise. Times and sizes are printed, never asserted.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::program::{Listening, get};
use crate::harness::wait::wait_until;
use crate::signal::rooms::Peer;

const NOBODY: &str = "65534:65534";

/// What every start here has in common.
pub const PLAIN: &[&str] = &["--sine-wave", "--no-tls", "--log-file", "none"];

/// A folder that holds only the binary.
pub struct Desert(tempfile::TempDir);

impl Desert {
    pub fn new() -> Desert {
        let binary = std::env::var_os("ROOMTONE_STATIC").expect("ROOMTONE_STATIC names the binary");
        let folder = tempfile::tempdir().unwrap();
        fs::copy(binary, folder.path().join("roomtone")).unwrap();
        // Whoever runs in it must be able to enter it.
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Desert(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file that this host happens to have.
    pub fn with(self, path: &str, content: impl AsRef<[u8]>) -> Desert {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Shell words that end inside, with nothing but `env`. What is mounted before is gone with the process.
    pub fn command(&self, before: &str, env: &[(&str, &str)], args: &[&str]) -> Command {
        // Without an environment there is no PATH to look `chroot` up in.
        let chroot = "exec env -i $ENTRY \"$(command -v chroot)\" --userspec=$NOBODY . /roomtone \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &format!("{before}\n{chroot}"), "sh"]).args(args);
        let entry: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        command.env("ENTRY", entry.join(" ")).env("NOBODY", NOBODY).current_dir(self.path());
        command.stdin(Stdio::null());
        command
    }

    pub fn start(&self, before: &str, env: &[(&str, &str)], args: &[&str]) -> Hermit {
        let port = free_port();
        self.start_at(port, before, env, &[&["--port", &port.to_string()], args].concat())
    }

    pub fn start_at(&self, port: u16, before: &str, env: &[(&str, &str)], args: &[&str]) -> Hermit {
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
pub fn free_port() -> u16 {
    TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

/// The program inside; killed when dropped.
pub struct Hermit {
    pub child: Child,
    pub port: u16,
    pub errors: tempfile::NamedTempFile,
    pub started_in: Duration,
}

impl Hermit {
    pub fn answers(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", self.log());
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut answer = [0; 12];
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream.read_exact(&mut answer).is_ok_and(|()| &answer == b"HTTP/1.1 200")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.errors.path()).unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn listen(&self, seconds: u32) -> Listening {
        let url = format!("http://{}/whep", self.address());
        Listening::start(&[&url, "--seconds", &seconds.to_string(), "--json"])
    }

    pub fn status(&self) -> Value {
        let answer = get(self.port, "/api/status");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Until the device delivers; before, listeners are told to come again.
    pub fn waits_for_sound(&self) {
        wait_until("sound from the device", || {
            // Whoever asks hundreds of times a second is refused.
            thread::sleep(Duration::from_millis(50));
            self.status()["stations"][0]["source"]["state"] == "live"
        });
    }

    /// A line of `/proc/PID/status`, in KiB: the process is the one that was started, all before it was replaced.
    pub fn memory_kib(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let found = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        found.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Its exit code, after it was asked to stop.
    pub fn stop(mut self) -> Option<i32> {
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
pub fn serves_all_it_should(hermit: &Hermit) {
    let page = get(hermit.port, "/listen");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("</html>"), "{page}");
    let mut first = Peer::enter_at(hermit.address(), "room=desert");
    let second = Peer::enter_at(hermit.address(), "room=desert");
    assert_eq!(first.hear()["payload"]["id"], json!(second.id));
    hermit.listen(4).wait_for(440.0, 440.0);
}

pub fn text(output: &Output) -> String {
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
    for (settled, survives) in [("nss::settle();", true), ("", false)] {
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
    let nss = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/os/nss.rs");
    let source = format!(
        "#[path = {nss:?}]\n#[allow(dead_code)] mod nss;\nfn main() {{ {settled}\n\
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
