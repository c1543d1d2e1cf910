//! Packets that are sealed beside str0m, and packets that pass through it: a receiver sees no difference. In virtual time.

use std::time::Duration;

use str0m::rtp::rtcp::{Rtcp, SenderInfo};

use crate::harness::virtual_network::{Client, ReceivedPacket, VirtualNetwork};

/// The share of the packets received that were sealed beside str0m.
fn sealed_share(network: &VirtualNetwork) -> f64 {
    network.sealed as f64 / network.clients.iter().map(|c| c.packets.len()).sum::<usize>() as f64
}

/// A network whose server seals packets beside str0m, or not.
fn network(seed: u64, loss_percent: u64, jitter_ms: u64, seal: bool) -> VirtualNetwork {
    let mut network = VirtualNetwork::new(seed, loss_percent, jitter_ms);
    network.profile.seal = seal;
    network
}

/// Each sender report, and how many packets had been received before it.
fn sender_reports(client: &Client) -> Vec<(usize, SenderInfo)> {
    let info = |(packets, rtcp): &'_ (usize, Rtcp)| match rtcp {
        Rtcp::SenderReport(report) => Some((*packets, report.sender_info)),
        _ => None,
    };
    client.rtcp.iter().filter_map(info).collect()
}

#[test]
fn sealed_and_unsealed_packets_are_decrypted_alike_over_two_sequence_rollovers() {
    // Two rollovers need 131,072 packets at most.
    const PACKETS: u32 = 140_000;
    let received = [true, false].map(|seal| {
        let mut network = network(11, 0, 0, seal);
        let n = network.add_client();
        network.run(Duration::from_millis(20) * PACKETS);
        assert!(network.ended.is_empty(), "{:?}", network.ended);
        // Packets pass through str0m only while the session's path is not certain.
        assert!(if seal { sealed_share(&network) > 0.99 } else { network.sealed == 0 });
        let client = &mut network.clients[n];
        let packets = std::mem::take(&mut client.packets);
        assert!(packets.len() as u32 >= PACKETS - 30, "sealed {seal}: {} packets", packets.len());
        assert!(packets.last().unwrap().sequence > 2 << 16, "sealed {seal}: no two rollovers");
        let has_no_gap = packets.windows(2).all(|w| w[1].sequence == w[0].sequence + 1);
        assert!(has_no_gap, "sealed {seal}: a packet is missing");
        packets
    });
    let [sealed, unsealed] = received;
    // The first packet received depends on how long the handshake took.
    let from = sealed[0].rtp_time.max(unsealed[0].rtp_time);
    let tail = |packets: Vec<ReceivedPacket>| {
        packets.into_iter().filter(move |p| p.rtp_time >= from).map(|p| (p.rtp_time, p.payload))
    };
    assert!(tail(sealed).eq(tail(unsealed)), "the two differ");
}

#[test]
fn sender_reports_count_the_packets_that_were_sent() {
    for seal in [true, false] {
        let mut network = network(12, 0, 0, seal);
        let n = network.add_client();
        network.run(Duration::from_secs(31));
        let client = &network.clients[n];
        let reports = sender_reports(client);
        assert!(reports.len() >= 5, "sealed {seal}: {} reports", reports.len());
        for (packets, info) in reports.into_iter().skip(1) {
            let octets: usize = client.packets[..packets].iter().map(|p| p.payload.len()).sum();
            assert_eq!(info.sender_packet_count as usize, packets, "sealed {seal}");
            assert_eq!(info.sender_octet_count as usize, octets, "sealed {seal}");
            let rtp_time = info.rtp_time.numer() as u32;
            let last = client.packets[packets - 1].rtp_time;
            assert!((last..=last + 960).contains(&rtp_time), "sealed {seal}: {rtp_time} after {last}");
        }
    }
}

#[test]
fn lost_packets_are_resent_when_a_receiver_asks() {
    for seed in 1..=3 {
        let mut network = network(seed, 5, 20, true);
        let n = network.add_client();
        network.run(Duration::from_secs(2));
        let mid = network.clients[n].answer.lines().find_map(|l| l.strip_prefix("a=mid:")).unwrap().to_owned();
        let mut api = network.clients[n].rtc.direct_api();
        api.stream_rx_by_mid((&*mid).into(), None).expect("a stream").suppress_nack(false);
        let newest = |network: &VirtualNetwork| network.clients[n].packets.iter().map(|p| p.sequence).max().unwrap();
        let from = newest(&network);
        network.run(Duration::from_secs(60));
        let mut received: Vec<_> =
            network.clients[n].packets.iter().map(|p| p.sequence).filter(|sequence| *sequence > from).collect();
        received.sort_unstable();
        let all = received.len();
        received.dedup();
        assert_eq!(received.len(), all, "seed {seed}: a packet was received twice");
        let expected = newest(&network) - from;
        let missing = (expected - received.len() as u64) as f64 / expected as f64;
        assert!(missing < 0.003, "seed {seed}: {missing} of the packets are missing");
    }
}

#[test]
fn packets_follow_a_client_to_its_second_address() {
    for seal in [false, true] {
        let mut network = network(13, 0, 0, seal);
        let n = network.add_client_with(Some("198.51.100.200:5000".parse().unwrap()));
        network.run(Duration::from_secs(3));
        let received = |network: &VirtualNetwork| network.clients[n].packets.len();
        assert!(received(&network) > 100);
        // The client needs some seconds before it stops using an address.
        network.blocked = Some(network.clients[n].address);
        network.run(Duration::from_secs(40));
        let before = received(&network);
        network.run(Duration::from_secs(2));
        assert!(received(&network) >= before + 99, "sealed {seal}: packets are missing");
        assert!(!seal || sealed_share(&network) > 0.9);
    }
}
