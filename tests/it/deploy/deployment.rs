//! The static binary as `examples/deploy` runs it: watched by systemd, behind nginx, started by hosting platforms. Run
//! by `make static-test`; ignored otherwise.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::chroot::{Chroot, Server, TONE_ARGS, check_page_room_and_tone, unused_port};
use crate::harness::program::get;
use crate::harness::wait::wait_until;

#[test]
#[ignore = "make static-test"]
fn systemd_is_notified_of_start_watchdog_and_stop() {
    let chroot = Chroot::new();
    let path = chroot.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    let server = chroot.start("", &[("NOTIFY_SOCKET", "/notify"), ("WATCHDOG_USEC", "200000")], TONE_ARGS);
    let receive = || {
        let mut message = [0; 64];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    assert_eq!(receive(), "READY=1");
    assert_eq!([receive(), receive(), receive()], ["WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
    assert_eq!(server.stop(), Some(0));
    wait_until("STOPPING=1", || receive() == "STOPPING=1");
}

#[test]
#[ignore = "make static-test"]
fn page_room_and_tone_are_served_through_nginx() {
    // Clients' addresses are logged only at this level.
    let args = [TONE_ARGS, &["--trust-proxy", "127.0.0.1", "--log-level", "debug"]].concat();
    let server = Chroot::new().start("", &[], &args);
    let port = unused_port();
    // The example, without the lines for a domain's certificate.
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy/nginx.conf");
    let example = fs::read_to_string(example).unwrap();
    let site = example.replace("listen 443 ssl", &format!("listen 127.0.0.1:{port}"));
    let site = site.replace("127.0.0.1:8088", &server.address().to_string());
    let site: String = site.lines().filter(|line| !line.contains("ssl_")).map(|line| format!("{line}\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().display();
    let config = format!(
        "daemon off; master_process off; user root; pid {inside}/pid; error_log {inside}/errors; events {{}}\nhttp {{ access_log off;\n\
         client_body_temp_path {inside}/body; proxy_temp_path {inside}/proxy;\n{site} }}\n"
    );
    fs::write(folder.path().join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-c").arg(folder.path().join("nginx.conf")).stderr(Stdio::null());
    let nginx = nginx.spawn().expect("nginx is installed (make static-test does it)");
    let mut proxy =
        Server { child: nginx, port, stderr: tempfile::NamedTempFile::new().unwrap(), started_in: Duration::ZERO };
    wait_until("nginx's first answer", || proxy.is_healthy());
    check_page_room_and_tone(&proxy);
    // Limits and log use the client's address that nginx names. From other clients the header is ignored.
    let forged = "X-Forwarded-For: 198.51.100.7";
    request_from("127.0.0.3", &proxy, "/by-proxy", forged);
    wait_until("the address that nginx names", || server.log().contains("127.0.0.3:0: GET /by-proxy "));
    request_from("127.0.0.2", &server, "/direct", forged);
    wait_until("the address of the direct client", || {
        server.log().lines().any(|line| line.contains(" 127.0.0.2:") && line.contains(": GET /direct "))
    });
    assert_eq!(proxy.stop(), Some(0));
}

/// Sends a request from one of this machine's many loopback addresses.
fn request_from(address: &str, server: &Server, path: &str, header: &str) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(address.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&server.address().into()).unwrap();
    let mut stream = TcpStream::from(socket);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
#[ignore = "make static-test"]
fn the_commands_of_the_platform_examples_listen_on_the_port_that_the_platform_names() {
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
        let port = unused_port().to_string();
        let chroot = Chroot::new().with_file("state/.keep", "");
        std::os::unix::fs::chown(chroot.path().join("state"), Some(65534), Some(65534)).unwrap();
        let server = chroot.start_at(port.parse().unwrap(), "", &[("PORT", &port)], &args);
        assert!(get(server.port, "/").starts_with("HTTP/1.1 200"));
        assert_eq!(server.stop(), Some(0));
    }
}
