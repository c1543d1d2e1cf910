//! The ICE agent of one session: it answers the client's checks, and says over which path datagrams may leave.
//!
//! Pure. A lite agent (RFC 8445 §2.5): it gathers nothing and paces nothing, the client decides what is checked when. But
//! whoever holds a session can write any source address on a check, so that is no proof that somebody there asked for
//! anything. So an address gets nothing but STUN before it has answered a check of our own, whose transaction id only that
//! address has seen (§7.3.1.4, triggered checks). Each of our checks follows one of the client's, so there are never more
//! of them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::ice::StunMessage;
use str0m::net::{Protocol, Transmit};

use crate::net::token_bucket::{Rate, TokenBucket};
use crate::rtc::ice::credentials::{LocalCredentials, RemoteCredentials};
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

/// A path on which nothing genuine has arrived for so long is gone. Browsers check every 2 to 6 s (RFC 7675 §5.1: consent
/// expires after 30 s); some clients only if they have sent nothing else.
const PATH_LIFETIME: Duration = Duration::from_secs(15);

/// A path that was nominated within this time is preferred to one that was not: a client that has moved nominates its
/// new path only.
const NOMINATION_LIFETIME: Duration = Duration::from_secs(6);

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

/// A pair of addresses that a genuine check has used.
#[derive(Debug)]
struct Path {
    protocol: Protocol,
    route: Route,
    /// As the client sees it (RFC 8445 §7.1.1).
    priority: u32,
    /// When the latest check or report of the client arrived.
    heard: Instant,
    /// When the client last asked to use it.
    nominated: Option<Instant>,
    is_proved: bool,
}

impl Path {
    fn is(&self, protocol: Protocol, route: Route) -> bool {
        self.protocol == protocol && self.route == route
    }

    fn is_alive(&self, now: Instant) -> bool {
        now < self.heard + PATH_LIFETIME
    }

    /// What is preferred has the larger one.
    fn rank(&self, now: Instant) -> (bool, u32) {
        (self.nominated.is_some_and(|at| now < at + NOMINATION_LIFETIME), self.priority)
    }
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

    /// The best of the paths that the client has nominated and proved. While there is none, the present one stays.
    fn select(&mut self, now: Instant) {
        let usable = |path: &&Path| path.is_proved && path.nominated.is_some() && path.is_alive(now);
        let best = self.paths.iter().filter(usable).max_by_key(|path| path.rank(now));
        let present =
            self.selected.and_then(|(protocol, route)| self.paths.iter().find(|path| path.is(protocol, route)));
        let Some(best) = best else { return };
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

fn route_to(datagram: &Datagram<'_>) -> Route {
    Route { source: datagram.destination, destination: datagram.source }
}
