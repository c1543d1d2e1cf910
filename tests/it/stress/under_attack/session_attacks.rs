//! What a stranger can do to the thread of all sessions from a session of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use roomtone::rtc::udp::classify::kind;

use crate::harness::loopback_client::{delete_session, post_offer, session_path};
use crate::harness::media::rtc_client::{ClientEvent, RtcClient};
use crate::harness::random::Random;
use crate::stress::hostile_clients::address;
use crate::stress::under_attack::listeners::ListenersUnderAttack;
use crate::stress::under_attack::own_session::OwnSession;

/// Whom the listeners' packets must not wait for: 3,000 checks a second, each from an address and port of its own.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn checks_of_one_session_from_twenty_thousand_source_ports() {
    const CHECKS: usize = 20_000;
    const PER_SECOND: u64 = 3_000;
    let server = ListenersUnderAttack::start(&[]);
    let port = server.program.port;
    server.assert_withstands(|| {
        let session = OwnSession::open(port, address(0), 0);
        assert!(session.is_answered(port), "a genuine check is answered");
        let begun = Instant::now();
        for n in 0..CHECKS {
            let from = Ipv4Addr::new(127, 2, (n / 200 % 200) as u8, (n % 200) as u8 + 1);
            let socket = UdpSocket::bind((from, 0)).unwrap();
            // Fails when the sender's own buffer is full.
            let _ = socket.send_to(&session.check(), (Ipv4Addr::LOCALHOST, port));
            let due = Duration::from_micros(n as u64 * 1_000_000 / PER_SECOND);
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        println!("{CHECKS} checks in {:?}", begun.elapsed());
    });
}

/// Offers of 60 KB, most of it lines of no meaning, whose sessions restart ICE again and again.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn ice_restarts_of_large_offers_at_full_speed() {
    const SESSIONS: usize = 8;
    const SECONDS: u64 = 8;
    const MEANINGLESS_LINES: usize = 8_000;
    let server = ListenersUnderAttack::start(&[]);
    let port = server.program.port;
    server.assert_withstands(|| {
        let clients: Vec<_> = (0..SESSIONS)
            .map(|n| {
                thread::spawn(move || {
                    let session = OwnSession::open(port, address(n), MEANINGLESS_LINES);
                    session.restart_for(Duration::from_secs(SECONDS), port, address(n), &mut Random(n as u64))
                })
            })
            .collect();
        let mut statuses = BTreeMap::<String, usize>::new();
        for (status, count) in clients.into_iter().flat_map(|client| client.join().unwrap()) {
            *statuses.entry(status).or_default() += count;
        }
        println!("responses to restarts: {statuses:?}");
        assert!(statuses.get("200").is_some_and(|restarts| *restarts >= SESSIONS), "a few restarts are permitted");
    });
}

/// One address makes as many sessions as it may at once, and all of them begin their handshake in the same moment.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn handshakes_of_two_hundred_sessions_in_the_same_moment() {
    const SESSIONS: usize = 200;
    let server = ListenersUnderAttack::start(&[]);
    let port = server.program.port;
    server.assert_withstands_twice(|| {
        let start = Arc::new(Barrier::new(SESSIONS));
        let from = address(0);
        let clients = (0..SESSIONS).map(|_| {
            let (mut client, offer) = RtcClient::new(from, false);
            let response = post_offer(port, from, &offer).unwrap();
            assert!(response.starts_with("HTTP/1.1 201"), "{response}");
            client.accept_answer(response.split_once("\r\n\r\n").unwrap().1);
            let path = session_path(response.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap());
            let start = start.clone();
            thread::spawn(move || {
                start.wait();
                let begun = Instant::now();
                while !matches!(client.next_event(), Some(ClientEvent::Packet(..))) {
                    assert!(begun.elapsed() < Duration::from_secs(20), "no packet");
                }
                let elapsed = begun.elapsed();
                delete_session(port, from, &path).unwrap();
                elapsed
            })
        });
        let clients: Vec<_> = clients.collect();
        let slowest = clients.into_iter().map(|client| client.join().unwrap()).max();
        println!("the last of {SESSIONS} handshakes took {slowest:?}");
    });
}

/// Somebody else's address is written on the checks of a session whose handshake the server has to begin.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn checks_in_the_name_of_somebody_else_bring_them_nothing_but_stun() {
    const SESSIONS: usize = 50;
    let server = ListenersUnderAttack::start(&[]);
    let port = server.program.port;
    server.assert_withstands(|| {
        let victim = UdpSocket::bind((Ipv4Addr::new(127, 2, 0, 77), 0)).unwrap();
        victim.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let sessions: Vec<_> = (0..SESSIONS).map(|n| OwnSession::open_with(port, address(n), 0, "passive")).collect();
        let (begun, mut sent, mut received) = (Instant::now(), 0, 0);
        while begun.elapsed() < Duration::from_secs(8) {
            for session in &sessions {
                let check = session.check();
                sent += check.len();
                // In place of a forged source address.
                victim.send_to(&check, (Ipv4Addr::LOCALHOST, port)).unwrap();
            }
            let mut bytes = [0; 2_000];
            while let Ok(length) = victim.recv(&mut bytes) {
                assert!(kind(&bytes[..length]).is_stun(), "{} bytes that are not STUN", length);
                received += length;
            }
        }
        println!("{received} bytes arrived for {sent}");
        assert!(received <= 3 * sent);
    });
}

/// More than the whole budget of plain STUN answers from one address, while others ask too.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn plain_stun_of_one_address_leaves_answers_for_others() {
    let server = ListenersUnderAttack::start(&[]);
    let port = server.program.port;
    let ask = |socket: &UdpSocket, nth: u32| {
        let transaction = [[7; 8].as_slice(), &nth.to_be_bytes()].concat();
        socket.send_to(&[&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], &transaction[..]].concat(), (Ipv4Addr::LOCALHOST, port))
    };
    server.assert_withstands(|| {
        let flooding = UdpSocket::bind((Ipv4Addr::new(127, 2, 0, 1), 0)).unwrap();
        let other = UdpSocket::bind((Ipv4Addr::new(127, 3, 0, 1), 0)).unwrap();
        other.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let begun = Instant::now();
        let (mut sent, mut asked) = (0, 0);
        while begun.elapsed() < Duration::from_secs(8) {
            for _ in 0..200 {
                sent += u32::from(ask(&flooding, sent).is_ok());
            }
            if begun.elapsed() > Duration::from_millis(500) * asked {
                asked += 1;
                ask(&other, asked).unwrap();
                other.recv(&mut [0; 100]).expect("another client is answered");
            }
            thread::sleep(Duration::from_millis(10));
        }
        println!("{sent} requests of one address, {asked} of another");
    });
}
