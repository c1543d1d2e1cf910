//! Uses of tokens on their way to the file: which are reserved for clients that are being admitted, which changes still have to
//! be written, and what that leaves of each token. Pure: the thread that writes takes the changes, and reports what became of them.
//!
//! A use is reserved for a token and a peer. Several connections of one peer share the reservation; the use is given back only
//! when all of them have failed, and never once one of them has been admitted.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};

use crate::access::token_uses::TokenUses;
use crate::access::tokens::{Claims, TokenId};
use crate::ids::peer::PeerId;

/// A use that is given back unless it is confirmed.
#[derive(Debug)]
pub struct Reservation {
    claims: Claims,
    peer: Option<PeerId>,
    /// Of the change that recorded it.
    number: u64,
}

/// A change of the file that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    number: u64,
    kind: ChangeKind,
    claims: Claims,
    peer: Option<PeerId>,
    outcome: Ticket,
}

#[derive(Clone, Copy, Debug)]
enum ChangeKind {
    Record { now_s: u64 },
    Remove,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in the file.
    Written,
    /// Other processes have used the token up.
    UsedUp,
    /// The file could not be written.
    Failed(io::ErrorKind, String),
}

/// Tells the outcome of a change, once there is one.
pub(crate) type Ticket = Arc<OnceLock<Outcome>>;

/// What a reservation led to.
pub(crate) enum Reserved {
    /// The peer has used the token before, and is not counted again.
    UsedBefore,
    /// It holds once the change is written.
    Pending(Reservation, Ticket),
}

#[derive(Debug, Default)]
pub(crate) struct UseReservations {
    /// The file as it was last read or written.
    recorded: TokenUses,
    /// Not written yet, in order.
    changes: Vec<Change>,
    /// The file as it will be.
    expected: TokenUses,
    /// Of peers that are being admitted: the reservation, and how many connections share it.
    shared: HashMap<(TokenId, PeerId), (u64, usize)>,
    last_number: u64,
}

impl UseReservations {
    /// Whether the token has been used or reserved as often as it may be, not counting this peer.
    pub fn is_used_up(&self, claims: &Claims, peer: Option<PeerId>) -> bool {
        self.expected.is_used_up(claims, peer)
    }

    /// Reserves a use. None if the token is used up.
    pub fn reserve(&mut self, claims: &Claims, peer: Option<PeerId>, now_s: u64) -> Option<Reserved> {
        if let Some(peer) = peer {
            if let Some((number, connections)) = self.shared.get_mut(&(claims.id, peer)) {
                *connections += 1;
                let number = *number;
                let change = self.changes.iter().find(|change| change.number == number);
                let ticket = change.map_or_else(|| Arc::new(Outcome::Written.into()), |change| change.outcome.clone());
                let reservation = Reservation { claims: claims.clone(), peer: Some(peer), number };
                return Some(Reserved::Pending(reservation, ticket));
            }
            if self.expected.has(claims, peer) {
                return Some(Reserved::UsedBefore);
            }
        }
        if self.expected.is_used_up(claims, peer) {
            return None;
        }
        let ticket = self.push(ChangeKind::Record { now_s }, claims, peer);
        let reservation = Reservation { claims: claims.clone(), peer, number: self.last_number };
        if let Some(peer) = peer {
            self.shared.insert((claims.id, peer), (reservation.number, 1));
        }
        Some(Reserved::Pending(reservation, ticket))
    }

    /// The client was admitted: the use is not given back, not by other connections of the same peer either.
    pub fn confirm(&mut self, reservation: &Reservation) {
        if let Some(key) = self.shared_key(reservation) {
            self.shared.remove(&key);
        }
    }

    /// The client was not admitted. Gives the use back if no other connection of the peer has it.
    pub fn release(&mut self, reservation: &Reservation) -> Option<Ticket> {
        if reservation.peer.is_some() {
            let key = self.shared_key(reservation)?;
            let (_, connections) = self.shared.get_mut(&key)?;
            *connections -= 1;
            if *connections > 0 {
                return None;
            }
            self.shared.remove(&key);
        }
        Some(self.push(ChangeKind::Remove, &reservation.claims, reservation.peer))
    }

