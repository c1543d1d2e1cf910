//! Stopping the program while many clients are connected.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::loopback_client::connect;
use crate::harness::wait::wait_until;
use crate::stress::server_under_load::{LISTENER_ADDRESS, ServerUnderLoad, WARM_UP_CONNECTIONS};

#[test]
fn sigterm_ends_the_program_within_three_seconds_and_tells_every_client() {
    let server = ServerUnderLoad::start(&[], WARM_UP_CONNECTIONS);
    let mut peers: Vec<TcpStream> = (0..50).map(|n| server.join_room(n)).collect();
    let silent: Vec<TcpStream> = (0..50).map(|n| server.connect(n)).collect();
    let ServerUnderLoad { mut program, listener, .. } = server;
    let (begun, port) = (Instant::now(), program.port);
    program.signal("-TERM");
    wait_until("new connections to be refused", || {
        connect(port, LISTENER_ADDRESS).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    assert_eq!(program.wait(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "stopped after {:?}", begun.elapsed());
    for peer in &mut peers {
        let mut rest = vec![];
        let _ = peer.read_to_end(&mut rest);
        let messages = String::from_utf8_lossy(&rest);
        assert!(messages.contains("\"going-away\""), "{messages}");
    }
    wait_until("a goodbye to the listener", || listener.received().is_closed);
    drop(silent);
}
