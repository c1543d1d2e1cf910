//! Datagrams from unknown addresses and from a connected listener's address.

use std::net::SocketAddr;

use super::connected_pair::ConnectedPair;
use super::setup::datagram_from;

/// Whatever arrives, the listener receives every packet that follows. The bytes are records: kind, length, and so many bytes
/// of a datagram.
pub fn datagrams(bytes: &[u8]) {
    let mut pair = ConnectedPair::new();
    let before = pair.received;
    let mut rest = bytes;
    while let [kind, length, tail @ ..] = rest {
        let (datagram, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        let source = if kind & 1 == 0 { pair.address } else { SocketAddr::from(([203, 0, 113, *kind], 9)) };
        // The bytes as they are, or a datagram that the client sent, with some bytes changed and its end cut off.
        let sent = pair.sent_by_client.get(usize::from(*kind >> 2) % pair.sent_by_client.len().max(1));
        let forged = match (kind >> 1, sent) {
            (which, Some(sent)) if which & 1 == 1 => changed(sent, datagram),
            _ => datagram.to_vec(),
        };
        pair.sessions.handle_datagram(&datagram_from(source, &forged), pair.now);
        pair.exchange();
    }
    for _ in 0..5 {
        pair.send_packet();
    }
    assert_eq!(pair.sessions.len(), 1, "the session ended");
    assert_eq!(pair.received, before + 5, "packets were lost");
}

/// The first byte says how many bytes to cut off the end; each pair that follows is a position and bits to flip there.
fn changed(datagram: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = datagram.to_vec();
    let [cut, changes @ ..] = changes else { return bytes };
    bytes.truncate(bytes.len() - usize::from(*cut) % bytes.len().max(1));
    for change in changes.chunks_exact(2) {
        let at = usize::from(change[0]) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= change[1];
        }
    }
    bytes
}
