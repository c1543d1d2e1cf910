//! An rtc thread's UDP socket: datagrams in and out, in batches, with both addresses of each.
//!
//! Runs on the rtc thread. A wildcard socket must answer from the address that was asked, or ICE does not accept the answer,
//! so every datagram carries source and destination. quinn-udp reads (recvmmsg and GRO on Linux) and sends, except on Linux,
//! where one `sendmmsg` carries a whole batch to as many receivers.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use socket2::{Domain, Socket, Type};
use str0m::net::{Protocol, Transmit};

use crate::rtc::udp::batch::{Batch, Route};
use crate::rtc::udp::classify::Datagram;
#[cfg(target_os = "linux")]
use crate::rtc::udp::sendmmsg::Outbox;

/// Kernel buffers: one packet to every one of several thousand listeners must fit at once.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Room for one read. WebRTC datagrams stay under 1,500 bytes; with GRO several of one sender arrive as one read.
const READ_BYTES: usize = 16 << 10;

/// Datagrams that wait for room in the kernel. Full means that the oldest is dropped: sound that comes late is useless.
const UNSENT_LIMIT: usize = 16 << 10;

/// Binds a UDP socket: to `address`, or to every address, IPv6 and IPv4 alike.
///
/// # Errors
/// As the operating system says, most often that the port is in use.
pub fn bind(address: Option<IpAddr>, port: u16) -> io::Result<std::net::UdpSocket> {
    match address {
        Some(ip) => bind_to(SocketAddr::new(ip, port)),
        // A host without IPv6 still has IPv4.
        None => bind_to(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Err(error),
            _ => bind_to(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)),
        }),
    }
}

fn bind_to(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(socket2::Protocol::UDP))?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    // The kernel grants what its limits allow; a smaller buffer only means earlier drops under load.
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    Ok(socket.into())
}

/// The socket, readable and writable without blocking.
pub struct Datagrams {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    buffers: Vec<Vec<u8>>,
    outbox: Outbox,
    unsent: VecDeque<(Route, Vec<u8>)>,
}

/// What happened to queued datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Datagrams the kernel took.
    pub sent: u64,
    /// Datagrams the kernel refused, or that waited too long.
    pub dropped: u64,
}

impl Datagrams {
    /// Takes over a bound socket.
    ///
    /// # Errors
    /// If the operating system lacks what is needed to learn a datagram's destination.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Datagrams> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        let local = socket.local_addr()?;
        Ok(Datagrams {
            #[cfg(target_os = "linux")]
            outbox: Outbox::new(local),
            #[cfg(not(target_os = "linux"))]
            outbox: Outbox { state: UdpSocketState::new((&socket).into())?, local },
            state,
            local,
            buffers: vec![vec![0; READ_BYTES]; BATCH_SIZE],
            unsent: VecDeque::new(),
            socket: mio::net::UdpSocket::from_std(socket),
        })
    }

    /// For registering with a poll.
    pub fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    /// Reads one batch and hands over each datagram. False when nothing is left.
    ///
    /// # Errors
    /// As the operating system says; the socket stays usable.
    pub fn receive(&mut self, mut deliver: impl FnMut(&Datagram<'_>)) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut slices: Vec<IoSliceMut> = self.buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let count = match self.state.recv((&self.socket).into(), &mut slices, &mut metas) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in metas.iter().zip(&self.buffers).take(count) {
            let source = canonical(meta.addr);
            let destination = SocketAddr::new(meta.dst_ip.unwrap_or(self.local.ip()).to_canonical(), self.local.port());
            for bytes in buffer[..meta.len].chunks(meta.stride.max(1)) {
                deliver(&Datagram { protocol: Protocol::Udp, source, destination, bytes });
            }
        }
        // Linux reads all that are there in one call; other systems may read one at a time.
        let all = if cfg!(target_os = "linux") { BATCH_SIZE } else { 1 };
        Ok(count >= all)
    }

    /// Queues a datagram for [`Datagrams::flush`].
    pub fn queue(&mut self, transmit: Transmit) {
        let route = Route { source: transmit.source, destination: transmit.destination };
        self.unsent.push_back((route, transmit.contents.into()));
    }

    /// Sends what is queued, as much as the kernel takes. What it does not take now stays queued, up to a limit.
    pub fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        while !self.unsent.is_empty() {
            let waiting = self.unsent.iter().map(|(route, bytes)| (route, &bytes[..]));
            match self.outbox.send(&self.socket, waiting) {
                Ok(taken) => {
                    flushed.sent += taken as u64;
                    self.unsent.drain(..taken);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Unreachable, forbidden, too long: another try would not help, and the next datagram may succeed.
                Err(_) => {
                    flushed.dropped += 1;
                    self.unsent.pop_front();
                }
            }
        }
        let surplus = self.unsent.len().saturating_sub(UNSENT_LIMIT);
        self.unsent.drain(..surplus);
        flushed.dropped += surplus as u64;
        flushed
    }

    /// Sends a batch behind what is queued. What the kernel does not take now is queued.
    pub fn send(&mut self, batch: &Batch) -> Flushed {
        let mut flushed = self.flush();
        let mut done = 0;
        while done < batch.len() && self.unsent.is_empty() {
            match self.outbox.send(&self.socket, batch.iter().skip(done)) {
                Ok(taken) => {
                    flushed.sent += taken as u64;
                    done += taken;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    flushed.dropped += 1;
                    done += 1;
                }
            }
        }
        self.unsent.extend(batch.iter().skip(done).map(|(route, bytes)| (*route, bytes.to_vec())));
        flushed
    }

    /// Whether something waits until the kernel has room.
    pub fn is_waiting(&self) -> bool {
        !self.unsent.is_empty()
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Systems without `sendmmsg`: one system call for each datagram.
#[cfg(not(target_os = "linux"))]
struct Outbox {
    state: UdpSocketState,
    local: SocketAddr,
}

#[cfg(not(target_os = "linux"))]
impl Outbox {
    fn send<'a>(
        &mut self,
        socket: &mio::net::UdpSocket,
        mut datagrams: impl Iterator<Item = (&'a Route, &'a [u8])>,
    ) -> io::Result<usize> {
        let Some((route, contents)) = datagrams.next() else { return Ok(0) };
        let destination = match (route.destination, self.local) {
            (SocketAddr::V4(v4), SocketAddr::V6(_)) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            (address, _) => address,
        };
        let src_ip = Some(route.source.ip());
        let transmit = quinn_udp::Transmit { destination, ecn: None, contents, segment_size: None, src_ip };
        self.state.try_send(socket.into(), &transmit).map(|()| 1)
    }
}
