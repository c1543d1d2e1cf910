//! The rtc threads. Each has a UDP socket and sessions of its own; a session's id carries the number of its thread. They
//! share the tracks and the counts.

pub mod handle;
mod shared;
mod thread;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use crate::observe::reports::Report;
use crate::observe::service::Running;
use crate::rtc::metrics::RtcMetrics;
use crate::rtc::profile::{OpusTrack, Profile, Role};

use handle::Handle;
use shared::{Shared, ThreadLink};
use thread::{RtcThread, Socket};

/// How the engine is set up.
#[derive(Debug)]
pub struct EngineSetup {
    /// Bound sockets; each gets an rtc thread. At most 256.
    pub sockets: Vec<UdpSocket>,
    /// Sessions in all; an offer beyond that is refused.
    pub max_sessions: usize,
    /// The same for one client's address.
    pub max_sessions_per_address: usize,
    /// Offers a second from one client's address, on average; five times as many at once. Each costs an rtc thread a DTLS
    /// handshake.
    pub offers_per_s: usize,
    /// Whether packets are sealed beside str0m. If not, every packet passes through it: the reference that benches and tests
    /// compare with.
    pub seal: bool,
    /// Where the engine counts.
    pub metrics: RtcMetrics,
}

/// Starts an rtc thread on each socket. Stopping closes every session and tells its client.
///
/// # Errors
/// If there is no socket or too many, or if the operating system denies a poll, a thread or what UDP needs.
pub fn start(setup: EngineSetup, reports: Sender<Report>) -> io::Result<Running<Handle>> {
    let EngineSetup { sockets, max_sessions, max_sessions_per_address, offers_per_s, seal, metrics } = setup;
    if sockets.is_empty() || sockets.len() > 256 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the engine needs 1 to 256 UDP sockets"));
    }
    let (mut links, mut polled) = (vec![], vec![]);
    for socket in sockets {
        let local = socket.local_addr()?;
        let (socket, waker) = Socket::new(socket)?;
        polled.push(socket);
        links.push(ThreadLink::new(waker, local));
    }
    let shared = Arc::new(Shared::new(links, max_sessions, max_sessions_per_address, offers_per_s, metrics));
    let handle = Handle::new(shared.clone(), profile(seal)?);
    let ask_to_stop = move |shared: Arc<Shared>| {
        shared.stopping.store(true, Ordering::Release);
        shared.threads.iter().for_each(ThreadLink::wake);
    };
    let mut threads = vec![];
    for (nth, socket) in polled.into_iter().enumerate() {
        match RtcThread::new(nth, socket, shared.clone(), reports.clone()).start(reports.clone()) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                ask_to_stop(shared);
                return Err(error);
            }
        }
    }
    Ok(Running::new(handle, threads, move || ask_to_stop(shared)))
}

/// One certificate for the process: making one for every session would cost more than the rest of its setup.
fn profile(seal: bool) -> io::Result<Profile> {
    let certificate = str0m::crypto::from_feature_flags()
        .dtls_provider
        .generate_certificate()
        .ok_or_else(|| io::Error::other("the crypto library made no DTLS certificate"))?;
    // Each track puts its own properties in.
    let role = Role::Listener(OpusTrack { stereo: true, fec: false, min_packet_ms: 20 });
    Ok(Profile { certificate, role, seal })
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::rtc::udp::socket;

    fn setup(sockets: usize) -> EngineSetup {
        let socket = || socket::bind(Some([127, 0, 0, 1].into()), 0).unwrap();
        EngineSetup {
            sockets: (0..sockets).map(|_| socket()).collect(),
            max_sessions: 0,
            max_sessions_per_address: 0,
            offers_per_s: 0,
            seal: true,
            metrics: RtcMetrics::default(),
        }
    }

    #[test]
    fn threads_answer_until_they_are_stopped() {
        let engine = start(setup(2), bounded(8).0).unwrap();
        let handle = engine.handle.clone();
        assert!(handle.answers());
        engine.stop().unwrap();
        assert!(!handle.answers());
        assert!(start(setup(0), bounded(8).0).is_err());
    }
}
