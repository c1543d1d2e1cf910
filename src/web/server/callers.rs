//! What one client may have at the same time, once it is known who the client is: behind a trusted proxy that is when a
//! request's head has been read. The acceptor limits the connections of all other clients. Every limit here is of an
//! address and the networks around it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::net::concurrency_limit::{ConcurrencyLimit, Permit};
use crate::net::shared_rate_limiter::SharedRateLimiter;
use crate::signal::limits::RoomLimits;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::message::Response;
use crate::web::transport::limits::Limits;

/// When a client may try again that has as much as it may.
const ADDRESS_RETRY_S: u32 = 5;
/// When a client may try again to get a streamed response.
const STREAM_RETRY_S: u32 = 10;
/// After a pause, so many seconds' worth of new WebSockets may come at once, as of connections.
const BURST_S: f64 = 5.0;

/// The limits, shared by all connections.
#[derive(Debug)]
pub(crate) struct CallerLimits {
    requests: ConcurrencyLimit,
    peers: ConcurrencyLimit,
    /// New WebSockets through proxies. The rate of all others is that of their connections.
    upgrades: SharedRateLimiter,
    streams: ConcurrencyLimit,
    max_streams: usize,
    open_streams: Arc<AtomicUsize>,
}

/// A streamed response, until dropped.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    _of_address: Permit,
    open: Arc<AtomicUsize>,
}

impl CallerLimits {
    pub fn new(limits: &Limits, rooms: &RoomLimits) -> CallerLimits {
        let per_s = limits.connections_per_s as f64;
        CallerLimits {
            requests: ConcurrencyLimit::within(limits.max_connections_per_address, limits.max_connections),
            peers: ConcurrencyLimit::within(rooms.max_peers_per_address, rooms.max_peers),
            upgrades: SharedRateLimiter::new(per_s, BURST_S * per_s),
            streams: ConcurrencyLimit::within(limits.max_listeners_per_address, limits.max_streamed_responses),
            max_streams: limits.max_streamed_responses,
            open_streams: Arc::default(),
        }
    }

    /// A request that a trusted proxy sent for this client. It keeps one of the proxy's connections busy, so it counts as a
    /// connection of the client.
    ///
    /// # Errors
    /// The response, if the client has as many as it may.
    pub fn request(&self, client: IpAddr) -> Result<Permit, Response> {
        let message = "As many requests as one address may have at a time are being answered.";
        self.requests.take(client).ok_or_else(|| too_many(message, ADDRESS_RETRY_S))
    }

    /// A WebSocket of this client.
    ///
    /// # Errors
    /// The response, if the client has as many as it may, or opens them too fast.
    pub fn peer(&self, client: IpAddr, is_through_proxy: bool, now: Instant) -> Result<Permit, Response> {
        if is_through_proxy {
            let too_fast = |wait: Duration| {
                too_many("WebSockets from this address come too fast.", 1 + wait.as_secs().min(60) as u32)
            };
            self.upgrades.take(client, now).map_err(too_fast)?;
        }
        let message = "As many peers as one address may have are in rooms.";
        self.peers.take(client).ok_or_else(|| too_many(message, ADDRESS_RETRY_S))
    }

    /// A streamed response for this client: a listener without a session.
    ///
    /// # Errors
    /// The response, if the client has as many as it may, or there are as many as there may be.
    pub fn stream(&self, client: IpAddr) -> Result<StreamPermit, Response> {
        let message = "As many streamed responses as one address may have are being sent.";
        let of_address = self.streams.take(client).ok_or_else(|| too_many(message, STREAM_RETRY_S))?;
        let one_more = |open| (open < self.max_streams).then_some(open + 1);
        if self.open_streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            let full = Response::error(ErrorCode::Full, "The limit of streamed responses is reached.");
            return Err(full.retry_after(STREAM_RETRY_S));
        }
        Ok(StreamPermit { _of_address: of_address, open: Arc::clone(&self.open_streams) })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn too_many(message: &str, retry_after_s: u32) -> Response {
    Response::error(ErrorCode::TooManyFromAddress, message).retry_after(retry_after_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(result: Result<impl Sized, Response>) -> u16 {
        result.map_or_else(|response| response.status, |_| 200)
    }

    #[test]
    fn one_address_takes_no_more_than_its_streams_and_all_no_more_than_there_are() {
        let limits = Limits { max_streamed_responses: 3, max_listeners_per_address: 2, ..Limits::default() };
        let callers = CallerLimits::new(&limits, &RoomLimits::default());
        let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
        let taken = [callers.stream(ip(1)).unwrap(), callers.stream(ip(1)).unwrap()];
        assert_eq!(status(callers.stream(ip(1))), 429);
        let other = callers.stream(ip(2)).unwrap();
        assert_eq!(status(callers.stream(ip(3))), 503);
        assert_eq!(status(callers.stream(ip(3))), 503, "the refusal has given its permit back");
        drop((taken, other));
        assert_eq!(status(callers.stream(ip(1))), 200);
    }

    #[test]
    fn only_peers_behind_proxies_have_a_rate_of_their_own() {
        let callers = CallerLimits::new(&Limits { connections_per_s: 1, ..Limits::default() }, &RoomLimits::default());
        let (ip, now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        let statuses = [(); 6].map(|()| status(callers.peer(ip, true, now)));
        assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
        assert_eq!(status(callers.peer(ip, false, now)), 200);
    }
}
