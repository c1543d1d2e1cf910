//! How many of something each address may have at the same time, and each network around it. Permits are taken and given
//! back on different threads, so the table is behind a lock, which is held for one look-up.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::net::subnet::{AddressLimit, SubnetCounts};

/// At most so many permits at the same time for each address. Clones share the table.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    taken: Arc<Mutex<SubnetCounts>>,
}

/// Permission to have one; given back, for all networks of its address, when dropped.
#[derive(Debug)]
pub struct Permit {
    ip: IpAddr,
    taken: Arc<Mutex<SubnetCounts>>,
}

impl ConcurrencyLimit {
    /// No permit is taken yet.
    pub fn new(max_per_address: usize) -> ConcurrencyLimit {
        ConcurrencyLimit::within(max_per_address, usize::MAX)
    }

    /// The same, of something of which there are so many in all. Its owner enforces that; here it only
    /// keeps one site from having more than half of them.
    pub fn within(max_per_address: usize, total: usize) -> ConcurrencyLimit {
        let limit = AddressLimit { max_per_address, total };
        ConcurrencyLimit { taken: Arc::new(Mutex::new(SubnetCounts::new(limit))) }
    }

    /// A permit for this address; None if it, or a network around it, has as many as it may.
    pub fn take(&self, ip: IpAddr) -> Option<Permit> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.may_add(ip).then(|| {
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

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_dropped_permit_can_be_taken_again() {
        let limit = ConcurrencyLimit::new(2);
        let (first, _second) = (limit.take(ip("192.0.2.1")).unwrap(), limit.take(ip("192.0.2.1")).unwrap());
        assert!(limit.take(ip("192.0.2.1")).is_none() && limit.take(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(limit.take(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn a_dropped_permit_is_given_back_for_every_network_around_its_address() {
        let limit = ConcurrencyLimit::new(1);
        let of_56: Vec<_> = (0..4).map(|n| limit.take(ip(&format!("2001:db8::{n}:0:0:0:1"))).unwrap()).collect();
        let (fifth, beside) = (ip("2001:db8:0:4::1"), ip("2001:db8:0:100::1"));
        assert!(limit.take(fifth).is_none() && limit.take(beside).is_some());
        drop(of_56);
        assert!(limit.take(fifth).is_some());
        assert!(limit.taken.lock().unwrap().may_add(beside));
    }
}
