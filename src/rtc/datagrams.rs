//! The one UDP socket: datagrams in and out, in batches, with both addresses of each.
//!
//! Runs on the rtc thread. A wildcard socket must answer from the very address it was asked on, or ICE takes the answer
//! for a stranger's, so every datagram carries source and destination. Reading is quinn-udp's (recvmmsg and GRO on
//! Linux); so is sending, except on Linux, where one `sendmmsg` carries a whole turn's datagrams to as many listeners.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use str0m::net::Transmit;

/// Kernel buffers: one packet to every one of several thousand listeners must fit at once.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Room for one read. WebRTC datagrams stay under 1,500 bytes; with GRO several of one sender arrive as one read.
const READ_BYTES: usize = 16 << 10;

/// Datagrams that wait for the kernel to take them. Beyond that the oldest is dropped: late sound is no sound.
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
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    // The kernel grants what its limits allow; less only means an earlier drop under load.
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
    unsent: VecDeque<Transmit>,
}

/// What became of what was queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Datagrams the kernel took.
    pub sent: u64,
    /// Datagrams the kernel refused, or that waited too long.
    pub dropped: u64,
}

impl Datagrams {
    /// Takes a bound socket over.
    ///
    /// # Errors
    /// If the operating system lacks what is needed to learn a datagram's destination.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Datagrams> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        let local = socket.local_addr()?;
        Ok(Datagrams {
            socket: mio::net::UdpSocket::from_std(socket),
            state,
            local,
            buffers: vec![vec![0; READ_BYTES]; BATCH_SIZE],
            unsent: VecDeque::new(),
        })
    }

    /// For registering with a poll.
    pub fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    /// Reads one batch and hands over each datagram: source, destination, bytes. False when there was nothing to read.
    ///
    /// # Errors
    /// As the operating system says; the socket stays usable.
    pub fn receive(&mut self, mut deliver: impl FnMut(SocketAddr, SocketAddr, &[u8])) -> io::Result<bool> {
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
                deliver(source, destination, bytes);
            }
        }
        Ok(count > 0)
    }

    /// Queues a datagram for [`Datagrams::flush`].
    pub fn queue(&mut self, transmit: Transmit) {
        self.unsent.push_back(transmit);
    }

    /// Sends what is queued, as much as the kernel takes. What it does not take now stays queued, up to a limit.
    pub fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        while !self.unsent.is_empty() {
            let (head, _) = self.unsent.as_slices();
            match send_batch(&self.socket, &self.state, self.local, head) {
                Ok(taken) => {
                    flushed.sent += taken as u64;
                    self.unsent.drain(..taken);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Unreachable, forbidden, too long: of no use to try again, and no fault of the next one.
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
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A dual-stack socket speaks of IPv4 as `::ffff:a.b.c.d`.
fn for_socket(address: SocketAddr, local: SocketAddr) -> SocketAddr {
    match (address, local) {
        (SocketAddr::V4(v4), SocketAddr::V6(_)) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        _ => address,
    }
}

/// Sends one datagram or more; how many. An error speaks of the first.
#[cfg(not(target_os = "linux"))]
fn send_batch(
    socket: &mio::net::UdpSocket,
    state: &UdpSocketState,
    local: SocketAddr,
    batch: &[Transmit],
) -> io::Result<usize> {
    let Some(first) = batch.first() else { return Ok(0) };
    let transmit = quinn_udp::Transmit {
        destination: for_socket(first.destination, local),
        ecn: None,
        contents: &first.contents,
        segment_size: None,
        src_ip: Some(first.source.ip()),
    };
    state.try_send(socket.into(), &transmit).map(|()| 1)
}

#[cfg(target_os = "linux")]
use linux::send_batch;

#[cfg(target_os = "linux")]
mod linux {
    //! `sendmmsg`, with the source address of each datagram as ancillary data (ip(7), ipv6(7)).
    #![allow(unsafe_code)]

    use std::mem;
    use std::os::fd::AsRawFd;

    use socket2::SockAddr;

    use super::{IpAddr, SocketAddr, Transmit, UdpSocketState, for_socket, io};

    /// Messages of one call: enough that the call itself no longer counts, few enough for the stack.
    const BATCH: usize = 64;

    /// Room for one `in6_pktinfo`, the larger of the two, with its header.
    const CONTROL_BYTES: usize = 48;

    /// `cmsghdr` must be aligned like a `usize`.
    #[repr(C, align(8))]
    #[derive(Clone, Copy)]
    struct Control([u8; CONTROL_BYTES]);

    pub(super) fn send_batch(
        socket: &mio::net::UdpSocket,
        _state: &UdpSocketState,
        local: SocketAddr,
        batch: &[Transmit],
    ) -> io::Result<usize> {
        let batch = &batch[..batch.len().min(BATCH)];
        let mut names: [mem::MaybeUninit<SockAddr>; BATCH] = [const { mem::MaybeUninit::uninit() }; BATCH];
        let mut controls = [Control([0; CONTROL_BYTES]); BATCH];
        // SAFETY: all-zero is a valid value of both: null pointers and zero lengths.
        let mut vectors: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for (n, transmit) in batch.iter().enumerate() {
            let name = names[n].write(for_socket(transmit.destination, local).into());
            vectors[n].iov_base = transmit.contents.as_ptr().cast_mut().cast();
            vectors[n].iov_len = transmit.contents.len();
            let header = &mut messages[n].msg_hdr;
            header.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_namelen = name.len();
            header.msg_iov = &raw mut vectors[n];
            header.msg_iovlen = 1;
            header.msg_control = controls[n].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES as _;
            write_source(header, transmit.source.ip());
        }
        // SAFETY: every pointer in `messages` leads to `names`, `vectors`, `controls` or `batch`, all of which outlive
        // the call; the kernel writes to `msg_len` only.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), batch.len() as _, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Writes the source address as the message's only ancillary datum, and its length into the header.
    fn write_source(header: &mut libc::msghdr, source: IpAddr) {
        // SAFETY: `msg_control` has room and alignment for one header with the larger of the two payloads, so
        // CMSG_FIRSTHDR is not null and both writes stay within it.
        unsafe {
            let control = libc::CMSG_FIRSTHDR(header);
            match source {
                IpAddr::V4(ip) => {
                    let info = libc::in_pktinfo {
                        ipi_ifindex: 0,
                        ipi_spec_dst: libc::in_addr { s_addr: u32::from(ip).to_be() },
                        ipi_addr: libc::in_addr { s_addr: 0 },
                    };
                    write_control(header, control, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
                }
                IpAddr::V6(ip) => {
                    let info =
                        libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 };
                    write_control(header, control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
                }
            }
        }
    }

    /// # Safety
    /// `control` must point to room for a header and a `T`, within `header.msg_control`.
    unsafe fn write_control<T>(
        header: &mut libc::msghdr,
        control: *mut libc::cmsghdr,
        level: libc::c_int,
        kind: libc::c_int,
        value: T,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            (*control).cmsg_level = level;
            (*control).cmsg_type = kind;
            (*control).cmsg_len = libc::CMSG_LEN(mem::size_of::<T>() as _) as _;
            libc::CMSG_DATA(control).cast::<T>().write_unaligned(value);
            header.msg_controllen = libc::CMSG_SPACE(mem::size_of::<T>() as _) as _;
        }
    }
}
