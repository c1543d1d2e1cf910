//! Errors of the connection and refusals of the server, in cpal's error kinds, with sentences for people. Pure.

use std::io;

use cpal::{Error, ErrorKind};
use pulseaudio::protocol::{ProtocolError, PulseError};

/// cpal's error for an error of the protocol or of the socket.
pub(super) fn error_of(e: ProtocolError) -> Error {
    let (kind, why) = match e {
        ProtocolError::Io(e) if is_timeout(&e) => {
            (ErrorKind::HostUnavailable, "The sound server does not answer.".to_owned())
        }
        ProtocolError::Io(e) if has_ended(&e) => {
            (ErrorKind::StreamInvalidated, "The sound server closed the connection.".to_owned())
        }
        ProtocolError::Io(e) => {
            (ErrorKind::StreamInvalidated, format!("The connection to the sound server failed: {e}."))
        }
        ProtocolError::ServerError(refusal) => {
            (kind_of(refusal), format!("The sound server refused the request: {refusal}."))
        }
        other => (ErrorKind::BackendError, format!("The sound server sent a message that cannot be read: {other}.")),
    };
    Error::with_message(kind, why)
}

fn kind_of(refusal: PulseError) -> ErrorKind {
    match refusal {
        PulseError::AccessDenied | PulseError::AuthKey => ErrorKind::PermissionDenied,
        PulseError::NoEntity | PulseError::Killed => ErrorKind::DeviceNotAvailable,
        PulseError::Busy => ErrorKind::DeviceBusy,
        PulseError::Invalid | PulseError::NotSupported => ErrorKind::UnsupportedConfig,
        PulseError::TooLarge => ErrorKind::ResourceExhausted,
        PulseError::ConnectionTerminated | PulseError::BadState => ErrorKind::StreamInvalidated,
        _ => ErrorKind::BackendError,
    }
}

/// Whether a read or write took longer than its time-out.
pub(super) fn is_timeout(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn has_ended(e: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(e.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_and_a_closed_connection_are_different_kinds() {
        let kind = |e: io::ErrorKind| error_of(ProtocolError::Io(e.into())).kind();
        assert_eq!(kind(io::ErrorKind::WouldBlock), ErrorKind::HostUnavailable);
        assert_eq!(kind(io::ErrorKind::UnexpectedEof), ErrorKind::StreamInvalidated);
    }

    #[test]
    fn a_source_that_does_not_exist_is_an_unavailable_device() {
        let error = error_of(ProtocolError::ServerError(PulseError::NoEntity));
        assert_eq!(error.kind(), ErrorKind::DeviceNotAvailable);
        assert!(error.to_string().starts_with("The sound server refused the request"), "{error}");
    }
}
