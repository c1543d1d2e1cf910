//! Tickets: each stands for the credentials of one WebSocket that is about to be opened, once and for some seconds. A
//! browser cannot send a header field with a WebSocket's handshake, and its URL is what proxies write into their logs. So
//! a page sends its tokens in a request of its own, and only the ticket is in the URL. Pure: time and random numbers are
//! arguments.
//!
//! A token in `Sec-WebSocket-Protocol` would need no such request. But that field is logged too, by Caddy with all header
//! fields, for it is not among those that are known to hold secrets; and what is logged there would be valid for longer.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;

use crate::ids::names::RoomName;
use crate::ids::peer::ResumeToken;
use crate::net::subnet::{AddressLimit, SubnetCounts};

/// A page opens the WebSocket as soon as it has the ticket: this is for the slowest of mobile networks.
pub const LIFETIME: Duration = Duration::from_secs(15);

/// What is presented: 128 random bits, as 32 hexadecimal digits in lower case. A secret as long as it is valid.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket([u8; 16]);

impl Ticket {
    /// With these bits, which are random except in tests.
    pub fn from_bytes(bytes: [u8; 16]) -> Ticket {
        Ticket(bytes)
    }

    /// None if the text is not a ticket.
    pub fn parse(text: &str) -> Option<Ticket> {
        Some(Ticket(HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()?))
    }

    /// As it is presented.
    pub fn to_text(self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}

/// What a ticket stands for: the WebSocket is treated as if these had come with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented {
    /// The room that is joined.
    pub room: RoomName,
    /// The access token, if there was one. It is checked again when the ticket is used.
    pub token: Option<String>,
    /// The resume token, if a peer returns.
    pub resume: Option<ResumeToken>,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Presented({})", self.room.as_str())
    }
}

/// An address has as many tickets as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// All valid tickets.
#[derive(Debug, Default)]
pub struct Tickets {
    valid: HashMap<Ticket, (Presented, IpAddr)>,
    /// Oldest first; those that were used are still among them.
    issued: VecDeque<(Instant, Ticket)>,
    counts: SubnetCounts,
}

impl Tickets {
    /// Makes a ticket valid. When the limit of all together is reached, the oldest one becomes invalid: nobody is kept out
    /// by others.
    ///
    /// # Errors
    /// If this address has too many.
    pub fn issue(
        &mut self,
        ticket: Ticket,
        presented: Presented,
        client: IpAddr,
        limit: AddressLimit,
        now: Instant,
    ) -> Result<(), TooMany> {
        self.expire(now);
        if !self.counts.may_add_within(limit, client) {
            return Err(TooMany);
        }
        while self.issued.len() >= limit.total.max(1) {
            self.forget_oldest();
        }
        self.counts.add(client);
        self.issued.push_back((now, ticket));
        self.valid.insert(ticket, (presented, client));
        Ok(())
    }

    /// Uses a ticket up. None if it is not valid, or no longer.
    pub fn redeem(&mut self, ticket: Ticket, now: Instant) -> Option<Presented> {
        self.expire(now);
        let (presented, client) = self.valid.remove(&ticket)?;
        self.counts.remove(client);
        Some(presented)
    }

    fn expire(&mut self, now: Instant) {
        while self.issued.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= LIFETIME) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.issued.pop_front();
        if let Some((_, client)) = oldest.and_then(|(_, ticket)| self.valid.remove(&ticket)) {
            self.counts.remove(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: AddressLimit = AddressLimit { max_per_address: 3, total: 6 };

    fn ticket(n: u8) -> Ticket {
        Ticket::from_bytes([n; 16])
    }

    fn presented(n: u8) -> Presented {
        let resume = Some(ResumeToken::from_bytes([n; 32]));
        Presented { room: RoomName::default(), token: Some(format!("token {n}")), resume }
    }

    fn issue(tickets: &mut Tickets, n: u8, client: &str, now: Instant) -> Result<(), TooMany> {
        tickets.issue(ticket(n), presented(n), client.parse().unwrap(), LIMIT, now)
    }

    #[test]
    fn a_ticket_is_written_as_it_is_read_and_is_not_shown_by_debug() {
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(Ticket::parse(text).unwrap().to_text(), text);
        for odd in ["", "0", &text.to_uppercase(), &text[1..], &format!("{text}00")] {
            assert_eq!(Ticket::parse(odd), None, "{odd}");
        }
        assert_eq!(format!("{:?} {:?}", ticket(1), presented(1)), "Ticket Presented(main)");
    }

    #[test]
    fn a_ticket_is_valid_once_and_for_seconds() {
        let start = Instant::now();
        let mut tickets = Tickets::default();
        issue(&mut tickets, 1, "192.0.2.1", start).unwrap();
        issue(&mut tickets, 2, "192.0.2.1", start).unwrap();
        let late = start + LIFETIME - Duration::from_millis(1);
        assert_eq!(tickets.redeem(ticket(1), late), Some(presented(1)));
        assert_eq!(tickets.redeem(ticket(1), late), None);
        assert_eq!(tickets.redeem(ticket(3), late), None, "was never issued");
        assert_eq!(tickets.redeem(ticket(2), start + LIFETIME), None);
        assert!(tickets.valid.is_empty() && tickets.issued.is_empty());
    }

    #[test]
    fn an_address_has_a_share_and_gets_it_back() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        for n in 0..3 {
            issue(&mut tickets, n, "2001:db8::1", now).unwrap();
        }
        assert_eq!(issue(&mut tickets, 3, "2001:db8::2", now), Err(TooMany));
        issue(&mut tickets, 4, "2001:db8:1::1", now).unwrap();
        tickets.redeem(ticket(0), now).unwrap();
        issue(&mut tickets, 3, "2001:db8::2", now).unwrap();
        assert_eq!(issue(&mut tickets, 5, "2001:db8::2", now), Err(TooMany));
        issue(&mut tickets, 5, "2001:db8::2", now + LIFETIME).unwrap();
    }

    #[test]
    fn a_flood_pushes_out_old_tickets_and_fills_no_memory() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        for n in 0..100 {
            issue(&mut tickets, n, &format!("192.0.2.{n}"), now).unwrap();
            if n % 2 == 0 {
                assert!(tickets.redeem(ticket(n), now).is_some(), "the latest is always valid");
            }
            assert!(tickets.issued.len() <= LIMIT.total && tickets.valid.len() <= LIMIT.total);
        }
        assert_eq!(tickets.redeem(ticket(1), now), None);
        assert!(tickets.redeem(ticket(99), now).is_some());
    }
}
