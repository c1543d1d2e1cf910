//! Forged, broken and random datagrams, from unknown addresses and from a listener's own address, in virtual time.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use str0m::channel::ChannelConfig;

use crate::harness::random::Random;
use crate::harness::virtual_network::VirtualNetwork;

/// A DTLS record that is not encrypted (RFC 6347 §4.1).
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7, 0, body.len() as u8];
    bytes.extend(body);
    bytes
}

/// A datagram made from recorded ones or from random bytes.
fn hostile(random: &mut Random, recorded: &[Vec<u8>]) -> Vec<u8> {
    let noise = |random: &mut Random, min_length: usize| {
        let length = min_length + random.below(1_200) as usize;
        random.bytes(length)
    };
    let genuine = recorded[random.below(recorded.len() as u64) as usize].clone();
    match random.below(10) {
        0 => noise(random, 0),
        1 => genuine,
        2 => genuine[..random.below(genuine.len() as u64) as usize].to_vec(),
        3 | 4 => {
            let mut bytes = genuine;
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            bytes
        }
        // Alerts that are not encrypted, fatal ones and close_notify among them.
        5 => record(21, &[1 + random.below(2) as u8, random.below(120) as u8]),
        // Handshake messages and change_cipher_spec that are not encrypted.
        6 => {
            let mut body = noise(random, 12);
            body.truncate(12 + random.below(200) as usize);
            body[0] = [1, 2, 11, 12, 14, 15, 16, 20][random.below(8) as usize];
            record(22, &body)
        }
        7 => record(20, &[1]),
        // Records, RTP and RTCP that look encrypted but are random.
        8 => {
            let mut bytes = record([20, 21, 22, 23, 26][random.below(5) as usize], &noise(random, 0)[..]);
            bytes[4] = 1;
            bytes
        }
        _ => {
            let mut bytes = noise(random, 12);
            bytes[..2].copy_from_slice(&[
                0x80 | random.below(64) as u8,
                [111, 96, 200, 201, 203, 205][random.below(6) as usize],
            ]);
            bytes
        }
    }
}

#[test]
fn hostile_datagrams_from_a_listeners_own_address_do_not_disturb_it() {
    for seed in 1..=4 {
        let mut network = VirtualNetwork::new(seed, 0, 0);
        network.recorded = Some(vec![]);
        let victim = network.add_client();
        let other = network.add_client();
        network.run(Duration::from_secs(6));
        let address = network.clients[victim].address;
        let recorded: Vec<_> =
            network.recorded.take().unwrap().into_iter().filter(|r| r.0 == address).map(|r| r.1).collect();
        let mut random = Random(seed * 77 + 1);
        let before = [victim, other].map(|n| network.clients[n].packets.len());
        for _ in 0..150 {
            for _ in 0..40 {
                let bytes = hostile(&mut random, &recorded);
                network.deliver_to_server(address, &bytes);
                network.drain();
            }
            network.run(Duration::from_millis(20));
        }
        assert!(network.ended.is_empty(), "seed {seed}: {:?}", network.ended);
        for (n, before) in [victim, other].into_iter().zip(before) {
            let packets = &network.clients[n].packets;
            assert!(packets.len() >= before + 149, "seed {seed}: {} packets", packets.len() - before);
            assert!(packets.windows(2).all(|w| w[1].sequence == w[0].sequence + 1), "seed {seed}: a packet is missing");
        }
        // The client can still close the session.
        network.clients[victim].rtc.close().unwrap();
        network.run(Duration::from_millis(200));
        assert_eq!(network.ended.len(), 1, "seed {seed}");
    }
}

#[test]
fn a_forged_alert_does_not_end_a_handshake() {
    let mut network = VirtualNetwork::new(7, 0, 0);
    let n = network.add_client();
    let address = network.clients[n].address;
    for _ in 0..200 {
        network.run(Duration::from_millis(1));
        for body in [[2, 40], [1, 0], [2, 0]] {
            network.deliver_to_server(address, &record(21, &body));
            network.drain();
        }
    }
    assert!(network.clients[n].is_connected);
    assert!(network.ended.is_empty());
}