    /// The key of what this reservation shares, unless it was confirmed meanwhile.
    fn shared_key(&self, reservation: &Reservation) -> Option<(TokenId, PeerId)> {
        let key = (reservation.claims.id, reservation.peer?);
        let (number, _) = self.shared.get(&key)?;
        (*number == reservation.number).then_some(key)
    }

    fn push(&mut self, kind: ChangeKind, claims: &Claims, peer: Option<PeerId>) -> Ticket {
        self.last_number += 1;
        let (number, outcome) = (self.last_number, Ticket::default());
        let change = Change { number, kind, claims: claims.clone(), peer, outcome: outcome.clone() };
        apply(&mut self.expected, std::slice::from_ref(&change));
        self.changes.push(change);
        outcome
    }

    /// What is to be written. [`UseReservations::set_written`] follows, before another call of this.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.clone()
    }

    /// The file as it was last read or written.
    pub fn recorded(&self) -> &TokenUses {
        &self.recorded
    }

    /// The changes that were taken are written, and this is the file now, with an outcome for each of them; or none of them is
    /// written.
    pub fn set_written(&mut self, taken: &[Change], written: Result<(TokenUses, Vec<Outcome>), Outcome>) {
        let outcomes = match written {
            Ok((recorded, outcomes)) => {
                self.recorded = recorded;
                outcomes
            }
            Err(failed) => vec![failed; taken.len()],
        };
        for (change, outcome) in taken.iter().zip(outcomes) {
            if outcome != Outcome::Written && matches!(change.kind, ChangeKind::Record { .. }) {
                // Of all connections that share it: each is told by the ticket.
                self.shared.retain(|_, (number, _)| *number != change.number);
            }
            let _ = change.outcome.set(outcome);
        }
        self.changes.retain(|change| change.outcome.get().is_none());
        self.expect_changes();
    }

    /// Another process has changed the file.
    pub fn set_recorded(&mut self, recorded: TokenUses) {
        self.recorded = recorded;
        self.expect_changes();
    }

    fn expect_changes(&mut self) {
        self.expected = self.recorded.clone();
        apply(&mut self.expected, &self.changes);
    }
}

