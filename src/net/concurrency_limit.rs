//! How many of something each subnet may have at the same time. Permits are taken and given back on different threads,
//! so the table is behind a lock, which is held for one look-up.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::net::subnet::SubnetCounts;

/// At most so many permits at the same time for each subnet. Clones share the table.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    max_per_subnet: usize,
    taken: Arc<Mutex<SubnetCounts>>,
}

/// Permission to have one; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    ip: IpAddr,
    taken: Arc<Mutex<SubnetCounts>>,
}

impl ConcurrencyLimit {
    /// No permit is taken yet.
    pub fn new(max_per_subnet: usize) -> ConcurrencyLimit {
        ConcurrencyLimit { max_per_subnet, taken: Arc::default() }
    }

    /// A permit for this address; None if its subnet has as many as it may.
    pub fn take(&self, ip: IpAddr) -> Option<Permit> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (taken.of(ip) < self.max_per_subnet).then(|| {
            taken.add(ip);
            Permit { ip, taken: Arc::clone(&self.taken) }
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(self.ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_permit_can_be_taken_again() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let limit = ConcurrencyLimit::new(2);
        let (first, _second) = (limit.take(ip("192.0.2.1")).unwrap(), limit.take(ip("192.0.2.1")).unwrap());
        assert!(limit.take(ip("192.0.2.1")).is_none() && limit.take(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(limit.take(ip("192.0.2.1")).is_some());
    }
}
