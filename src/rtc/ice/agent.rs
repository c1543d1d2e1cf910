//! The ICE agent of one session: it answers the client's checks, and says over which path datagrams may leave.
//!
//! Pure. A lite agent (RFC 8445 §2.5): it gathers nothing and paces nothing, the client decides what is checked when. A client
//! can write any source address on a check, so a check does not prove that anybody at that address asked for something. An
//! address therefore gets nothing but STUN until it has answered a check of our own, whose transaction id only that address
//! has seen (§7.3.1.4, triggered checks). Each of our checks follows one of the client's, so there are never more of them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use str0m::ice::StunMessage;
use str0m::net::{Protocol, Transmit};

use crate::net::token_bucket::{Rate, TokenBucket};
use crate::rtc::ice::credentials::{LocalCredentials, RemoteCredentials};
use crate::rtc::ice::path::{PATH_LIFETIME, Path, route_to};
use crate::rtc::udp::batch::Route;
use crate::rtc::udp::classify::Datagram;
use crate::rtc::udp::stun_writer::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, ERROR_CODE, ICE_CONTROLLED, PRIORITY, StunWriter, TransactionId,
    USERNAME, hmac_sha1, transaction_id,
};

/// Paths of one session. A browser checks from each interface it has, over IPv4 and IPv6.
const MAX_PATHS: usize = 8;

/// Checks of one session. A browser that connects sends some tens a second, later one every few seconds.
const CHECKS: Rate = Rate { per_s: 50.0, burst: 200.0 };

/// Checks that are remembered, so that somebody who has seen one go by and repeats it makes no path known. A client repeats
/// a check that was not answered, too, over the path that it has checked; that has a budget of its own.
const REMEMBERED_CHECKS: usize = 64;

/// RFC 8445 §7.3.1.1.
const ROLE_CONFLICT: [u8; 4] = [0, 0, 4, 87];

/// Priority of a peer-reflexive candidate that this host's own checks would make known (RFC 8445 §5.1.2.1).
const PEER_REFLEXIVE_PRIORITY: u32 = 110 << 24 | 65_535 << 8 | 255;

/// Bytes at the beginning of a transaction id that carry the session's key, so that a response finds its session.
const KEY_BYTES: usize = 4;

/// What the agent wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this STUN message.
    Transmit(Transmit),
    /// The client has sent a genuine check from this address, and has not proved yet that it receives there.
    Claimed(Protocol, SocketAddr),
    /// The client has proved that it receives at this address.
    Proved(Protocol, SocketAddr),
    /// The address is no longer remembered.
    Forgotten(Protocol, SocketAddr),
}

/// One session's ICE agent.
#[derive(Debug)]
pub struct Agent {
    local: LocalCredentials,
    remote: RemoteCredentials,
    paths: Vec<Path>,
    /// The path over which datagrams leave. It is one of `paths`.
    selected: Option<(Protocol, Route)>,
    checks: TokenBucket,
    repeats: TokenBucket,
    /// The first 32 bits of the transaction ids of its latest checks (RFC 8489 §5: 96 random bits).
    remembered: VecDeque<u32>,
    outputs: VecDeque<Output>,
}

impl Agent {
    /// An agent that no check has reached.
    pub fn new(local: LocalCredentials, remote: RemoteCredentials, now: Instant) -> Agent {
        let (checks, repeats) = (TokenBucket::full(CHECKS, now), TokenBucket::full(CHECKS, now));
        let (remembered, outputs) = (VecDeque::new(), VecDeque::new());
        Agent { local, remote, paths: vec![], selected: None, checks, repeats, remembered, outputs }
    }

    /// This host's credentials.
    pub fn local(&self) -> &LocalCredentials {
        &self.local
    }

    /// The client's credentials.
    pub fn remote(&self) -> &RemoteCredentials {
        &self.remote
    }

