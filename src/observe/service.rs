//! The one shape of every service: `start(setup, reports) -> io::Result<Running<Handle>>`. A service owns one or more threads,
//! each started by [`spawn`](crate::observe::reports::spawn); others reach it through its handle only.

use std::fmt;
use std::thread::{self, JoinHandle};

/// A service whose threads run.
pub struct Running<H> {
    /// How others reach it. A clone may outlive the service; calls then fail as the handle documents.
    pub handle: H,
    ask_to_stop: Option<Box<dyn FnOnce() + Send>>,
    threads: Vec<JoinHandle<()>>,
}

impl<H> Running<H> {
    /// `ask_to_stop` makes all of `threads` end soon; it does not wait for them.
    pub fn new(handle: H, threads: Vec<JoinHandle<()>>, ask_to_stop: impl FnOnce() + Send + 'static) -> Running<H> {
        Running { handle, ask_to_stop: Some(Box::new(ask_to_stop)), threads }
    }

    /// Asks the threads to end and waits for each of them.
    ///
    /// # Errors
    /// The first panic's payload, if a thread panicked.
    pub fn stop(mut self) -> thread::Result<()> {
        if let Some(ask) = self.ask_to_stop.take() {
            ask();
        }
        std::mem::take(&mut self.threads).into_iter().map(JoinHandle::join).fold(Ok(()), Result::and)
    }
}

impl<H> Drop for Running<H> {
    /// Without [`Running::stop`], the threads are asked to end and not waited for.
    fn drop(&mut self) {
        if let Some(ask) = self.ask_to_stop.take() {
            ask();
        }
    }
}

impl<H: fmt::Debug> fmt::Debug for Running<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("handle", &self.handle).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, Sender, bounded};

    use super::*;

    /// A service of two threads that end when their channel is closed.
    fn start(run: fn(Receiver<()>)) -> (Running<&'static str>, Receiver<()>) {
        let ((stop, stopped), (alive, ended)) = (bounded::<()>(0), bounded(0));
        let thread = || {
            let (stopped, alive): (_, Sender<()>) = (stopped.clone(), alive.clone());
            thread::spawn(move || {
                let _alive = alive;
                run(stopped);
            })
        };
        (Running::new("handle", vec![thread(), thread()], move || drop(stop)), ended)
    }

    fn wait(stopped: Receiver<()>) {
        let _ = stopped.recv();
    }

    #[test]
    fn a_stop_asks_the_threads_to_end_and_waits_for_them() {
        let (running, ended) = start(wait);
        assert_eq!((running.handle, ended.is_empty()), ("handle", true));
        assert!(running.stop().is_ok());
        assert_eq!(ended.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected));
    }

    #[test]
    fn a_dropped_service_ends_too() {
        let (running, ended) = start(wait);
        drop(running);
        assert!(ended.recv().is_err());
    }

    #[test]
    fn a_panic_of_a_thread_is_the_error_of_the_stop() {
        let (running, _) = start(|stopped| {
            wait(stopped);
            panic!("on purpose, in a test");
        });
        let panic = running.stop().unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"on purpose, in a test"));
    }
}
