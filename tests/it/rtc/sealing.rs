//! Packets sealed beside the engine against packets that pass it: to a receiver there is no difference. In virtual time.

use std::time::Duration;

use str0m::rtp::rtcp::{Rtcp, SenderInfo};

use crate::harness::virtual_world::{Client, World};

/// The share of a client's packets that left in batches.
fn sealed_share(world: &World) -> f64 {
    world.batched as f64 / world.clients.iter().map(|c| c.heard.len()).sum::<usize>() as f64
}

fn world(seed: u64, loss_percent: u64, jitter_ms: u64, seal: bool) -> World {
    let mut world = World::new(seed, loss_percent, jitter_ms);
    world.profile.seal = seal;
    world
}

/// Each sender report, and how many packets had been heard before it.
fn sender_reports(client: &Client) -> Vec<(usize, SenderInfo)> {
    let info = |(heard, packet): &'_ (usize, Rtcp)| match packet {
        Rtcp::SenderReport(report) => Some((*heard, report.sender_info)),
        _ => None,
    };
    client.told.iter().filter_map(info).collect()
}

#[test]
fn a_receiver_decrypts_the_same_whichever_way_packets_go_over_two_rollovers() {
    // 131,072 packets and what the first sequence number lacks.
    const PACKETS: u32 = 140_000;
    let heard = [true, false].map(|seal| {
        let mut world = world(11, 0, 0, seal);
        let n = world.join();
        world.run(Duration::from_millis(20) * PACKETS);
        assert!(world.gone.is_empty(), "{:?}", world.gone);
        // Packets go through the engine only while the way is in doubt.
        assert!(if seal { sealed_share(&world) > 0.99 } else { world.batched == 0 });
        let client = &mut world.clients[n];
        let heard = std::mem::take(&mut client.heard);
        assert!(heard.len() as u32 >= PACKETS - 30, "sealed {seal}: {} packets", heard.len());
        assert!(heard.last().unwrap().0 > 2 << 16, "sealed {seal}: no two rollovers");
        assert!(heard.windows(2).all(|w| w[1].0 == w[0].0 + 1), "sealed {seal}: a packet is missing");
        heard
    });
    let [sealed, unsealed] = heard;
    // Which of the first packets is heard depends on how long the handshake took.
    let from = sealed[0].1.max(unsealed[0].1);
    let tail = |heard: Vec<(u64, u32, _)>| heard.into_iter().filter(move |h| h.1 >= from).map(|h| (h.1, h.2));
    assert!(tail(sealed).eq(tail(unsealed)), "the two differ");
}

#[test]
fn sender_reports_say_what_was_sent() {
    for seal in [true, false] {
        let mut world = world(12, 0, 0, seal);
        let n = world.join();
        world.run(Duration::from_secs(31));
        let client = &world.clients[n];
        let reports = sender_reports(client);
        assert!(reports.len() >= 5, "sealed {seal}: {} reports", reports.len());
        for (heard, info) in reports.into_iter().skip(1) {
            let octets: usize = client.heard[..heard].iter().map(|h| h.2.len()).sum();
            assert_eq!(info.sender_packet_count as usize, heard, "sealed {seal}");
            assert_eq!(info.sender_octet_count as usize, octets, "sealed {seal}");
            let rtp_time = info.rtp_time.numer() as u32;
            let last = client.heard[heard - 1].1;
            assert!((last..=last + 960).contains(&rtp_time), "sealed {seal}: {rtp_time} after {last}");
        }
    }
}

#[test]
fn what_a_receiver_misses_is_sent_again() {
    for seed in 1..=3 {
        let mut world = world(seed, 5, 20, true);
        let n = world.join();
        world.run(Duration::from_secs(2));
        let mid = world.clients[n].answer.lines().find_map(|l| l.strip_prefix("a=mid:")).unwrap().to_owned();
        let mut api = world.clients[n].rtc.direct_api();
        api.stream_rx_by_mid((&*mid).into(), None).expect("a stream").suppress_nack(false);
        let newest = |world: &World| world.clients[n].heard.iter().map(|h| h.0).max().unwrap();
        let from = newest(&world);
        world.run(Duration::from_secs(60));
        let mut heard: Vec<_> =
            world.clients[n].heard.iter().map(|h| h.0).filter(|sequence| *sequence > from).collect();
        heard.sort_unstable();
        let all = heard.len();
        heard.dedup();
        assert_eq!(heard.len(), all, "seed {seed}: a packet was heard twice");
        let expected = newest(&world) - from;
        let missing = (expected - heard.len() as u64) as f64 / expected as f64;
        assert!(missing < 0.003, "seed {seed}: {missing} of the packets are missing");
    }
}

#[test]
fn sound_follows_a_client_to_another_address() {
    for seal in [false, true] {
        let mut world = world(13, 0, 0, seal);
        let n = world.join_with(Some("198.51.100.200:5000".parse().unwrap()));
        world.run(Duration::from_secs(3));
        let heard = |world: &World| world.clients[n].heard.len();
        assert!(heard(&world) > 100);
        // The client itself takes its time to give an address up.
        world.blocked = Some(world.clients[n].address);
        world.run(Duration::from_secs(40));
        let before = heard(&world);
        world.run(Duration::from_secs(2));
        assert!(heard(&world) >= before + 99, "sealed {seal}: silence");
        assert!(!seal || sealed_share(&world) > 0.9);
    }
}
