//! Listeners of the running program on several rtc threads: each thread has a port of its own, and the program counts and
//! closes their sessions as if there were one.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;

use crate::harness::listener::Listener;
use crate::harness::loopback_client::connect;
use crate::harness::program::Program;
use crate::harness::wait::wait_until;

const LISTENERS: u8 = 24;

/// The port of the first candidate in an SDP answer.
fn server_port(answer: &str) -> u16 {
    let candidate = answer.lines().find(|line| line.starts_with("a=candidate:")).unwrap();
    candidate.split(' ').nth(5).unwrap().parse().unwrap()
}

#[test]
fn listeners_of_several_threads_receive_the_same_and_are_counted_together() {
    let program =
        Program::start(&["--sine-wave", "--rtc-threads", "3", "--max-listeners", "24", "--log-file", "none"], None);
    let listen = |n| Listener::start(program.port, Ipv4Addr::new(127, 0, 1, n));
    let clients: Vec<Listener> = (0..LISTENERS).map(|n| listen(n).unwrap()).collect();
    wait_until("a second of sound for every listener", || clients.iter().all(|c| c.received().packets >= 50));
    assert!(clients.iter().all(|client| client.received().lost == 0));
    let mut by_port: BTreeMap<u16, usize> = BTreeMap::new();
    clients.iter().for_each(|client| *by_port.entry(server_port(&client.answer)).or_default() += 1);
    assert!(by_port.keys().copied().eq(program.port..program.port + 3), "{by_port:?}");
    assert!(by_port.values().all(|count| *count == 8), "{by_port:?}");
    let listeners = || program.status()["stations"][0]["listeners"].as_u64();
    assert_eq!(listeners(), Some(u64::from(LISTENERS)));
    assert_eq!(program.threads().iter().filter(|(name, ..)| name.starts_with("rtc-")).count(), 3);
    // The limit is one for all threads.
    assert!(listen(LISTENERS).err().is_some_and(|response| response.starts_with("HTTP/1.1 503")));
    // A session can be closed by its path, on any thread.
    for client in &clients[..12] {
        let mut stream = connect(program.port, Ipv4Addr::new(127, 0, 1, 1)).unwrap();
        let path = &client.session_path;
        write!(stream, "DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let response = std::io::read_to_string(stream).unwrap();
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }
    wait_until("twelve listeners fewer", || listeners() == Some(12));
    wait_until("a goodbye to the twelve", || clients[..12].iter().all(|client| client.received().is_closed));
    assert!(clients[12..].iter().all(|client| !client.received().is_closed));
    program.signal("-TERM");
    wait_until("a goodbye to all", || clients.iter().all(|client| client.received().is_closed));
}
