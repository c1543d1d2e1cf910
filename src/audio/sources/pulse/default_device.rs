//! Which source the server's default is, and noticing that it has changed. Runs on the thread that reads the
//! connection. It does not follow the new default: it reports an error, and the stream ends.

use std::ffi::{CStr, CString};

use cpal::{Error, ErrorKind};
use pulseaudio::protocol::{Command, ServerInfo, SubscriptionMask};

use crate::audio::sources::pulse::connection::Connection;

/// One of the server's two defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DefaultDevice {
    /// The default source: the microphone.
    Source,
    /// The default sink, recorded through its monitor: what this machine plays.
    Sink,
}

impl DefaultDevice {
    /// The name of the present default, if there is one.
    pub(crate) fn name_in(self, server: &ServerInfo) -> Option<&CStr> {
        let name = match self {
            DefaultDevice::Source => server.default_source_name.as_deref(),
            DefaultDevice::Sink => server.default_sink_name.as_deref(),
        };
        // PipeWire says `@NONE@` where PulseAudio gives no name.
        name.filter(|name| !name.is_empty() && *name != c"@NONE@")
    }
}

/// Watches whether the default that a stream was opened for is still the same device.
#[derive(Debug)]
pub(super) struct DefaultWatch {
    which: DefaultDevice,
    name: CString,
    /// Sequence number of the latest `GetServerInfo`.
    request_seq: u32,
}

impl DefaultWatch {
    /// Subscribes to changes of the server. `name` is the default that was found.
    pub(super) fn start(
        connection: &mut Connection,
        which: DefaultDevice,
        name: CString,
    ) -> Result<DefaultWatch, Error> {
        connection.request_ack(&Command::Subscribe(SubscriptionMask::SERVER))?;
        let mut watch = DefaultWatch { which, name, request_seq: 0 };
        // The default may have changed between being found and being watched.
        watch.request(connection)?;
        Ok(watch)
    }

    /// Asks for the present default. The answer arrives among the stream's messages.
    pub(super) fn request(&mut self, connection: &mut Connection) -> Result<(), Error> {
        self.request_seq = connection.next_seq();
        connection.commands.send(self.request_seq, &Command::GetServerInfo)
    }

    pub(super) fn is_answer(&self, seq: u32) -> bool {
        self.request_seq == seq
    }

    /// An error if another device is the default now. No default at all is no error: the stream goes on.
    pub(super) fn check(&self, server: &ServerInfo) -> Result<(), Error> {
        match self.which.name_in(server) {
            Some(now) if now != self.name.as_c_str() => {
                let why = format!("The default device is now {}.", now.to_string_lossy());
                Err(Error::with_message(ErrorKind::DeviceChanged, why))
            }
            _ => Ok(()),
        }
    }
}
