//! Which addresses a session's datagrams go to, whatever its client claims. In virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use roomtone::rtc::session::Reason;
use roomtone::rtc::udp::classify::kind;

use crate::harness::virtual_network::VirtualNetwork;

/// The highest priority that a candidate can have.
const PRIORITY: u32 = 0x7eff_ffff;

fn victim() -> SocketAddr {
    "203.0.113.7:5555".parse().unwrap()
}

/// Sends a check of a client in somebody else's name.
fn spoof(network: &mut VirtualNetwork, n: usize, nth: u32, source: SocketAddr) -> (bool, usize) {
    let check = network.check(n, nth, PRIORITY);
    let is_taken = network.deliver_to_server(source, &check);
    network.drain();
    (is_taken, check.len())
}

#[test]
fn sound_stays_on_its_path_while_the_client_claims_an_address_that_does_not_answer() {
    let mut network = VirtualNetwork::new(31, 0, 0);
    let n = network.add_client();
    network.run(Duration::from_secs(3));
    let before = network.clients[n].packets.len();
    let mut sent = 0;
    for nth in 0..30 {
        let (is_taken, length) = spoof(&mut network, n, nth, victim());
        assert!(is_taken, "the check is genuine");
        sent += length;
        network.run(Duration::from_secs(1));
    }
    assert!(network.clients[n].packets.len() >= before + 1_490, "{}", network.clients[n].packets.len() - before);
    let received: usize = network.strays.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(network.strays.iter().all(|(to, bytes)| *to == victim() && kind(bytes).is_stun()), "more than STUN");
    assert!(!network.strays.is_empty() && received <= 3 * sent, "{received} bytes for {sent}");
    assert!(network.ended.is_empty());
}

#[test]
fn a_handshake_is_not_sent_to_an_address_that_does_not_answer() {
    let mut network = VirtualNetwork::new(32, 0, 0);
    // The server begins the handshake.
    let n = network.add_client_that_waits_for_dtls();
    network.blocked = Some(network.clients[n].address);
    spoof(&mut network, n, 1, victim());
    network.run(Duration::from_secs(40));
    assert!(network.strays.iter().all(|(_, bytes)| kind(bytes).is_stun()), "{:?}", network.strays);
    assert_eq!(network.strays.len(), 2, "a response and a check");
    assert_eq!(network.ended.len(), 1, "it was given up");
    network.blocked = None;
    let n = network.add_client_that_waits_for_dtls();
    network.run(Duration::from_secs(2));
    assert!(network.clients[n].is_connected, "the same client connects from where it answers");
}

#[test]
fn checks_from_any_number_of_addresses_are_bounded_in_number_time_and_memory() {
    let mut network = VirtualNetwork::new(33, 0, 0);
    let n = network.add_client();
    network.run(Duration::from_secs(3));
    let before = network.clients[n].packets.len();
    // A block of them in the first second, and one in the tenth.
    let flood = |network: &mut VirtualNetwork, first: u32| {
        let checks: Vec<_> = (first..first + 4_000).map(|nth| network.check(n, nth, PRIORITY)).collect();
        let begun = Instant::now();
        let taken = (first..).zip(&checks).filter(|(nth, check)| {
            let source = SocketAddr::from(([198, 18, (nth >> 8) as u8, *nth as u8], 1_024 + (nth >> 16) as u16));
            network.deliver_to_server(source, check)
        });
        let taken = taken.count();
        (taken, begun.elapsed())
    };
    let (taken, first) = flood(&mut network, 0);
    assert!(taken <= 200, "{taken} checks were answered at once");
    let mut last = first;
    for block in 1..10 {
        network.run(Duration::from_secs(1));
        let taken;
        (taken, last) = flood(&mut network, block * 4_000);
        assert!(taken <= 60, "{taken} checks were answered in a second");
    }
    println!("4,000 checks took {first:?} at first and {last:?} at last");
    assert!(last < 5 * first, "they take longer and longer");
    network.run(Duration::from_secs(1));
    assert!(network.clients[n].packets.len() >= before + 490, "{}", network.clients[n].packets.len() - before);
    assert!(network.sessions.addresses() <= 8, "{} addresses are remembered", network.sessions.addresses());
    // The client's own checks are served all the same, and it can still move.
    network.run(Duration::from_secs(20));
    assert!(network.ended.is_empty());
}

#[test]
fn a_client_cannot_take_another_clients_address() {
    let mut network = VirtualNetwork::new(34, 0, 0);
    let (owner, thief) = (network.add_client(), network.add_client());
    network.run(Duration::from_secs(3));
    let address = network.clients[owner].address;
    assert!(spoof(&mut network, thief, 1, address).0);
    // What comes from there is still the owner's, its farewell too.
    network.clients[owner].rtc.close().unwrap();
    network.run(Duration::from_millis(200));
    assert_eq!(network.ended, [(network.clients[owner].id, Reason::Closed)]);
    let before = network.clients[thief].packets.len();
    network.run(Duration::from_secs(1));
    assert!(network.clients[thief].packets.len() >= before + 49);
}

#[test]
fn a_repeated_check_makes_no_address_known() {
    let mut network = VirtualNetwork::new(35, 0, 0);
    let n = network.add_client();
    network.run(Duration::from_secs(3));
    let check = network.check(n, 7, PRIORITY);
    let address = network.clients[n].address;
    assert!(network.deliver_to_server(address, &check));
    assert!(network.deliver_to_server(address, &check), "the client repeats it");
    assert!(!network.deliver_to_server(victim(), &check), "somebody else repeats it");
    let taken = (0..1_000).filter(|_| network.deliver_to_server(address, &check)).count();
    assert!(taken <= 200, "{taken} repetitions were answered");
    let (is_taken, _) = spoof(&mut network, n, 8, address);
    assert!(is_taken, "repetitions do not use up the budget of new checks");
}