    /// Restarts ICE (RFC 8445 §9). Datagrams go on over the selected path until the client has nominated one anew.
    pub fn restart(&mut self, local: LocalCredentials, remote: RemoteCredentials) {
        (self.local, self.remote) = (local, remote);
        let selected = self.selected;
        for nth in (0..self.paths.len()).rev() {
            if selected.is_some_and(|(protocol, route)| self.paths[nth].is(protocol, route)) {
                self.paths[nth].nominated = None;
            } else {
                self.forget(nth);
            }
        }
    }

    /// A Binding request with a USERNAME arrived. False if it is not the client's own, or comes too fast. `key` is the
    /// session's, for [`session_key`].
    pub fn handle_check(&mut self, datagram: &Datagram<'_>, message: &StunMessage<'_>, key: u32, now: Instant) -> bool {
        let is_to_us = message
            .split_username()
            .is_some_and(|(ours, theirs)| ours == self.local.ufrag && theirs == self.remote.ufrag);
        if !is_to_us || !self.is_genuine(message, &self.local.password) {
            return false;
        }
        let Some(transaction) = transaction_id(datagram.bytes) else { return false };
        // The budget last: what somebody else sends must not use it up.
        if !self.permits(datagram, &transaction, now) {
            return false;
        }
        if message.ice_controlled().is_some() {
            // A lite agent is always the controlled one (RFC 8445 §6.1.1).
            let error = StunWriter::new(BINDING_ERROR, &transaction).attribute(ERROR_CODE, &ROLE_CONFLICT);
            self.send(datagram, error, |agent| &agent.local.password);
            return true;
        }
        let nth = self.find_or_insert(datagram, now);
        let path = &mut self.paths[nth];
        path.heard = now;
        path.priority = message.prio().unwrap_or(0);
        if message.use_candidate() {
            path.nominated = Some(now);
        }
        let is_proved = path.is_proved;
        let response = StunWriter::new(BINDING_SUCCESS, &transaction).xor_mapped_address(datagram.source);
        self.send(datagram, response, |agent| &agent.local.password);
        if !is_proved {
            self.outputs.push_back(Output::Claimed(datagram.protocol, datagram.source));
            let check = self.own_check(datagram, key);
            self.send(datagram, check, |agent| &agent.remote.password);
        }
        self.select(now);
        true
    }

    /// A response to a check of our own arrived, or what claims to be one. False if it is none.
    pub fn handle_response(&mut self, datagram: &Datagram<'_>, key: u32, now: Instant) -> bool {
        let transaction = transaction_id(datagram.bytes);
        if transaction != Some(self.transaction(datagram, key)) {
            return false;
        }
        let (protocol, route) = (datagram.protocol, route_to(datagram));
        let Some(nth) = self.paths.iter().position(|path| path.is(protocol, route)) else { return false };
        // An error, a role conflict say, proves the path as well. Its integrity tells it from the answer of somebody who
        // has seen the check go by.
        let Ok(message) = StunMessage::parse(datagram.bytes) else { return false };
        if !self.is_genuine(&message, &self.remote.password) {
            return false;
        }
        if !std::mem::replace(&mut self.paths[nth].is_proved, true) {
            self.outputs.push_back(Output::Proved(protocol, datagram.source));
            self.select(now);
        }
        true
    }

    /// A report arrived over this path that only the client can have sent.
    pub fn handle_report(&mut self, datagram: (Protocol, Route), now: Instant) {
        if let Some(path) = self.paths.iter_mut().find(|path| path.is(datagram.0, datagram.1)) {
            path.heard = now;
        }
    }

    /// The path over which datagrams may leave now; None if there is none.
    pub fn selected(&self, now: Instant) -> Option<Route> {
        let (protocol, route) = self.selected?;
        self.paths.iter().any(|path| path.is(protocol, route) && path.is_alive(now)).then_some(route)
    }

    /// When the selected path is gone, unless something comes.
    pub fn expires(&self) -> Option<Instant> {
        let (protocol, route) = self.selected?;
        self.paths.iter().find(|path| path.is(protocol, route)).map(|path| path.heard + PATH_LIFETIME)
    }

