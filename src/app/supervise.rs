//! Watches over the running application on the thread `main`: waits for reports of threads and for signals, notifies the
//! service manager's watchdog, returns freed memory, and limits how long a stop may take.
//!
//! It stops nothing itself; it returns the exit code, and the application stops its threads.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::config::start_error::ExitCode;
use crate::observe::reports::Report;
use crate::os::memory;
use crate::os::sd_notify::{Notifier, State};
use crate::rtc::engine::handle::Handle as EngineHandle;

/// From the signal to the end of the process, at most.
const STOP_PATIENCE: Duration = Duration::from_millis(2_500);

/// What `main` waits on.
pub(super) struct Supervision {
    reports: Receiver<Report>,
    notifier: Notifier,
    rtc: EngineHandle,
}

impl Supervision {
    /// Tells the service manager that the pages can be opened.
    pub(super) fn begin(reports: Receiver<Report>, notifier: Notifier, rtc: EngineHandle) -> Supervision {
        notifier.notify(State::Ready);
        Supervision { reports, notifier, rtc }
    }

    /// Waits until the process is to stop: a signal, or a thread that ended. `report` is for the signals. When it has
    /// returned, the process ends after [`STOP_PATIENCE`], whatever else happens.
    pub(super) fn wait(self, report: Sender<Report>) -> ExitCode {
        handle_signals(report);
        let mut trim_at = None;
        let code = loop {
            match self.next_report(trim_at) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Report::LoadDropped) => trim_at = Some(Instant::now() + memory::TRIM_DELAY),
                Ok(Report::Stop) => {
                    log::info!("stopping");
                    break ExitCode::Stopped;
                }
                Ok(Report::Ended { thread } | Report::Panicked { thread }) => {
                    log::error!("thread {thread}: ended, which is a bug: stopping");
                    break ExitCode::Bug;
                }
                Err(RecvTimeoutError::Disconnected) => break ExitCode::Bug,
            }
            if trim_at.is_some_and(|at| at <= Instant::now()) {
                memory::trim();
                trim_at = None;
            }
        };
        self.notifier.notify(State::Stopping);
        exit_after(STOP_PATIENCE, code);
        code
    }

    /// Waits for the next report, until `deadline` at most, and notifies the watchdog as often as the service manager asked
    /// for: only while the rtc threads, on which listeners depend, answer.
    fn next_report(&self, deadline: Option<Instant>) -> Result<Report, RecvTimeoutError> {
        let watchdog_due = self.notifier.interval.map(|interval| {
            match self.rtc.answers() {
                true => self.notifier.notify(State::Watchdog),
                false => log::error!("rtc thread unresponsive; watchdog not notified"),
            }
            Instant::now() + interval
        });
        match deadline.into_iter().chain(watchdog_due).min() {
            Some(deadline) => self.reports.recv_deadline(deadline),
            None => self.reports.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }
}

/// From now on, the first signal asks for a stop, and the second ends the process at once.
pub(super) fn handle_signals(report: Sender<Report>) {
    let is_asked = AtomicBool::new(false);
    let handler = move || {
        if is_asked.swap(true, Ordering::Relaxed) {
            process::exit(ExitCode::Stopped as i32);
        }
        // Full only if many threads have ended at once, and then a stop is under way.
        let _ = report.try_send(Report::Stop);
    };
    // Refused if there is a handler already: this one, or that of a program that uses this library.
    if let Err(error) = ctrlc::set_handler(handler) {
        log::debug!("signals: {error}");
    }
}

/// Ends the process after `patience` whatever the stop waits for, such as a hung sound server. This thread is not reported:
/// it ends only with the process.
fn exit_after(patience: Duration, code: ExitCode) {
    let exit = move || {
        thread::sleep(patience);
        log::warn!("not everything could be stopped in time");
        log::logger().flush();
        process::exit(code as i32);
    };
    if let Err(error) = thread::Builder::new().name("stop".into()).spawn(exit) {
        log::debug!("the time of the stop is not limited, as no thread can be started: {error}");
    }
}
