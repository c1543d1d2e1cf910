//! Datagrams in great number from many addresses.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::random::Random;
use crate::stress::hostile_clients::address;
use crate::stress::server_under_load::{ServerUnderLoad, WARM_UP_CONNECTIONS};

#[test]
fn fifty_thousand_datagrams_a_second_from_a_thousand_addresses() {
    const PER_SECOND: u64 = 50_000;
    const SECONDS: u64 = 5;
    let server = ServerUnderLoad::start(&[], WARM_UP_CONNECTIONS);
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, server.program.port));
    let sockets: Vec<UdpSocket> = (0..1_000).map(|n| UdpSocket::bind((address(n), 0)).unwrap()).collect();
    let mut random = Random(5);
    let datagrams: Vec<Vec<u8>> = (0..1_000).map(|n| hostile_datagram(n, &mut random)).collect();
    let begun = Instant::now();
    let mut sent = 0;
    while sent < PER_SECOND * SECONDS {
        let due = begun.elapsed().as_micros() as u64 * PER_SECOND / 1_000_000;
        if sent >= due {
            thread::sleep(Duration::from_micros(500));
            continue;
        }
        for _ in sent..due {
            let n = random.next() as usize;
            // Fails when the sender's own buffer is full.
            let _ = sockets[n % 1_000].send_to(&datagrams[n / 1_000 % 1_000], target);
        }
        sent = due;
    }
    println!("{sent} datagrams in {:?}", begun.elapsed());
    let rtc = server.program.status()["rtc"].clone();
    println!("{rtc}");
    assert!(rtc["datagrams_in"].as_u64().unwrap() > sent / 2, "{rtc}");
    server.assert_recovers();
}

/// Random bytes, or what looks like STUN, DTLS, RTP or RTCP (RFC 7983), whole or cut off.
fn hostile_datagram(n: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes: Vec<u8> = match n % 6 {
        0 => vec![],
        // A Binding request with the USERNAME of no session.
        1 => {
            [&[0, 1, 0, 16, 0x21, 0x12, 0xa4, 0x42][..], &random.bytes(12), &[0, 6, 0, 9], b"abcd:efgh\0\0\0"].concat()
        }
        2 => [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &random.bytes(12)].concat(),
        3 => [&[0x16, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 1, 0, 0, 88][..], &random.bytes(96)].concat(),
        4 => [&[0x80, 111][..], &random.bytes(60)].concat(),
        _ => [&[0x80, 201, 0, 7][..], &random.bytes(40)].concat(),
    };
    let length = random.next() as usize % 200;
    if n.is_multiple_of(6) {
        bytes = random.bytes(length);
    } else if n.is_multiple_of(5) {
        bytes.truncate(length % (bytes.len() + 1));
    }
    bytes
}
