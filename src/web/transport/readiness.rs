//! The thread `ready`: waits for the sockets of all WebSockets and streamed responses at once, and wakes the thread of
//! each that can be read or written again. It reads and writes none of them.
//!
//! Such a connection's thread must wait for its socket and for something else, the hub for instance. With a `Poll` and
//! a `Waker` of its own it would hold three descriptors; this way it holds one, sleeps in `park`, and both the hub and
//! this thread wake it by `unpark`.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, Thread};

use crossbeam_channel::Sender;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use slab::Slab;

use crate::observe::reports::{self, Report};
use crate::observe::service::Running;

/// Ready sockets that one system call may report.
const EVENTS: usize = 1024;
const WAKER: Token = Token(usize::MAX);

/// The thread that waits for a socket.
#[derive(Debug)]
struct Waiter {
    thread: Thread,
    ready: AtomicBool,
}

/// How connections' threads reach this one.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    registry: Arc<Registry>,
    /// Locked for a look-up or a change of one entry. A number that was given to another socket meanwhile causes a
    /// wake-up without reason, which does no harm.
    waiters: Arc<RwLock<Slab<Arc<Waiter>>>>,
}

/// Starts the thread. Its end is reported.
///
/// # Errors
/// If the system has no descriptors or no thread to give.
pub(crate) fn start(reports: Sender<Report>) -> io::Result<Running<Handle>> {
    let poll = Poll::new()?;
    let registry = Arc::new(poll.registry().try_clone()?);
    let waker = Arc::new(Waker::new(&registry, WAKER)?);
    let handle = Handle { registry, waiters: Arc::default() };
    let stopping = Arc::new(AtomicBool::new(false));
    let (waking, stop, kept) = (handle.clone(), Arc::clone(&stopping), Arc::clone(&waker));
    let thread = reports::spawn("ready".into(), reports, move || {
        // A waker that is dropped before the thread has seen its wake-up takes that with it.
        let _kept = kept;
        waking.wake_all(poll, &stop);
    })?;
    Ok(Running::new(handle, vec![thread], move || {
        stopping.store(true, Ordering::Release);
        if let Err(error) = waker.wake() {
            log::error!("thread ready: cannot be woken to stop: {error}");
        }
    }))
}

impl Handle {
    /// From now on the thread that calls this is unparked whenever its socket, which must not block, becomes ready.
    pub fn watch<'a>(&'a self, stream: &'a TcpStream) -> io::Result<WatchedSocket<'a>> {
        let waiter = Arc::new(Waiter { thread: thread::current(), ready: AtomicBool::new(true) });
        let mut waiters = self.waiters.write().unwrap_or_else(PoisonError::into_inner);
        let number = waiters.insert(Arc::clone(&waiter));
        drop(waiters);
        let mut watched = WatchedSocket { handle: self, number, waiter, socket: Socket::of(stream)? };
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
            let waiters = self.waiters.read().unwrap_or_else(PoisonError::into_inner);
            for event in &events {
                if let Some(waiter) = waiters.get(event.token().0) {
                    waiter.ready.store(true, Ordering::Release);
                    waiter.thread.unpark();
                }
            }
        }
    }
}

/// A socket that is waited for until this is dropped.
pub(crate) struct WatchedSocket<'a> {
    handle: &'a Handle,
    number: usize,
    waiter: Arc<Waiter>,
    socket: Socket<'a>,
}

impl WatchedSocket<'_> {
    /// Whether the socket has become ready since the last call. Read and write until it would block: readiness is
    /// reported once.
    pub fn take_ready(&self) -> bool {
        self.waiter.ready.swap(false, Ordering::AcqRel)
    }
}

impl Drop for WatchedSocket<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.socket.deregister(&self.handle.registry) {
            log::debug!("a socket cannot be deregistered: {error}");
        }
        let mut waiters = self.handle.waiters.write().unwrap_or_else(PoisonError::into_inner);
        waiters.try_remove(self.number);
    }
}

impl io::Read for WatchedSocket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.stream().read(buffer)
    }
}

impl io::Write for WatchedSocket<'_> {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_end_of_the_thread_is_reported() {
        let (reports, reported) = crossbeam_channel::bounded(8);
        // Often, because a wake-up was lost now and then.
        for _ in 0..200 {
            let running = start(reports.clone()).unwrap();
            assert!(reported.is_empty());
            drop(running);
            let report = reported.recv_timeout(Duration::from_secs(30)).unwrap();
            assert_eq!(report, Report::Ended { thread: "ready".into() });
        }
    }
}
