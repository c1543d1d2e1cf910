//! Broken TLS handshakes and requests to renegotiate.

use std::io::Write;
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::harness::random::Random;
use crate::stress::server_under_load::{ServerUnderLoad, WARM_UP_CONNECTIONS};

#[test]
fn a_thousand_connections_with_random_bytes_or_half_a_client_hello() {
    let server = ServerUnderLoad::start(&[], WARM_UP_CONNECTIONS);
    let mut random = Random(7);
    let mut open = vec![];
    for n in 0..1_000 {
        let mut stream = server.connect(n);
        // A TLS record (RFC 8446 §5.1) that announces more bytes than follow, or random bytes only.
        let length = 1 + random.next() as usize % 300;
        let mut bytes = match n % 3 {
            0 => vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
            1 => vec![0x16, 3, 1],
            _ => vec![],
        };
        bytes.extend(random.bytes(length));
        let _ = stream.write_all(&bytes);
        match n % 4 {
            0 => open.push(stream),
            1 => drop(stream.shutdown(Shutdown::Write)),
            _ => {}
        }
    }
    server.assert_recovers();
}

/// A client could make a server compute one handshake after another on one connection (RFC 5746). rustls has no
/// renegotiation for TLS 1.2, and TLS 1.3 has none at all.
#[test]
fn renegotiation_is_refused() {
    let server = ServerUnderLoad::start(&["--tls-self-signed"], WARM_UP_CONNECTIONS);
    for n in 0..5 {
        let mut client = Command::new("openssl")
            .args(["s_client", "-tls1_2", "-connect", &format!("127.0.0.1:{}", server.program.port)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().unwrap();
        // s_client takes `R` at the beginning of a line as the command to renegotiate.
        input.write_all(b"R\n").unwrap();
        thread::sleep(Duration::from_millis(200));
        let _ = input.write_all(b"R\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        thread::sleep(Duration::from_millis(200));
        drop(input);
        let output = client.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("no renegotiation"), "{n}: {errors}");
    }
    server.assert_recovers();
}
