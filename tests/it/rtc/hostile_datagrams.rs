//! Datagrams that nobody who means well would send, from strangers and from listeners' own addresses, in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use crate::harness::virtual_world::{Dice, World};

/// RFC 6347 §4.1: a record in clear.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7, 0, body.len() as u8];
    bytes.extend(body);
    bytes
}

/// Something that could come from an address, made from what did or from nothing.
fn garbage(dice: &mut Dice, recorded: &[Vec<u8>]) -> Vec<u8> {
    let noise = |dice: &mut Dice, least: u64| -> Vec<u8> {
        let length = least + dice.below(1_200);
        (0..length).map(|_| dice.below(256) as u8).collect()
    };
    let genuine = recorded[dice.below(recorded.len() as u64) as usize].clone();
    match dice.below(10) {
        0 => noise(dice, 0),
        1 => genuine,
        2 => genuine[..dice.below(genuine.len() as u64) as usize].to_vec(),
        3 | 4 => {
            let mut bytes = genuine;
            for _ in 0..=dice.below(3) {
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << dice.below(8);
            }
            bytes
        }
        // Alerts in clear, fatal ones and close_notify among them.
        5 => record(21, &[1 + dice.below(2) as u8, dice.below(120) as u8]),
        // Handshake messages and change_cipher_spec in clear.
        6 => {
            let mut body = noise(dice, 12);
            body.truncate(12 + dice.below(200) as usize);
            body[0] = [1, 2, 11, 12, 14, 15, 16, 20][dice.below(8) as usize];
            record(22, &body)
        }
        7 => record(20, &[1]),
        // Protected records, RTP and RTCP that nobody protected.
        8 => {
            let mut bytes = record([20, 21, 22, 23, 26][dice.below(5) as usize], &noise(dice, 0)[..]);
            bytes[4] = 1;
            bytes
        }
        _ => {
            let mut bytes = noise(dice, 12);
            bytes[..2]
                .copy_from_slice(&[0x80 | dice.below(64) as u8, [111, 96, 200, 201, 203, 205][dice.below(6) as usize]]);
            bytes
        }
    }
}

#[test]
fn garbage_from_a_listeners_own_address_costs_it_nothing() {
    for seed in 1..=4 {
        let mut world = World::new(seed, 0, 0);
        world.recorded = Some(vec![]);
        let victim = world.join();
        let other = world.join();
        world.run(Duration::from_secs(6));
        let address = world.clients[victim].address;
        let recorded: Vec<_> =
            world.recorded.take().unwrap().into_iter().filter(|r| r.0 == address).map(|r| r.1).collect();
        let mut dice = Dice(seed * 77 + 1);
        let before = [victim, other].map(|n| world.clients[n].heard.len());
        for _ in 0..150 {
            for _ in 0..40 {
                let bytes = garbage(&mut dice, &recorded);
                world.receive(address, &bytes);
                world.drain();
            }
            world.run(Duration::from_millis(20));
        }
        assert!(world.gone.is_empty(), "seed {seed}: {:?}", world.gone);
        for (n, before) in [victim, other].into_iter().zip(before) {
            let heard = &world.clients[n].heard;
            assert!(heard.len() >= before + 149, "seed {seed}: {} packets", heard.len() - before);
            assert!(heard.windows(2).all(|w| w[1].0 == w[0].0 + 1), "seed {seed}: a packet is missing");
        }
        // The session can still be left properly.
        world.clients[victim].rtc.close().unwrap();
        world.run(Duration::from_millis(200));
        assert_eq!(world.gone.len(), 1, "seed {seed}");
    }
}

#[test]
fn a_forged_alert_does_not_end_a_handshake() {
    let mut world = World::new(7, 0, 0);
    let n = world.join();
    let address = world.clients[n].address;
    for _ in 0..200 {
        world.run(Duration::from_millis(1));
        for body in [[2, 40], [1, 0], [2, 0]] {
            world.receive(address, &record(21, &body));
            world.drain();
        }
    }
    assert!(world.clients[n].connected);
    assert!(world.gone.is_empty());
}

#[test]
fn strangers_datagrams_change_nothing() {
    let mut world = World::new(6, 0, 0);
    world.recorded = Some(vec![]);
    let n = world.join();
    world.run(Duration::from_secs(2));
    let recorded: Vec<_> = world.recorded.take().unwrap().into_iter().map(|r| r.1).collect();
    let stranger: SocketAddr = "203.0.113.9:9".parse().unwrap();
    let mut dice = Dice(99);
    for round in 0..20_000u64 {
        let bytes = garbage(&mut dice, &recorded);
        let stranger = SocketAddr::new(stranger.ip(), 1_024 + (round % 1_000) as u16);
        let taken = world.receive(stranger, &bytes);
        assert!(!taken, "a stranger's datagram found a session");
        world.drain();
    }
    let before = world.clients[n].heard.len();
    world.run(Duration::from_secs(2));
    assert!(world.clients[n].heard.len() >= before + 99);
    assert!(world.gone.is_empty());
}

#[test]
fn plain_stun_is_answered_so_often_a_second_and_no_more() {
    let mut world = World::new(8, 0, 0);
    let question = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let ask = |world: &mut World| {
        let stranger = "203.0.113.9:9".parse().unwrap();
        let answered = world.receive(stranger, &question);
        world.drain();
        answered
    };
    let answered = (0..20_000).filter(|_| ask(&mut world)).count();
    assert!((1_000..10_000).contains(&answered), "{answered}");
    world.run(Duration::from_secs(1));
    assert!(ask(&mut world), "the next second begins anew");
}
