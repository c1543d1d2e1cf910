//! Tells the service supervisor, systemd or whoever speaks as it does, how the house is doing: datagrams to the socket
//! that `NOTIFY_SOCKET` names (sd_notify(3)). Used by `main`, which also says that it lives, as often as was asked for. It
//! reads no environment and starts no thread; without a socket nothing is told to anybody.

#[cfg(target_os = "linux")]
use std::io;
use std::time::Duration;

/// What the supervisor said when it started this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supervision {
    /// Where it listens: a path, or with a leading `@` a name in the abstract namespace. None if there is no supervisor.
    pub socket: Option<String>,
    /// It ends this process if it hears nothing for so long.
    pub watchdog: Option<Duration>,
}

impl Supervision {
    /// From `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, as sd_notify(3) and sd_watchdog_enabled(3) have it.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Supervision {
        let is_ours = var("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let interval_us = var("WATCHDOG_USEC").filter(|_| is_ours).and_then(|text| text.parse().ok());
        Supervision {
            socket: var("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            watchdog: interval_us.filter(|us| *us > 0).map(Duration::from_micros),
        }
    }
}

/// The way to the supervisor.
pub struct Supervisor {
    #[cfg(target_os = "linux")]
    way: Option<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)>,
    /// How often to say [`State::Watchdog`]; twice in the time after which the supervisor acts.
    pub interval: Option<Duration>,
}

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The pages can be opened.
    Ready,
    /// `main` and the rtc threads are at work.
    Watchdog,
    /// The house is about to stop.
    Stopping,
}

impl Supervisor {
    /// Whoever was named; one that cannot be reached hears nothing.
    pub fn of(supervision: &Supervision) -> Supervisor {
        let interval = supervision.socket.as_ref().and(supervision.watchdog).map(|time| time / 2);
        #[cfg(target_os = "linux")]
        let way = supervision.socket.as_deref().and_then(|name| {
            way(name).inspect_err(|error| log::warn!("the supervisor at {name} cannot be told ({error})")).ok()
        });
        Supervisor {
            #[cfg(target_os = "linux")]
            way,
            interval,
        }
    }

    /// Tells it, and waits for nothing.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "there is nobody to tell"))]
    pub fn tell(&self, state: State) {
        let text = match state {
            State::Ready => "READY=1",
            State::Watchdog => "WATCHDOG=1",
            State::Stopping => "STOPPING=1",
        };
        #[cfg(target_os = "linux")]
        if let Some((socket, address)) = &self.way
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            log::debug!("the supervisor did not hear {text}: {error}");
        }
    }
}

#[cfg(target_os = "linux")]
fn way(name: &str) -> io::Result<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor that does not read must not hold up the house.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn hear(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut state = [0; 64];
        let length = socket.recv(&mut state).unwrap();
        String::from_utf8_lossy(&state[..length]).into_owned()
    }

    fn supervision(vars: &[(&str, &str)]) -> Supervision {
        Supervision::from_vars(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_supervisor_hears_the_words_of_sd_notify() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("@roomtone-notify-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name[1..]).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), name),
        ];
        for (socket, name) in sockets {
            let supervisor = Supervisor::of(&supervision(&[("NOTIFY_SOCKET", &name), ("WATCHDOG_USEC", "30000000")]));
            assert_eq!(supervisor.interval, Some(Duration::from_secs(15)));
            for (state, text) in
                [(State::Ready, "READY=1"), (State::Watchdog, "WATCHDOG=1"), (State::Stopping, "STOPPING=1")]
            {
                supervisor.tell(state);
                assert_eq!(hear(&socket), text);
            }
        }
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_was_meant() {
        let pid = std::process::id().to_string();
        let usec = ("WATCHDOG_USEC", "1000000");
        assert_eq!(supervision(&[usec, ("WATCHDOG_PID", &pid)]).watchdog, Some(Duration::from_secs(1)));
        for vars in [[usec, ("WATCHDOG_PID", "1")], [("WATCHDOG_USEC", "soon"), ("NOTIFY_SOCKET", "")]] {
            assert_eq!(supervision(&vars), Supervision::default());
        }
        assert_eq!(Supervisor::of(&Supervision::default()).interval, None);
        Supervisor::of(&Supervision::default()).tell(State::Ready);
    }
}
