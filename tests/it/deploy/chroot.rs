//! Runs the static binary on a machine that has nothing: in a chroot that holds only this file, without an environment,
//! as an unprivileged user. `ROOMTONE_STATIC` names the binary. Needs root for chroot and mount.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::program::{Listening, get};
use crate::harness::room_peer::RoomPeer;
use crate::harness::wait::wait_until;

/// User and group ids of the unprivileged user.
const NOBODY: &str = "65534:65534";

/// The arguments for a server that plays the test tone.
pub const TONE_ARGS: &[&str] = &["--sine-wave", "--no-tls", "--log-file", "none"];

/// A folder that holds only the binary.
pub struct Chroot(tempfile::TempDir);

impl Chroot {
    pub fn new() -> Chroot {
        let binary = std::env::var_os("ROOMTONE_STATIC").expect("ROOMTONE_STATIC names the binary");
        let folder = tempfile::tempdir().unwrap();
        fs::copy(binary, folder.path().join("roomtone")).unwrap();
        // The unprivileged user must be able to enter it.
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Chroot(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Adds a file.
    pub fn with_file(self, path: &str, content: impl AsRef<[u8]>) -> Chroot {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// A shell that runs `setup` and then becomes the binary inside the chroot, with `env` as its whole environment and
    /// `args` as its arguments. It has a mount namespace of its own: what `setup` mounts disappears with the process.
    pub fn command(&self, setup: &str, env: &[(&str, &str)], args: &[&str]) -> Command {
        // Without an environment there is no PATH to look `chroot` up in.
        let chroot = "exec env -i $ENTRY \"$(command -v chroot)\" --userspec=$NOBODY . /roomtone \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &format!("{setup}\n{chroot}"), "sh"]).args(args);
        let entry: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        command.env("ENTRY", entry.join(" ")).env("NOBODY", NOBODY).current_dir(self.path());
        command.stdin(Stdio::null());
        command
    }

    /// Starts the binary on an unused port and waits until it answers.
    pub fn start(&self, setup: &str, env: &[(&str, &str)], args: &[&str]) -> Server {
        let port = unused_port();
        self.start_at(port, setup, env, &[&["--port", &port.to_string()], args].concat())
    }

    /// As `start`, with `args` that make it listen on `port`.
    pub fn start_at(&self, port: u16, setup: &str, env: &[(&str, &str)], args: &[&str]) -> Server {
        let mut command = self.command(setup, env, args);
        let stderr = tempfile::NamedTempFile::new().unwrap();
        let started = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(stderr.reopen().unwrap()).spawn().unwrap();
        let mut server = Server { child, port, stderr, started_in: Duration::ZERO };
        wait_until("the first answer", || server.is_healthy());
        server.started_in = started.elapsed();
        server
    }
}

/// A port that was unused for TCP a moment ago.
pub fn unused_port() -> u16 {
    TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

/// A running server, in the chroot or in front of it; killed when dropped.
pub struct Server {
    pub child: Child,
    pub port: u16,
    pub stderr: tempfile::NamedTempFile,
    /// Time from start to the first answer.
    pub started_in: Duration,
}

impl Server {
    /// Whether `/healthz` answers 200. Panics if the process has ended.
    pub fn is_healthy(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", self.log());
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut answer = [0; 12];
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream.read_exact(&mut answer).is_ok_and(|()| &answer == b"HTTP/1.1 200")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.stderr.path()).unwrap()
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

    /// Waits until the device delivers. Before, listeners are refused with 503.
    pub fn wait_until_live(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.status()["stations"][0]["source"]["state"] != "live" {
            assert!(Instant::now() < deadline, "no sound from the device: {}", self.log());
            // A client that sends hundreds of requests a second is refused.
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A line of `/proc/PID/status`, in KiB. The process is the server: shell and chroot were replaced by it (exec).
    pub fn memory_kib(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let found = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        found.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Stops it with SIGTERM; returns its exit code.
    pub fn stop(mut self) -> Option<i32> {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Checks from outside that the page, a room and the tone are served.
pub fn check_page_room_and_tone(server: &Server) {
    let page = get(server.port, "/listen");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("</html>"), "{page}");
    let mut first = RoomPeer::join_at(server.address(), "room=chroot");
    let second = RoomPeer::join_at(server.address(), "room=chroot");
    assert_eq!(first.receive()["payload"]["id"], json!(second.id));
    server.listen(4).wait_for(440.0, 440.0);
}

/// What a process printed on both streams.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