#[test]
fn a_data_channel_that_nobody_has_negotiated_is_not_answered() {
    let mut network = VirtualNetwork::new(9, 0, 0);
    let n = network.add_client();
    network.run(Duration::from_secs(2));
    let before = network.dtls_sent;
    let mut api = network.clients[n].rtc.direct_api();
    api.start_sctp(true);
    api.create_data_channel(ChannelConfig::default());
    network.recorded = Some(vec![]);
    network.run(Duration::from_secs(5));
    let sent = network.recorded.take().unwrap();
    assert!(sent.iter().any(|(_, bytes)| bytes[0] == 23), "the client has not asked for an association");
    assert_eq!(network.dtls_sent, before, "the server has answered");
    assert!(network.ended.is_empty());
}

/// A DTLS record with a Certificate message of this certificate, or with a fragment of it (RFC 6347 §4.2.3).
fn forged_certificate(der: &[u8], fragment: Range<usize>) -> Vec<u8> {
    let u24 = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
    let body = [u24(der.len() + 3), u24(der.len()), der.to_vec()].concat();
    let fragment = fragment.start..fragment.end.min(body.len());
    let header = [vec![11], u24(body.len()), vec![0, 1], u24(fragment.start), u24(fragment.len())].concat();
    let message = [&header, &body[fragment]].concat();
    let mut bytes = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9];
    bytes.extend((message.len() as u16).to_be_bytes());
    bytes.extend(message);
    bytes
}

fn certificate() -> Vec<u8> {
    str0m::crypto::from_feature_flags().dtls_provider.generate_certificate().unwrap().certificate
}

#[test]
fn a_forged_certificate_does_not_disturb_a_handshake() {
    let der = certificate();
    for seed in 0..10 {
        let mut network = VirtualNetwork::new(seed, 0, 0);
        let n = network.add_client();
        let address = network.clients[n].address;
        for _ in 0..200 {
            network.run(Duration::from_millis(1));
            network.deliver_to_server(address, &forged_certificate(&der, 0..usize::MAX));
            network.drain();
        }
        assert!(network.clients[n].is_connected, "seed {seed}");
        assert!(network.ended.is_empty(), "seed {seed}: {:?}", network.ended);
    }
}

#[test]
fn a_session_does_not_end_by_a_certificate_that_no_handshake_has_proved() {
    let mut network = VirtualNetwork::new(10, 0, 0);
    let n = network.add_client();
    let address = network.clients[n].address;
    let der = certificate();
    for _ in 0..300 {
        network.run(Duration::from_millis(1));
        // In two fragments, so that the whole is known only to the handshake.
        for fragment in [0..40, 40..usize::MAX] {
            network.deliver_to_server(address, &forged_certificate(&der, fragment));
        }
        network.drain();
    }
    assert!(network.ended.is_empty(), "{:?}", network.ended);
}

#[test]
fn datagrams_from_unknown_addresses_reach_no_session() {
    let mut network = VirtualNetwork::new(6, 0, 0);
    network.recorded = Some(vec![]);
    let n = network.add_client();
    network.run(Duration::from_secs(2));
    let recorded: Vec<_> = network.recorded.take().unwrap().into_iter().map(|r| r.1).collect();
    let unknown: SocketAddr = "203.0.113.9:9".parse().unwrap();
    let mut random = Random(99);
    for round in 0..20_000u64 {
        let bytes = hostile(&mut random, &recorded);
        let unknown = SocketAddr::new(unknown.ip(), 1_024 + (round % 1_000) as u16);
        let was_accepted = network.deliver_to_server(unknown, &bytes);
        assert!(!was_accepted, "a datagram from an unknown address reached a session");
        network.drain();
    }
    let before = network.clients[n].packets.len();
    network.run(Duration::from_secs(2));
    assert!(network.clients[n].packets.len() >= before + 99);
    assert!(network.ended.is_empty());
}

#[test]
fn plain_stun_is_answered_up_to_a_rate_for_each_subnet_and_for_all_together() {
    let mut network = VirtualNetwork::new(8, 0, 0);
    let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let answered = |network: &mut VirtualNetwork, nth: u32| {
        let source = SocketAddr::from((nth.to_be_bytes(), 9));
        let is_answered = network.deliver_to_server(source, &request);
        network.drain();
        is_answered
    };
    let of_one = (0..20_000).filter(|_| answered(&mut network, 1)).count();
    assert!((100..1_000).contains(&of_one), "{of_one} answers to one address");
    let of_many = (2..20_000).filter(|nth| answered(&mut network, *nth)).count();
    assert!((1_000..10_000).contains(&of_many), "{of_many} answers to many addresses");
    network.run(Duration::from_secs(1));
    assert!(answered(&mut network, 1), "answered again in the next second");
}
