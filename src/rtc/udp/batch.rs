//! Datagrams that leave together: one block of memory, which sealing fills and the system call reads.
//!
//! Pure. It is reused without allocating.

use std::net::SocketAddr;

/// Datagrams of one batch: enough to make the cost of the system call negligible, few enough for the nearest cache.
pub const BATCH: usize = 64;

/// Largest datagram: an Ethernet frame's worth. Opus packets end at 1,275 bytes (RFC 6716 §3.4).
pub const DATAGRAM_BYTES: usize = 1_472;

/// Between which addresses a datagram travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The address of this host.
    pub source: SocketAddr,
    /// The client's address.
    pub destination: SocketAddr,
}

/// Up to [`BATCH`] datagrams.
#[derive(Debug)]
pub struct Batch {
    bytes: Box<[u8]>,
    /// The route of each, and where its bytes end.
    datagrams: Vec<(Route, usize)>,
}

impl Default for Batch {
    fn default() -> Self {
        Batch { bytes: vec![0; BATCH * DATAGRAM_BYTES].into(), datagrams: Vec::with_capacity(BATCH) }
    }
}

impl Batch {
    /// How many datagrams there are.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Whether no more fits.
    pub fn is_full(&self) -> bool {
        self.datagrams.len() == BATCH
    }

    /// Removes all of them.
    pub fn clear(&mut self) {
        self.datagrams.clear();
    }

    /// Adds a datagram of `length` bytes and lets `fill` write it. False, and nothing added, if it is too long, if the batch
    /// is full or if `fill` returns false.
    pub fn push(&mut self, route: Route, length: usize, fill: impl FnOnce(&mut [u8]) -> bool) -> bool {
        let start = self.datagrams.last().map_or(0, |(_, end)| *end);
        if self.is_full() || length > DATAGRAM_BYTES {
            return false;
        }
        // BATCH datagrams of the greatest length fit.
        let filled = self.bytes.get_mut(start..start + length).is_some_and(fill);
        if filled {
            self.datagrams.push((route, start + length));
        }
        filled
    }

    /// Each datagram and its route, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Route, &[u8])> {
        let mut start = 0;
        self.datagrams.iter().map(move |(route, end)| {
            let bytes = &self.bytes[start..*end];
            start = *end;
            (route, bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_read_in_order_and_a_failed_one_leaves_no_gap() {
        let route = |port| Route {
            source: "192.0.2.1:8088".parse().unwrap(),
            destination: SocketAddr::from(([192, 0, 2, 7], port)),
        };
        let mut batch = Batch::default();
        let fill = |value: u8| {
            move |bytes: &mut [u8]| {
                bytes.fill(value);
                value != 2
            }
        };
        assert!(
            batch.push(route(1), 3, fill(1)) && !batch.push(route(2), 5, fill(2)) && batch.push(route(3), 2, fill(3))
        );
        assert!(!batch.push(route(4), DATAGRAM_BYTES + 1, fill(4)));
        let read: Vec<_> = batch.iter().map(|(route, bytes)| (route.destination.port(), bytes.to_vec())).collect();
        assert_eq!(read, [(1, vec![1; 3]), (3, vec![3; 2])]);
        batch.clear();
        for n in 0..BATCH {
            assert!(!batch.is_full() && batch.push(route(n as u16), DATAGRAM_BYTES, fill(1)));
        }
        assert!(batch.is_full() && !batch.push(route(0), 1, fill(1)));
    }
}
