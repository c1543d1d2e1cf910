//! Listeners spread over several rtc threads: each hears everything, from a port of its thread's own, and can be spoken of.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;

use crate::harness::listener::{Ear, connect};
use crate::harness::program::Program;
use crate::harness::wait::wait_until;

const LISTENERS: u8 = 24;

/// Of the host's first candidate.
fn server_port(answer: &str) -> u16 {
    let candidate = answer.lines().find(|line| line.starts_with("a=candidate:")).unwrap();
    candidate.split(' ').nth(5).unwrap().parse().unwrap()
}

#[test]
fn listeners_of_several_threads_hear_the_same_and_are_counted_together() {
    let program =
        Program::start(&["--sine-wave", "--rtc-threads", "3", "--max-listeners", "24", "--log-file", "none"], None);
    let hear = |n| Ear::listen(program.port, Ipv4Addr::new(127, 0, 1, n));
    let ears: Vec<Ear> = (0..LISTENERS).map(|n| hear(n).unwrap()).collect();
    wait_until("everybody to hear a second of it", || ears.iter().all(|ear| ear.heard().packets >= 50));
    assert!(ears.iter().all(|ear| ear.heard().lost == 0));
    let mut by_port: BTreeMap<u16, usize> = BTreeMap::new();
    ears.iter().for_each(|ear| *by_port.entry(server_port(&ear.answer)).or_default() += 1);
    // Ids are drawn by lot: that all fall to one of three does not happen, that one of three is left out may.
    assert!(
        by_port.len() >= 2 && by_port.keys().all(|port| (program.port..program.port + 3).contains(port)),
        "{by_port:?}"
    );
    let listeners = || program.status()["stations"][0]["listeners"].as_u64();
    assert_eq!(listeners(), Some(u64::from(LISTENERS)));
    assert_eq!(program.threads().iter().filter(|(name, ..)| name.starts_with("rtc-")).count(), 3);
    // The limit is one for all threads.
    assert!(hear(LISTENERS).err().is_some_and(|answer| answer.starts_with("HTTP/1.1 503")));
    // Each can be ended by itself, whichever thread drives it.
    for ear in &ears[..12] {
        let mut stream = connect(program.port, Ipv4Addr::new(127, 0, 1, 1)).unwrap();
        let session = &ear.session;
        write!(stream, "DELETE {session} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let answer = std::io::read_to_string(stream).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    wait_until("twelve to be gone", || listeners() == Some(12));
    wait_until("goodbye to the twelve", || ears[..12].iter().all(|ear| ear.heard().dismissed));
    assert!(ears[12..].iter().all(|ear| !ear.heard().dismissed));
    program.signal("-TERM");
    wait_until("goodbye to everybody", || ears.iter().all(|ear| ear.heard().dismissed));
}
