//! Receives datagrams with the kernel's time stamp (SO_TIMESTAMPNS): when a datagram arrived, however late the reader
//! woke up.

#[cfg(target_os = "linux")]
pub use linux::{enable_timestamps, receive};
#[cfg(not(target_os = "linux"))]
pub use others::{enable_timestamps, receive};

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::mem;
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant, SystemTime};

    pub fn enable_timestamps(socket: &UdpSocket) {
        let on: libc::c_int = 1;
        // SAFETY: the option's value is an int, and its size is given.
        let result = unsafe {
            let (value, size) = ((&raw const on).cast(), mem::size_of_val(&on) as libc::socklen_t);
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, value, size)
        };
        assert_eq!(result, 0, "SO_TIMESTAMPNS is supported");
    }

    pub fn receive(socket: &UdpSocket, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr, Instant)> {
        #[repr(align(8))]
        struct Control([u8; 64]);
        let mut control = Control([0; 64]);
        // SAFETY: all-zero is a valid address and a valid, empty message header.
        let (mut name, mut message): (libc::sockaddr_in, libc::msghdr) = unsafe { mem::zeroed() };
        let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        message.msg_name = (&raw mut name).cast();
        message.msg_namelen = mem::size_of_val(&name) as _;
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len() as _;
        // SAFETY: every pointer in `message` points to a local variable that outlives the call.
        let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let (now, wall) = (Instant::now(), SystemTime::now());
        // SAFETY: the kernel has filled the control buffer; CMSG_FIRSTHDR is null if the buffer holds no header, and a
        // header of this type is followed by a timespec.
        let stamp = unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (!header.is_null() && (*header).cmsg_type == libc::SCM_TIMESTAMPNS)
                .then(|| libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned())
        };
        let age = stamp.and_then(|stamp| {
            let at = SystemTime::UNIX_EPOCH + Duration::new(stamp.tv_sec as u64, stamp.tv_nsec as u32);
            wall.duration_since(at).ok()
        });
        let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
        let source = SocketAddr::from((ip, u16::from_be(name.sin_port)));
        Ok((length, source, now - age.unwrap_or_default()))
    }
}

/// Without time stamps of the kernel: the time at which the reader woke up.
#[cfg(not(target_os = "linux"))]
mod others {
    use std::io;
    use std::net::{SocketAddr, UdpSocket};
    use std::time::Instant;

    pub fn enable_timestamps(_: &UdpSocket) {}

    pub fn receive(socket: &UdpSocket, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr, Instant)> {
        let (length, source) = socket.recv_from(bytes)?;
        Ok((length, source, Instant::now()))
    }
}
