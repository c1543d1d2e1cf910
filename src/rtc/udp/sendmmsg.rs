//! `sendmmsg`, with the source address of each datagram as ancillary data where the socket has several (ip(7), ipv6(7)).
//!
//! Linux only, on the rtc thread. The tables that the call needs are kept between calls.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use crate::rtc::udp::batch::{BATCH, Route};

/// Room for one `in6_pktinfo`, the larger of the two, with its header.
const CONTROL_BYTES: usize = 48;

/// `cmsghdr` must be aligned like a `usize`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// Large enough for an address of either family; the family tells which one it is.
#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

struct Tables {
    names: [Name; BATCH],
    controls: [Control; BATCH],
    vectors: [libc::iovec; BATCH],
    messages: [libc::mmsghdr; BATCH],
}

/// The system call and its tables.
pub(crate) struct Outbox {
    tables: Box<Tables>,
    is_ipv6: bool,
    sets_source: bool,
}

// SAFETY: the pointers in the tables are written before each call and are not used between calls.
unsafe impl Send for Outbox {}

impl Outbox {
    /// For a socket bound to `local`.
    pub(crate) fn new(local: SocketAddr) -> Outbox {
        // SAFETY: all-zero is a valid value of every field: null pointers, zero lengths, integers.
        let tables = Box::new(unsafe { mem::zeroed::<Tables>() });
        Outbox { tables, is_ipv6: local.is_ipv6(), sets_source: local.ip().is_unspecified() }
    }

    /// Sends some of the first [`BATCH`] datagrams, at least one.
    ///
    /// Returns how many. An error is about the first.
    pub(crate) fn send<'a>(
        &mut self,
        socket: &impl AsRawFd,
        datagrams: impl Iterator<Item = (&'a Route, &'a [u8])>,
    ) -> io::Result<usize> {
        let tables = &mut *self.tables;
        let mut count = 0;
        for (n, (route, bytes)) in datagrams.take(BATCH).enumerate() {
            tables.vectors[n].iov_base = bytes.as_ptr().cast_mut().cast();
            tables.vectors[n].iov_len = bytes.len();
            let header = &mut tables.messages[n].msg_hdr;
            header.msg_namelen = write_name(&mut tables.names[n], route.destination, self.is_ipv6);
            header.msg_name = (&raw mut tables.names[n]).cast();
            header.msg_iov = &raw mut tables.vectors[n];
            header.msg_iovlen = 1;
            if self.sets_source {
                header.msg_control = tables.controls[n].0.as_mut_ptr().cast();
                header.msg_controllen = CONTROL_BYTES as _;
                write_source(header, route.source.ip());
            }
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        let messages = tables.messages.as_mut_ptr();
        // SAFETY: the first `count` messages were filled above; every pointer in them points into the tables or to the
        // datagrams' bytes, all of which outlive the call. The kernel writes to `msg_len` only.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages, count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Writes an address in the form of the socket's family. A dual-stack socket has IPv4 addresses as `::ffff:a.b.c.d`.
///
/// Returns its length.
fn write_name(name: &mut Name, address: SocketAddr, is_ipv6: bool) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) if !is_ipv6 => {
            name.v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            mem::size_of::<libc::sockaddr_in>() as _
        }
        _ => {
            let (ip, scope) = match address {
                SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
                SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
            };
            name.v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as _,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: ip.octets() },
                sin6_scope_id: scope,
            };
            mem::size_of::<libc::sockaddr_in6>() as _
        }
    }
}

/// Writes the source address as the message's only ancillary datum, and its length into the header.
fn write_source(header: &mut libc::msghdr, source: IpAddr) {
    // SAFETY: `msg_control` has room and alignment for one header with the larger of the two payloads, so CMSG_FIRSTHDR
    // is not null and both writes stay within it.
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
                let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 };
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
