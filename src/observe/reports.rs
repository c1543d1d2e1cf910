//! What threads tell `main`: that they ended. A thread whose end nobody expected is a bug, and the process does not go
//! on half alive.

use std::io;
use std::thread::{self, JoinHandle};

use crossbeam_channel::Sender;

/// What `main` waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Somebody asked the process to stop.
    Stop,
    /// A crowd has left, and much memory may be free.
    LoadDropped,
    /// A thread ran to its end.
    Ended {
        /// The thread's name.
        thread: String,
    },
    /// A thread panicked; the message has been printed by the panic itself.
    Panicked {
        /// The thread's name.
        thread: String,
    },
}

/// Starts a named thread whose end is reported. The channel may be full or gone: then `main` has other worries already.
///
/// # Errors
/// If the operating system has no thread to give.
pub fn spawn(name: String, reports: Sender<Report>, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let witness = Witness { thread: name.clone(), reports };
    thread::Builder::new().name(name).spawn(move || {
        let _witness = witness;
        run();
    })
}

/// Dropped as the thread ends, whichever way.
struct Witness {
    thread: String,
    reports: Sender<Report>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        let thread = std::mem::take(&mut self.thread);
        let report = if thread::panicking() { Report::Panicked { thread } } else { Report::Ended { thread } };
        let _ = self.reports.try_send(report);
    }
}