/// Changes the content of the file. An outcome for each change, as if it could be written.
pub(crate) fn apply(uses: &mut TokenUses, changes: &[Change]) -> Vec<Outcome> {
    let one = |Change { kind, claims, peer, .. }: &Change| {
        match kind {
            ChangeKind::Record { .. } if uses.is_used_up(claims, *peer) => return Outcome::UsedUp,
            ChangeKind::Record { now_s } => uses.record(claims, *peer, *now_s),
            ChangeKind::Remove => uses.remove(claims, *peer),
        }
        Outcome::Written
    };
    changes.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::tokens::Permission;
    use crate::ids::peer::ResumeToken;

    const NOW_S: u64 = 1_800_000_000;

    fn peer(n: u8) -> Option<PeerId> {
        Some(ResumeToken::from_bytes([n; 32]).id())
    }

    fn claims(token: u64, uses: u32) -> Claims {
        Claims { id: TokenId::new(token), permission: Permission::Listen, expires_s: None, uses: Some(uses) }
    }

    fn reserve(uses: &mut UseReservations, claims: &Claims, peer: Option<PeerId>) -> (Reservation, Ticket) {
        match uses.reserve(claims, peer, NOW_S) {
            Some(Reserved::Pending(reservation, ticket)) => (reservation, ticket),
            Some(Reserved::UsedBefore) => panic!("used before"),
            None => panic!("used up"),
        }
    }

    fn write(uses: &mut UseReservations) {
        let taken = uses.changes();
        let mut file = uses.recorded().clone();
        let outcomes = apply(&mut file, &taken);
        uses.set_written(&taken, Ok((file, outcomes)));
    }

    #[test]
    fn a_failed_connection_gives_back_no_use_of_another_one_of_the_same_peer() {
        let (mut uses, once) = (UseReservations::default(), claims(1, 1));
        let (first, _) = reserve(&mut uses, &once, peer(1));
        write(&mut uses);
        let (second, ticket) = reserve(&mut uses, &once, peer(1));
        assert_eq!(ticket.get(), Some(&Outcome::Written));
        uses.confirm(&second);
        assert!(uses.release(&first).is_none());
        assert!(uses.is_used_up(&once, peer(2)) && !uses.is_used_up(&once, peer(1)));
        assert!(matches!(uses.reserve(&once, peer(1), NOW_S), Some(Reserved::UsedBefore)));
    }

    #[test]
    fn a_use_is_given_back_when_the_last_connection_of_the_peer_has_failed() {
        let (mut uses, once) = (UseReservations::default(), claims(1, 1));
        let (first, _) = reserve(&mut uses, &once, peer(1));
        let (second, _) = reserve(&mut uses, &once, peer(1));
        assert!(uses.release(&second).is_none() && uses.is_used_up(&once, peer(2)));
        assert!(uses.release(&first).is_some() && !uses.is_used_up(&once, peer(2)));
        // What was given back is not given back again for a reservation that came later.
        let (third, _) = reserve(&mut uses, &once, peer(1));
        assert!(uses.release(&first).is_none() && uses.is_used_up(&once, peer(2)));
        uses.confirm(&third);
        write(&mut uses);
        assert_eq!(uses.recorded().to_lines().lines().count(), 1);
    }

    #[test]
    fn several_tokens_of_one_peer_are_counted_apart() {
        let (mut uses, one, other) = (UseReservations::default(), claims(1, 1), claims(2, 1));
        let (first, _) = reserve(&mut uses, &one, peer(1));
        let (second, _) = reserve(&mut uses, &other, peer(1));
        uses.confirm(&first);
        uses.release(&second);
        assert!(uses.is_used_up(&one, peer(2)) && !uses.is_used_up(&other, peer(2)));
    }

    #[test]
    fn what_cannot_be_written_is_not_used_and_everybody_who_waits_is_told() {
        let (mut uses, once) = (UseReservations::default(), claims(1, 1));
        let (_, first) = reserve(&mut uses, &once, peer(1));
        let (second, also_first) = reserve(&mut uses, &once, peer(1));
        let taken = uses.changes();
        uses.set_written(&taken, Err(Outcome::Failed(io::ErrorKind::StorageFull, "full".into())));
        for ticket in [first, also_first] {
            assert!(matches!(ticket.get(), Some(Outcome::Failed(..))));
        }
        assert!(!uses.is_used_up(&once, peer(2)) && uses.release(&second).is_none() && uses.changes().is_empty());
    }

    #[test]
    fn a_token_that_another_process_has_used_up_is_refused_when_the_use_is_written() {
        let (mut uses, once) = (UseReservations::default(), claims(1, 1));
        let (_, ticket) = reserve(&mut uses, &once, peer(1));
        let mut file = TokenUses::default();
        file.record(&once, peer(2), NOW_S);
        let taken = uses.changes();
        let outcomes = apply(&mut file, &taken);
        uses.set_written(&taken, Ok((file, outcomes)));
        assert_eq!(ticket.get(), Some(&Outcome::UsedUp));
        assert!(uses.is_used_up(&once, peer(1)) && !uses.is_used_up(&once, peer(2)));
    }

    #[test]
    fn changes_that_come_during_a_write_are_kept_for_the_next() {
        let (mut uses, two) = (UseReservations::default(), claims(1, 2));
        reserve(&mut uses, &two, None);
        let taken = uses.changes();
        let (_, late) = reserve(&mut uses, &two, None);
        let mut file = uses.recorded().clone();
        let outcomes = apply(&mut file, &taken);
        uses.set_written(&taken, Ok((file, outcomes)));
        assert!(late.get().is_none() && uses.is_used_up(&two, None));
        write(&mut uses);
        assert!(late.get().is_some() && uses.recorded().to_lines().lines().count() == 2);
    }
}
