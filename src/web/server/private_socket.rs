//! The private socket between the connections' threads and tiny_http, which other users of the machine cannot use. Set
//! up once, by the thread that starts the server; it sends and receives nothing.
//!
//! Where there are Unix sockets, it is bound in a folder of its own that only this user may enter (mode 0700), and
//! removed together with that folder as soon as all connections are made, so that even a process that is killed leaves
//! nothing behind. A connection that breaks later is made again through an open descriptor of the socket, which Linux
//! permits (proc(5)); elsewhere, and without `/proc`, the folder stays until the server stops. TCP on the loopback
//! interface serves where no folder can be written, and on systems without Unix sockets. An abstract socket (unix(7))
//! would be no better than that: every local user can connect to it too, and tiny_http 0.12 panics when it drops a
//! listener that has no path.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use socket2::{Domain, SockAddr, Socket, Type};

/// Connections that may wait to be accepted; each is tried before the next is opened, so one would do.
const BACKLOG: i32 = 128;

/// Where tiny_http listens.
pub(crate) struct PrivateAddress {
    address: SockAddr,
    domain: Domain,
    #[cfg(unix)]
    place: Option<unix::Place>,
}

/// Binds the socket in the first of these folders that can be written.
pub(crate) fn bind(folders: &[PathBuf]) -> io::Result<(tiny_http::Listener, PrivateAddress)> {
    #[cfg(unix)]
    for folder in folders {
        match unix::bind(folder) {
            Ok(bound) => return Ok(bound),
            Err(error) => log::debug!("{}: no private socket can be bound here: {error}", folder.display()),
        }
    }
    #[cfg(not(unix))]
    let _ = folders;
    bind_loopback()
}

fn bind_loopback() -> io::Result<(tiny_http::Listener, PrivateAddress)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Inherited by what is accepted. tiny_http writes head and body apart and sets no such option itself: the second
    // part would wait for our delayed acknowledgement of the first, up to 40 ms.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    let address = socket.local_addr()?;
    let listener = std::net::TcpListener::from(socket);
    let address = PrivateAddress {
        address,
        domain: Domain::IPV4,
        #[cfg(unix)]
        place: None,
    };
    Ok((listener.into(), address))
}

impl PrivateAddress {
    /// Makes a connection.
    pub fn connect(&self) -> io::Result<Socket> {
        let socket = self.socket()?;
        socket.connect(&self.address)?;
        if self.domain == Domain::IPV4 {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(socket)
    }

    /// A socket that could be connected, if the process may open one more descriptor.
    pub fn socket(&self) -> io::Result<Socket> {
        Socket::new(self.domain, Type::STREAM, None)
    }

    /// Removes the socket from its folder, and the folder, if connections can still be made without.
    pub fn unlink(&mut self) {
        #[cfg(unix)]
        if let Some(address) = self.place.as_mut().and_then(unix::Place::unlink) {
            self.address = address;
        }
    }
}

#[cfg(unix)]
mod unix {
    //! A Unix socket in a folder of its own.

    use std::fs::{self, DirBuilder, File};
    use std::io;
    use std::os::unix::fs::DirBuilderExt;
    use std::os::unix::net::UnixListener;
    use std::path::{Path, PathBuf};

    use socket2::{Domain, SockAddr, Socket, Type};

    use super::{BACKLOG, PrivateAddress};

    /// The folder and the socket in it; both are removed when this is dropped.
    pub(crate) struct Place {
        /// None once it is removed.
        folder: Option<PathBuf>,
        /// Leads to the socket after that.
        descriptor: Option<File>,
    }

    pub(crate) fn bind(parent: &Path) -> io::Result<(tiny_http::Listener, PrivateAddress)> {
        let mut place = Place { folder: Some(create_folder(parent)?), descriptor: None };
        let path = place.path().ok_or(io::ErrorKind::NotFound)?;
        let address = SockAddr::unix(&path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&address)?;
        socket.listen(BACKLOG)?;
        place.descriptor = open(&path);
        let address = PrivateAddress { address, domain: Domain::UNIX, place: Some(place) };
        Ok((UnixListener::from(socket).into(), address))
    }

    /// A new folder that only this user may enter, whatever the umask is.
    fn create_folder(parent: &Path) -> io::Result<PathBuf> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let folder = parent.join(format!("roomtone-{:016x}", u64::from_be_bytes(bytes)));
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(folder)
    }

    /// A descriptor that only names the socket; other systems cannot open one.
    #[cfg(target_os = "linux")]
    fn open(path: &Path) -> Option<File> {
        use std::os::unix::fs::OpenOptionsExt;
        File::options().read(true).custom_flags(libc::O_PATH).open(path).ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn open(_: &Path) -> Option<File> {
        None
    }

    impl Place {
        /// Where the socket is.
        pub fn path(&self) -> Option<PathBuf> {
            self.folder.as_ref().map(|folder| folder.join("http"))
        }

        /// Removes both, if there is another way to the socket, which is returned then.
        pub fn unlink(&mut self) -> Option<SockAddr> {
            use std::os::fd::AsRawFd;
            let path = PathBuf::from(format!("/proc/self/fd/{}", self.descriptor.as_ref()?.as_raw_fd()));
            fs::metadata(&path).ok()?;
            let address = SockAddr::unix(path).ok()?;
            self.remove();
            Some(address)
        }

        fn remove(&mut self) {
            let (Some(path), Some(folder)) = (self.path(), self.folder.take()) else { return };
            // tiny_http removes the socket itself when it is dropped, and may have been faster.
            let _ = fs::remove_file(path);
            if let Err(error) = fs::remove_dir(&folder) {
                log::debug!("{}: not removed: {error}", folder.display());
            }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            self.remove();
        }
    }

    #[cfg(test)]
    mod tests {
        use std::os::unix::fs::PermissionsExt;

        use super::*;

        #[test]
        fn the_socket_is_in_a_folder_that_only_its_owner_may_enter() {
            let parent = tempfile::tempdir().unwrap();
            let (_listener, address) = bind(parent.path()).unwrap();
            let path = address.place.as_ref().unwrap().path().unwrap();
            let mode = fs::metadata(path.parent().unwrap()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
            drop(address);
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "something is left");
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn connections_are_made_after_the_socket_has_left_no_trace() {
            let parent = tempfile::tempdir().unwrap();
            let (listener, mut address) = bind(parent.path()).unwrap();
            address.connect().unwrap();
            address.unlink();
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "something is left");
            address.connect().unwrap();
            drop(listener);
            assert_eq!(address.connect().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_folder_that_can_be_written_it_is_on_the_loopback_interface() {
        let (_listener, mut address) = bind(&[PathBuf::from("/nowhere/at/all")]).unwrap();
        assert_eq!(address.domain, Domain::IPV4);
        address.unlink();
        let peer = address.connect().unwrap().peer_addr().unwrap().as_socket().unwrap();
        assert!(peer.ip().is_loopback());
    }
}