    /// All addresses that are remembered.
    pub fn addresses(&self) -> impl Iterator<Item = (Protocol, SocketAddr)> {
        self.paths.iter().map(|path| (path.protocol, path.route.destination))
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether a genuine check is answered: it comes neither too fast nor again over another path.
    fn permits(&mut self, datagram: &Datagram<'_>, transaction: &TransactionId, now: Instant) -> bool {
        let [a, b, c, d, ..] = *transaction;
        let check = u32::from_be_bytes([a, b, c, d]);
        if self.remembered.contains(&check) {
            let is_known = self.paths.iter().any(|path| path.is(datagram.protocol, route_to(datagram)));
            return is_known && self.repeats.take(CHECKS, now).is_ok();
        }
        if self.checks.take(CHECKS, now).is_err() {
            return false;
        }
        if self.remembered.len() == REMEMBERED_CHECKS {
            self.remembered.pop_front();
        }
        self.remembered.push_back(check);
        true
    }

    /// The best of the paths that the client has nominated and proved. While there is none, the present one stays. Once
    /// that is silent, any proved one will do: a router may have given the client another port, and not all clients
    /// nominate again.
    fn select(&mut self, now: Instant) {
        let present =
            self.selected.and_then(|(protocol, route)| self.paths.iter().find(|path| path.is(protocol, route)));
        let needs_nomination = present.is_none_or(|path| path.is_recent(now));
        let usable =
            |path: &&Path| path.is_proved && path.is_alive(now) && (path.nominated.is_some() || !needs_nomination);
        let Some(best) = self.paths.iter().filter(usable).max_by_key(|path| path.rank(now)) else { return };
        let is_as_good = |present: &Path| usable(&present) && present.rank(now) == best.rank(now);
        if !present.is_some_and(is_as_good) {
            self.selected = Some((best.protocol, best.route));
        }
    }

    /// The path of a check. If there are too many, another one is forgotten, a proved one last.
    fn find_or_insert(&mut self, datagram: &Datagram<'_>, now: Instant) -> usize {
        let (protocol, route) = (datagram.protocol, route_to(datagram));
        if let Some(nth) = self.paths.iter().position(|path| path.is(protocol, route)) {
            return nth;
        }
        if self.paths.len() >= MAX_PATHS {
            let is_selected = |path: &Path| self.selected.is_some_and(|(protocol, route)| path.is(protocol, route));
            let candidates = self.paths.iter().enumerate().filter(|(_, path)| !is_selected(path));
            if let Some((nth, _)) =
                candidates.min_by_key(|(_, path)| (path.is_proved && path.is_alive(now), path.heard))
            {
                self.forget(nth);
            }
        }
        self.paths.push(Path { protocol, route, priority: 0, heard: now, nominated: None, is_proved: false });
        self.paths.len() - 1
    }

    fn forget(&mut self, nth: usize) {
        let path = self.paths.remove(nth);
        let address = path.route.destination;
        // Two paths may lead to the same address.
        if !self.addresses().any(|known| known == (path.protocol, address)) {
            self.outputs.push_back(Output::Forgotten(path.protocol, address));
        }
    }

    fn own_check(&self, datagram: &Datagram<'_>, key: u32) -> StunWriter {
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        StunWriter::new(BINDING_REQUEST, &self.transaction(datagram, key))
            .attribute(USERNAME, username.as_bytes())
            .attribute(PRIORITY, &PEER_REFLEXIVE_PRIORITY.to_be_bytes())
            .attribute(ICE_CONTROLLED, &self.local.tie_breaker)
    }

    /// The transaction id of our check to the sender of a datagram: the same each time, so that nothing need be
    /// remembered, and known to nobody who does not receive there.
    fn transaction(&self, datagram: &Datagram<'_>, key: u32) -> TransactionId {
        let ip = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let port = datagram.source.port().to_be_bytes();
        let mac = hmac_sha1(&self.local.secret, &[&ip(datagram.source), &port, &ip(datagram.destination)]);
        let mut transaction = [0; 12];
        let (front, back) = transaction.split_at_mut(KEY_BYTES);
        front.copy_from_slice(&key.to_be_bytes());
        back.copy_from_slice(&mac[..8]);
        transaction
    }

    fn is_genuine(&self, message: &StunMessage<'_>, password: &str) -> bool {
        message.verify(password.as_bytes(), hmac_sha1)
    }

    /// Sends a message to where a datagram came from, from the address that it was sent to.
    fn send(&mut self, to: &Datagram<'_>, message: StunWriter, password: impl Fn(&Agent) -> &String) {
        let contents = message.finish_with_integrity(password(self)).into();
        let (proto, Route { source, destination }) = (to.protocol, route_to(to));
        self.outputs.push_back(Output::Transmit(Transmit { proto, source, destination, contents }));
    }
}

/// The key of the session that a response is for, if it is one to a check of an [`Agent`].
pub fn session_key(response: &[u8]) -> Option<u32> {
    let transaction = transaction_id(response)?;
    transaction.first_chunk().map(|key| u32::from_be_bytes(*key))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rtc::ice::path::RECENT;

    const KEY: u32 = 77;

    /// An agent and what its client knows.
    struct Pair {
        agent: Agent,
        local: LocalCredentials,
        remote: RemoteCredentials,
        now: Instant,
        checks: u32,
    }

    impl Pair {
        fn new() -> Pair {
            let now = Instant::now();
            let local = LocalCredentials::random();
            let remote = RemoteCredentials { ufrag: "abcd".into(), password: "0123456789012345678901".into() };
            Pair { agent: Agent::new(local.clone(), remote.clone(), now), local, remote, now, checks: 0 }
        }

        /// Sends a check from a port, with or without USE-CANDIDATE. Returns what the agent sends in turn.
        fn check(&mut self, port: u16, priority: u32, nominates: bool) -> Vec<Vec<u8>> {
            self.check_as(0x802a, port, priority, nominates)
        }

        /// The same with this attribute for the role.
        fn check_as(&mut self, role: u16, port: u16, priority: u32, nominates: bool) -> Vec<Vec<u8>> {
            self.checks += 1;
            let mut transaction = [9; 12];
            transaction[..4].copy_from_slice(&self.checks.to_be_bytes());
            let username = format!("{}:{}", self.local.ufrag, self.remote.ufrag);
            let check = StunWriter::new(BINDING_REQUEST, &transaction)
                .attribute(USERNAME, username.as_bytes())
                .attribute(PRIORITY, &priority.to_be_bytes())
                .attribute(role, &[1; 8]);
            let check = if nominates { check.attribute(0x0025, &[]) } else { check };
            let bytes = check.finish_with_integrity(&self.local.password);
            self.agent.handle_check(&datagram(port, &bytes), &StunMessage::parse(&bytes).unwrap(), KEY, self.now);
            let outputs = std::iter::from_fn(|| self.agent.poll_output());
            let sent = outputs.filter_map(|output| match output {
                Output::Transmit(transmit) => Some(transmit.contents.to_vec()),
                _ => None,
            });
            sent.collect()
        }

        /// Answers the agent's own check, which is the last message sent.
        fn answer(&mut self, port: u16, sent: &[Vec<u8>], password: &str) -> bool {
            let transaction = transaction_id(sent.last().unwrap()).unwrap();
            let response = StunWriter::new(BINDING_SUCCESS, &transaction)
                .xor_mapped_address(address(port))
                .finish_with_integrity(password);
            self.agent.handle_response(&datagram(port, &response), KEY, self.now)
        }

        /// A check that nominates, and an answer.
        fn connect(&mut self, port: u16, priority: u32, nominates: bool) {
            let sent = self.check(port, priority, nominates);
            if sent.len() == 2 {
                assert!(self.answer(port, &sent, &self.remote.password.clone()));
            }
        }

        fn selected(&self) -> Option<u16> {
            self.agent.selected(self.now).map(|route| route.destination.port())
        }
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, 1], port))
    }

    fn datagram(port: u16, bytes: &[u8]) -> Datagram<'_> {
        let destination = SocketAddr::from(([192, 0, 2, 1], 8088));
        Datagram { protocol: Protocol::Udp, source: address(port), destination, bytes }
    }

    #[test]
    fn a_path_is_selected_once_the_client_has_answered_there_with_its_password() {
        let mut pair = Pair::new();
        let sent = pair.check(1, 5, true);
        assert_eq!((sent.len(), pair.selected()), (2, None), "a response and a check of our own");
        let password = pair.remote.password.clone();
        assert!(!pair.answer(1, &sent, &pair.local.password.clone()), "with another password");
        assert!(!pair.answer(2, &sent, &password), "from another address");
        assert!(!pair.answer(1, &sent[..1], &password), "to another check");
        assert_eq!(pair.selected(), None);
        assert_eq!(session_key(&sent[1]), Some(KEY));
        assert!(pair.answer(1, &sent, &password));
        assert_eq!(pair.selected(), Some(1));
        assert_eq!(pair.check(1, 5, true).len(), 1, "no further check of our own");
    }

    #[test]
    fn of_the_nominated_paths_that_are_in_use_the_best_is_selected() {
        let mut pair = Pair::new();
        pair.connect(1, 5, true);
        pair.connect(2, 4, true);
        pair.connect(3, 9, false);
        assert_eq!(pair.selected(), Some(1));
        pair.connect(3, 9, true);
        assert_eq!(pair.selected(), Some(3));
        // The client has moved: it nominates another one only.
        pair.now += RECENT;
        pair.connect(2, 4, true);
        assert_eq!(pair.selected(), Some(2));
        pair.now += PATH_LIFETIME;
        assert_eq!(pair.selected(), None);
        assert!(pair.agent.expires().unwrap() <= pair.now);
    }

    #[test]
    fn a_client_with_a_new_port_need_not_nominate_again() {
        let mut pair = Pair::new();
        pair.connect(1, 5, true);
        pair.now += Duration::from_secs(5);
        pair.connect(2, 5, false);
        assert_eq!(pair.selected(), Some(1), "the first one may be in use");
        pair.now += Duration::from_secs(2);
        pair.connect(2, 5, false);
        assert_eq!(pair.selected(), Some(2));
    }

    #[test]
    fn a_report_keeps_a_path_alive_and_makes_none_known() {
        let mut pair = Pair::new();
        pair.connect(1, 5, true);
        let path = |port| (Protocol::Udp, route_to(&datagram(port, &[])));
        pair.agent.handle_report(path(2), pair.now);
        assert_eq!(pair.agent.addresses().count(), 1);
        for _ in 0..10 {
            pair.now += PATH_LIFETIME / 2;
            pair.agent.handle_report(path(1), pair.now);
            assert_eq!(pair.selected(), Some(1));
        }
    }

    #[test]
    fn a_client_that_claims_our_role_is_told_so() {
        let mut pair = Pair::new();
        let sent = pair.check_as(ICE_CONTROLLED, 1, 5, true);
        let error = StunMessage::parse(&sent[0]).unwrap();
        assert_eq!((sent.len(), error.error_code().map(|(code, _)| code)), (1, Some(487)));
        assert!(error.verify(pair.local.password.as_bytes(), hmac_sha1));
        assert_eq!(pair.agent.addresses().count(), 0);
    }

    #[test]
    fn a_restart_keeps_the_path_until_there_is_another_and_needs_the_new_credentials() {
        let mut pair = Pair::new();
        pair.connect(1, 5, true);
        let old = (pair.local.clone(), pair.remote.clone());
        pair.local = LocalCredentials::random();
        pair.remote.ufrag = "wxyz".into();
        pair.agent.restart(pair.local.clone(), pair.remote.clone());
        assert_eq!(pair.selected(), Some(1));
        let new = (pair.local.clone(), pair.remote.clone());
        (pair.local, pair.remote) = old;
        assert!(pair.check(2, 9, true).is_empty(), "a check with the old credentials");
        (pair.local, pair.remote) = new;
        pair.connect(2, 3, true);
        assert_eq!(pair.selected(), Some(2), "even if the old one was better");
    }
}
