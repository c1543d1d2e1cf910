//! How many plain STUN requests are answered: so many a second in all, and to each subnet a share of them.
//!
//! Pure. Source addresses of datagrams can be forged, so a table with an entry for each of them could be filled from
//! outside. Here subnets are hashed into a table of fixed size, with a key that nobody knows; two that meet share a share.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use crate::net::subnet::Subnet;
use crate::net::token_bucket::{Rate, TokenBucket};

/// Answers to all clients together. Several thousand browsers may ask in the same second, a few times each. More, and
/// requests with forged addresses, would cost the rtc thread's time and the bandwidth of its listeners.
const ALL: Rate = Rate { per_s: 5_000.0, burst: 5_000.0 };

/// Answers to one subnet: a whole office that joins at once.
const SHARE: Rate = Rate { per_s: 100.0, burst: 500.0 };

/// Shares in the table; 96 KiB.
const SHARES: usize = 4_096;

/// The budget for plain STUN answers.
#[derive(Debug, Default)]
pub struct StunShares {
    hasher: RandomState,
    all: Option<TokenBucket>,
    /// Empty until the first request.
    shares: Vec<TokenBucket>,
}

impl StunShares {
    /// Takes one answer to this address; false if there is none left.
    pub fn take(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.shares.is_empty() {
            self.shares = vec![TokenBucket::full(SHARE, now); SHARES];
        }
        let nth = self.hasher.hash_one(Subnet::from(source)) as usize % SHARES;
        let all = self.all.get_or_insert_with(|| TokenBucket::full(ALL, now));
        self.shares[nth].take(SHARE, now).is_ok() && all.take(ALL, now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_subnet_cannot_use_up_the_answers_to_others() {
        let now = Instant::now();
        let mut shares = StunShares::default();
        let taken = |shares: &mut StunShares, ip: IpAddr, now| (0..10_000).filter(|_| shares.take(ip, now)).count();
        assert_eq!(taken(&mut shares, [192, 0, 2, 1].into(), now), 500);
        assert!(shares.take([198, 51, 100, 2].into(), now));
        assert_eq!(taken(&mut shares, [192, 0, 2, 1].into(), now + Duration::from_secs(1)), 100);
    }

    #[test]
    fn forged_addresses_use_up_no_more_than_the_budget_and_no_memory() {
        let now = Instant::now();
        let mut shares = StunShares::default();
        let nth = |n: u32| IpAddr::from(Ipv4Addr::from(n));
        assert_eq!((0..50_000).filter(|n| shares.take(nth(*n), now)).count(), 5_000);
        assert_eq!(shares.shares.len(), SHARES);
    }
}
