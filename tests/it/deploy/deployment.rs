//! The binary alone as `examples/deploy` puts it somewhere: watched by a supervisor, behind nginx, started as platforms do.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::static_file::{Desert, Hermit, PLAIN, free_port, serves_all_it_should};
use crate::harness::program::get;
use crate::harness::wait::wait_until;

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
