//! What attackers send, and from where.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use str0m::Rtc;

use crate::harness::media::rtc_client::recvonly_offer;
use crate::harness::random::Random;
use crate::stress::server_under_load::{LISTENER_ADDRESS, NEW_LISTENER_ADDRESS};

/// The address of the n-th attacker. 250 successive ones have one address each; there are 62,500 addresses.
pub fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (n / 250 % 250) as u8, (n % 250) as u8 + 1)
}

/// A connection that makes twenty requests for a file of some size, and reads no response. Its receive buffer is small.
pub fn stalled_reader(port: u16, from: Ipv4Addr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.write_all(&b"GET /room/main HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20)).unwrap();
    stream
}

/// A valid SDP offer to receive.
pub fn valid_offer() -> String {
    let mut rtc = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false).build(Instant::now());
    recvonly_offer(&mut rtc).0
}

/// 64 KiB that are no SDP offer, or one with thousands of useless lines.
pub fn oversized_offer(n: usize, random: &mut Random) -> String {
    let text: String = match n % 4 {
        0 => random.bytes(64 * 1024).iter().map(|b| char::from(b' ' + b % 94)).collect(),
        1 => valid_offer() + &"a=candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\n".repeat(1_300),
        2 => valid_offer() + &"a=fmtp:111 x=y\r\n".repeat(3_500),
        _ => "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".repeat(1_800),
    };
    text.chars().take(64 * 1024).collect()
}

#[test]
fn no_attacker_has_the_address_of_a_listener() {
    let listeners = [LISTENER_ADDRESS, NEW_LISTENER_ADDRESS].map(IpAddr::from);
    assert!((0..70_000).all(|n| !listeners.contains(&IpAddr::from(address(n)))));
}
