//! The static binary on a machine that has nothing, see `chroot`. Run by `make static-test`, which names the binary in
//! `ROOMTONE_STATIC` and needs root for chroot, mount and cgroup; ignored otherwise. Times and sizes are printed, never
//! asserted.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::chroot::{Chroot, TONE_ARGS, check_page_room_and_tone, text};
use crate::harness::wait::wait_until;

#[test]
#[ignore = "make static-test"]
fn version_names_the_static_build_and_its_features() {
    let output = Chroot::new().command("", &[], &["--version"]).output().unwrap();
    let said = text(&output);
    assert!(output.status.success() && said.contains("static") && said.contains("features: "), "{said}");
    println!("{said}");
}

#[test]
#[ignore = "make static-test"]
fn the_binary_needs_no_other_file_to_serve_page_room_and_tone() {
    let server = Chroot::new().start("", &[], TONE_ARGS);
    check_page_room_and_tone(&server);
    assert_eq!(server.stop(), Some(0));
}

#[test]
#[ignore = "make static-test"]
fn https_needs_neither_certificate_files_nor_dev_urandom() {
    // The chroot has no /dev; random numbers come from the system call.
    let chroot = Chroot::new();
    let server = chroot.start("", &[], &["--sine-wave", "--tls-self-signed", "--log-file", "none"]);
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-connect", &server.address().to_string()]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.stdin.as_mut().unwrap().write_all(request).unwrap();
    let answer = text(&client.wait_with_output().unwrap());
    assert!(answer.starts_with("HTTP/1.1 200") && answer.trim_end().ends_with("ok"), "{answer}\n{}", server.log());
    assert_eq!(server.stop(), Some(0));
}

#[test]
#[ignore = "make static-test"]
fn the_binary_runs_on_a_read_only_file_system() {
    let read_only = "mount --bind . . && mount -o remount,ro,bind . && cd \"$PWD\" && ! touch written";
    let chroot = Chroot::new();
    let server = chroot.start(read_only, &[], TONE_ARGS);
    check_page_room_and_tone(&server);
    assert_eq!(fs::read_dir(chroot.path()).unwrap().count(), 1, "the server wrote a file");
    assert_eq!(server.stop(), Some(0));
}

/// Adds a name service module that kills the process that loads it, as a module of another libc can.
fn add_fatal_nss_module(chroot: &Chroot) {
    let source = chroot.path().join("fatal.c");
    let library = chroot.path().join("lib/x86_64-linux-gnu/libnss_foreign.so.2");
    fs::create_dir_all(library.parent().unwrap()).unwrap();
    fs::write(&source, "__attribute__((constructor)) static void load(void) { __builtin_trap(); }\n").unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-nostdlib", "-o"]).arg(&library).arg(&source).status();
    assert!(built.unwrap().success());
    fs::remove_file(source).unwrap();
}

#[test]
#[ignore = "make static-test"]
fn name_service_modules_of_another_libc_are_not_loaded() {
    let foreign = "passwd: foreign\ngroup: foreign\nhosts: foreign\nservices: foreign\n";
    let chroot = Chroot::new().with_file("etc/nsswitch.conf", foreign).with_file("etc/hosts", "127.0.0.1 here\n");
    add_fatal_nss_module(&chroot);
    check_page_room_and_tone(&chroot.start("", &[], TONE_ARGS));
    // The server itself looks up almost no names, so that alone proves little. So the same call is made before a
    // look-up.
    for (call, survives) in [("nss::use_linked_modules();", true), ("", false)] {
        compile_resolver(chroot.path(), call);
        let output = chroot.command("mv resolve roomtone", &[], &[]).output().unwrap();
        assert_eq!(output.status.success(), survives, "{call}: {:?} {}", output.status, text(&output));
        if survives {
            assert!(text(&output).contains("127.0.0.1"), "{}", text(&output));
        }
    }
}

/// Compiles a static program that makes `call` and resolves a name.
fn compile_resolver(folder: &Path, call: &str) {
    let nss = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/os/nss.rs");
    let source = format!(
        "#[path = {nss:?}]\n#[allow(dead_code)] mod nss;\nfn main() {{ {call}\n\
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
    assert!(built.success(), "the resolver does not compile");
}

#[test]
#[ignore = "make static-test"]
fn fifty_listeners_fit_into_64_mb() {
    const LIMIT_BYTES: u64 = 64 * 1024 * 1024;
    const LISTENERS: usize = 50;
    let group = MemoryCgroup::new(LIMIT_BYTES);
    let limit = group.as_ref().map(|group| format!("echo $$ > {}/cgroup.procs", group.0.display()));
    let chroot = Chroot::new();
    let server = chroot.start(&limit.unwrap_or_default(), &[], TONE_ARGS);
    let listeners: Vec<_> = (0..LISTENERS).map(|_| server.listen(12)).collect();
    wait_until("fifty listeners", || server.status()["rtc"]["sessions"].as_u64() == Some(LISTENERS as u64));
    for listener in &listeners {
        listener.wait_for(440.0, 440.0);
    }
    // Without a cgroup nothing holds it to the limit, so its peak is checked too. `ulimit -v` would count stacks and
    // heaps that are only reserved.
    let peak_kib = server.memory_kib("VmHWM");
    assert!(peak_kib * 1024 < LIMIT_BYTES, "{peak_kib} KiB");
    let by = if group.is_some() { "limited by a cgroup" } else { "no cgroup available" };
    println!("50 listeners in 64 MB ({by}): {peak_kib} KiB resident at the peak");
    drop(listeners);
    assert_eq!(server.stop(), Some(0));
}

/// A memory cgroup, of version 1 or 2; removed when dropped.
struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    /// `None` if no cgroup can be created here.
    fn new(bytes: u64) -> Option<MemoryCgroup> {
        let name = format!("roomtone-{}", std::process::id());
        [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")].into_iter().find_map(
            |(root, file)| {
                let group = MemoryCgroup(Path::new(root).join(&name));
                fs::create_dir(&group.0).ok()?;
                fs::write(group.0.join(file), bytes.to_string()).ok().map(|()| group)
            },
        )
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        wait_until("the cgroup is empty", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
#[ignore = "make static-test"]
fn start_time_and_idle_memory_are_printed() {
    let chroot = Chroot::new();
    let mut starts: Vec<_> = (0..10).map(|_| chroot.start("", &[], TONE_ARGS).started_in).collect();
    starts.sort();
    let server = chroot.start("", &[], TONE_ARGS);
    thread::sleep(Duration::from_secs(2));
    println!("start to first answer: median {:?}, longest {:?} of 10 (including chroot)", starts[5], starts[9]);
    println!("idle, a tone without listeners: {} KiB resident", server.memory_kib("VmRSS"));
    let size = fs::metadata(chroot.path().join("roomtone")).unwrap().len();
    println!("the binary: {size} bytes");
}
