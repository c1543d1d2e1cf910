//! The thread `ready`: waits for all WebSockets at once and wakes the thread of each that can be read or written again.
//! It reads and writes none of them.
//!
//! A connection's thread must wait for its socket and for the hub. With a `Poll` and a `Waker` of its own it would hold
//! three descriptors; this way it holds one, sleeps in `park`, and both the hub and this thread wake it by `unpark`.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle, Thread};

use mio::{Events, Interest, Poll, Registry, Token, Waker};
use slab::Slab;

/// Sockets that one look at the system may tell of.
const EVENTS: usize = 1024;
const DOORBELL: Token = Token(usize::MAX);

/// One socket's.
#[derive(Debug)]
struct Sleeper {
    thread: Thread,
    ready: AtomicBool,
}

/// How connections' threads reach this one.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    registry: Arc<Registry>,
    /// A look-up table and no more; a number that is given to somebody else meanwhile wakes somebody for nothing.
    sleepers: Arc<RwLock<Slab<Arc<Sleeper>>>>,
}

/// The running thread.
pub(crate) struct Readiness {
    pub handle: Handle,
    doorbell: Waker,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Readiness {
    /// Starts the thread.
    pub fn start() -> io::Result<Readiness> {
        let poll = Poll::new()?;
        let registry = Arc::new(poll.registry().try_clone()?);
        let doorbell = Waker::new(&registry, DOORBELL)?;
        let handle = Handle { registry, sleepers: Arc::default() };
        let stopping = Arc::new(AtomicBool::new(false));
        let (told, stop) = (handle.clone(), Arc::clone(&stopping));
        let thread = thread::Builder::new().name("ready".into()).spawn(move || told.wake_all(poll, &stop))?;
        Ok(Readiness { handle, doorbell, stopping, thread })
    }

    /// Ends the thread.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        let woken = self.doorbell.wake();
        if let Err(error) = woken {
            return log::error!("the thread `ready` cannot be told to end: {error}");
        }
        if self.thread.join().is_err() {
            log::error!("the thread `ready` had panicked, which is a bug of ours");
        }
    }
}

impl Handle {
    /// From now on the thread that calls this is unparked whenever its socket, which must not block, becomes ready.
    pub fn watch<'a>(&'a self, stream: &'a TcpStream) -> io::Result<Watched<'a>> {
        let sleeper = Arc::new(Sleeper { thread: thread::current(), ready: AtomicBool::new(true) });
        let mut sleepers = self.sleepers.write().unwrap_or_else(PoisonError::into_inner);
        let number = sleepers.insert(Arc::clone(&sleeper));
        drop(sleepers);
        let mut watched = Watched { handle: self, number, sleeper, socket: Socket::of(stream)? };
        watched.socket.register(&self.registry, Token(number))?;
        Ok(watched)
    }

    fn wake_all(&self, mut poll: Poll, stopping: &AtomicBool) {
        let mut events = Events::with_capacity(EVENTS);
        while !stopping.load(Ordering::Acquire) {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    panic!("waiting for sockets failed: {error}")
                }
                _ => {}
            }
            let sleepers = self.sleepers.read().unwrap_or_else(PoisonError::into_inner);
            for event in &events {
                if let Some(sleeper) = sleepers.get(event.token().0) {
                    sleeper.ready.store(true, Ordering::Release);
                    sleeper.thread.unpark();
                }
            }
        }
    }
}

/// A socket that is waited for, until dropped.
pub(crate) struct Watched<'a> {
    handle: &'a Handle,
    number: usize,
    sleeper: Arc<Sleeper>,
    socket: Socket<'a>,
}

impl Watched<'_> {
    /// Whether the socket has become ready since the last time this was asked. Read and write until it would block:
    /// readiness is told once.
    pub fn take_ready(&self) -> bool {
        self.sleeper.ready.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.socket.deregister(&self.handle.registry) {
            log::debug!("a socket cannot be let go: {error}");
        }
        let mut sleepers = self.handle.sleepers.write().unwrap_or_else(PoisonError::into_inner);
        sleepers.try_remove(self.number);
    }
}

impl io::Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.stream().read(buffer)
    }
}

impl io::Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.stream().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
use of_unix::Socket;

#[cfg(unix)]
mod of_unix {
    //! The descriptor can be watched as it is.

    use std::os::fd::AsRawFd;

    use mio::event::Source;
    use mio::unix::SourceFd;

    use super::{Interest, Registry, TcpStream, Token, io};

    pub(crate) struct Socket<'a>(&'a TcpStream);

    impl<'a> Socket<'a> {
        pub fn of(stream: &'a TcpStream) -> io::Result<Self> {
            Ok(Socket(stream))
        }

        pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
            SourceFd(&self.0.as_raw_fd()).register(registry, token, Interest::READABLE | Interest::WRITABLE)
        }

        pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
            SourceFd(&self.0.as_raw_fd()).deregister(registry)
        }

        pub fn stream(&mut self) -> &'a TcpStream {
            self.0
        }
    }
}

#[cfg(not(unix))]
use of_others::Socket;

#[cfg(not(unix))]
mod of_others {
    //! mio must see every read and write that would block, so it needs a handle of its own.

    use std::marker::PhantomData;

    use super::{Interest, Registry, TcpStream, Token, io};

    pub(crate) struct Socket<'a>(mio::net::TcpStream, PhantomData<&'a TcpStream>);

    impl<'a> Socket<'a> {
        pub fn of(stream: &'a TcpStream) -> io::Result<Self> {
            Ok(Socket(mio::net::TcpStream::from_std(stream.try_clone()?), PhantomData))
        }

        pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
            registry.register(&mut self.0, token, Interest::READABLE | Interest::WRITABLE)
        }

        pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
            registry.deregister(&mut self.0)
        }

        pub fn stream(&mut self) -> &mut mio::net::TcpStream {
            &mut self.0
        }
    }
}
