//! Notifies the service manager (systemd, or another one that speaks sd_notify(3)) of the program's state: datagrams to
//! the socket that `NOTIFY_SOCKET` names. Used by `main`, which also notifies the watchdog as often as was asked for. It
//! reads no environment and starts no thread; without a socket it does nothing.

#[cfg(target_os = "linux")]
use std::io;
use std::time::Duration;

/// What the service manager passed in the environment when it started this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Its socket: a path, or with a leading `@` a name in the abstract namespace. None without a service manager.
    pub socket: Option<String>,
    /// The watchdog's timeout: the service manager ends this process if it is not notified for that long.
    pub watchdog: Option<Duration>,
}

impl Settings {
    /// From `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, as sd_notify(3) and sd_watchdog_enabled(3) define them.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Settings {
        let is_ours = var("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let interval_us = var("WATCHDOG_USEC").filter(|_| is_ours).and_then(|text| text.parse().ok());
        Settings {
            socket: var("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            watchdog: interval_us.filter(|us| *us > 0).map(Duration::from_micros),
        }
    }
}

/// The connection to the service manager.
pub struct Notifier {
    #[cfg(target_os = "linux")]
    socket: Option<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)>,
    /// How often to notify [`State::Watchdog`]: twice in the watchdog's timeout, as sd_watchdog_enabled(3) recommends.
    pub interval: Option<Duration>,
}

/// The states that are notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The pages can be opened.
    Ready,
    /// `main` and the rtc threads are at work.
    Watchdog,
    /// The program is about to stop.
    Stopping,
}

impl Notifier {
    /// Opens a socket to the service manager. If that fails, it logs a warning and notifies nothing.
    pub fn new(settings: &Settings) -> Notifier {
        let interval = settings.socket.as_ref().and(settings.watchdog).map(|timeout| timeout / 2);
        #[cfg(target_os = "linux")]
        let socket = settings.socket.as_deref().and_then(|name| {
            open(name).inspect_err(|error| log::warn!("service manager: {name} cannot be notified ({error})")).ok()
        });
        Notifier {
            #[cfg(target_os = "linux")]
            socket,
            interval,
        }
    }

    /// Sends the state without waiting. Each state replaces the one before it, so a datagram that does not fit is lost.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(unused_variables, reason = "service managers of this kind are on Linux")
    )]
    pub fn notify(&self, state: State) {
        let text = match state {
            State::Ready => "READY=1",
            State::Watchdog => "WATCHDOG=1",
            State::Stopping => "STOPPING=1",
        };
        #[cfg(target_os = "linux")]
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            log::debug!("service manager: {text} was not delivered: {error}");
        }
    }
}

#[cfg(target_os = "linux")]
fn open(name: &str) -> io::Result<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A service manager that does not read must not block `main`.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn receive(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut state = [0; 64];
        let length = socket.recv(&mut state).unwrap();
        String::from_utf8_lossy(&state[..length]).into_owned()
    }

    fn settings(vars: &[(&str, &str)]) -> Settings {
        Settings::from_vars(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn states_arrive_in_the_wording_of_sd_notify() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("@roomtone-notify-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name[1..]).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), name),
        ];
        for (socket, name) in sockets {
            let notifier = Notifier::new(&settings(&[("NOTIFY_SOCKET", &name), ("WATCHDOG_USEC", "30000000")]));
            assert_eq!(notifier.interval, Some(Duration::from_secs(15)));
            for (state, text) in
                [(State::Ready, "READY=1"), (State::Watchdog, "WATCHDOG=1"), (State::Stopping, "STOPPING=1")]
            {
                notifier.notify(state);
                assert_eq!(receive(&socket), text);
            }
        }
    }

    #[test]
    fn a_watchdog_of_another_process_is_ignored() {
        let pid = std::process::id().to_string();
        let usec = ("WATCHDOG_USEC", "1000000");
        assert_eq!(settings(&[usec, ("WATCHDOG_PID", &pid)]).watchdog, Some(Duration::from_secs(1)));
        for vars in [[usec, ("WATCHDOG_PID", "1")], [("WATCHDOG_USEC", "soon"), ("NOTIFY_SOCKET", "")]] {
            assert_eq!(settings(&vars), Settings::default());
        }
        assert_eq!(Notifier::new(&Settings::default()).interval, None);
        Notifier::new(&Settings::default()).notify(State::Ready);
    }
}
