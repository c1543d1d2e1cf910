//! What threads report to `main`: that they ended, that the process is to stop, that memory may be free. Every long-lived
//! thread is started by [`spawn`]: if one ends that should not have, that is a bug, and the process does not live on half
//! working.

use std::io;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

/// Reports that wait for `main`. Full means that a report is lost; the others that fill the queue already end the process,
/// and of [`Report::LoadDropped`] one is enough.
const REPORTS: usize = 64;

/// What `main` waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The process was asked to stop.
    Stop,
    /// Most clients have left, and much memory may be free.
    LoadDropped,
    /// A thread ran to its end.
    Ended {
        /// The thread's name.
        thread: String,
    },
    /// A thread panicked; the panic's message is in the log.
    Panicked {
        /// The thread's name.
        thread: String,
    },
}

/// The queue of reports.
pub fn channel() -> (Sender<Report>, Receiver<Report>) {
    bounded(REPORTS)
}

/// Starts a named thread whose end is reported.
///
/// # Errors
/// If the operating system has no thread to give.
pub fn spawn(name: String, reports: Sender<Report>, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let reporter = EndReporter { thread: name.clone(), reports };
    thread::Builder::new().name(name).spawn(move || {
        let _reporter = reporter;
        run();
    })
}

/// Dropped when the thread ends, whether it returns or panics.
struct EndReporter {
    thread: String,
    reports: Sender<Report>,
}

impl Drop for EndReporter {
    fn drop(&mut self) {
        let thread = std::mem::take(&mut self.thread);
        let report = if thread::panicking() { Report::Panicked { thread } } else { Report::Ended { thread } };
        // Full or without a receiver while the process is ending already.
        let _ = self.reports.try_send(report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_thread_is_reported_with_its_kind() {
        let (report, reports) = channel();
        spawn("returns".into(), report.clone(), || {}).unwrap().join().unwrap();
        assert_eq!(reports.recv(), Ok(Report::Ended { thread: "returns".into() }));
        let panicking = spawn("panics".into(), report, || panic!("on purpose, in a test")).unwrap();
        assert!(panicking.join().is_err());
        assert_eq!(reports.recv(), Ok(Report::Panicked { thread: "panics".into() }));
    }
}
