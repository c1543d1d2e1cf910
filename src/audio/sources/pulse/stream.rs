//! A record stream, as cpal holds it: creates the stream on a connection of its own, starts the thread that reads it,
//! pauses and ends it. Runs on the caller's thread. It reads nothing; `stream_reader` does.

use std::ffi::CString;

use cpal::traits::StreamTrait;
use cpal::{Data, Error, ErrorKind, FrameCount, InputCallbackInfo, SampleFormat, StreamInstant};
use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    ChannelMap, Command, CorkStreamParams, Prop, Props, ProtocolError, RecordStreamParams, SampleSpec, TagStructReader,
};

use crate::audio::sources::pulse::connection::{Commands, Connection};
use crate::audio::sources::pulse::default_device::{DefaultDevice, DefaultWatch};
use crate::audio::sources::pulse::server_paths::ServerPaths;
use crate::audio::sources::pulse::stream_reader::{StreamFormat, StreamReader, StreamState};

/// What to record, and how.
#[derive(Debug)]
pub(crate) struct RecordRequest {
    pub(crate) source: CString,
    pub(crate) spec: SampleSpec,
    pub(crate) map: ChannelMap,
    /// cpal's name of `spec.format`.
    pub(crate) format: SampleFormat,
    /// Samples per channel in a block.
    pub(crate) buffer_samples: u32,
    /// The default for which this source was found, and the name that default had.
    pub(crate) default: Option<(DefaultDevice, CString)>,
}

/// A running stream. Dropping it ends the connection at once and waits for nothing.
#[derive(Debug)]
pub struct PulseStream {
    commands: Commands,
    channel: u32,
    buffer_samples: u32,
    state: StreamState,
}

cpal::assert_stream_send!(PulseStream);
cpal::assert_stream_sync!(PulseStream);

impl PulseStream {
    /// Creates the stream, corked (paused), and starts its thread.
    pub(crate) fn open<D, E>(
        paths: &ServerPaths,
        request: RecordRequest,
        data_callback: D,
        error_callback: E,
    ) -> Result<PulseStream, Error>
    where
        D: FnMut(&Data, &InputCallbackInfo) + Send + 'static,
        E: FnMut(Error) + Send + 'static,
    {
        let mut connection = Connection::open(paths)?;
        let created = create(&mut connection, &request)?;
        let source = request.source.to_string_lossy().into_owned();
        let watch = match request.default {
            Some((which, name)) => Some(DefaultWatch::start(&mut connection, which, name)?),
            None => None,
        };
        connection.wait_without_limit()?;

        let frame_bytes = request.format.sample_size() * usize::from(request.spec.channels);
        let stream = PulseStream {
            commands: connection.commands.try_clone()?,
            channel: created.channel,
            buffer_samples: created.fragment_bytes / frame_bytes as u32,
            state: StreamState::new(),
        };
        let format = StreamFormat { sample_format: request.format, frame_bytes, rate_hz: request.spec.sample_rate };
        let state = stream.state.clone();
        let reader = StreamReader::new(connection, source, created.channel, format, watch, state, data_callback);
        // Not started by `reports::spawn`: this thread ends whenever its source or the server goes away or the stream
        // is dropped, which is no reason to end the process, and it may block in a read for as long as the server
        // hangs, so nothing may wait for it. Its end is reported by the error callback and becomes the capture's event
        // `Failed`.
        std::thread::Builder::new()
            .name(format!("pulse-{}", created.stream_index))
            .spawn(move || reader.run(error_callback))
            .map_err(|e| {
                let why = format!("The operating system has no thread for the stream: {e}.");
                Error::with_message(ErrorKind::ResourceExhausted, why)
            })?;
        Ok(stream)
    }

    fn cork(&self, cork: bool) -> Result<(), Error> {
        // Nothing waits for the answer: it is empty, or the stream is gone, which its thread reports. No request has
        // the sequence number 0.
        let params = CorkStreamParams { channel: self.channel, cork };
        self.commands.send(0, &Command::CorkRecordStream(params))
    }
}

impl StreamTrait for PulseStream {
    fn play(&self) -> Result<(), Error> {
        self.cork(false)
    }

    fn pause(&self) -> Result<(), Error> {
        self.cork(true)
    }

    fn buffer_size(&self) -> Result<FrameCount, Error> {
        Ok(self.buffer_samples)
    }

    fn now(&self) -> StreamInstant {
        self.state.now()
    }
}

impl Drop for PulseStream {
    fn drop(&mut self) {
        self.state.close();
        self.commands.shut_down();
    }
}

/// The part of the server's answer that is used. It is parsed here, because PipeWire may name no source in it, which
/// the type of the `pulseaudio` crate takes for an error.
struct Created {
    channel: u32,
    stream_index: u32,
    fragment_bytes: u32,
}

fn create(connection: &mut Connection, request: &RecordRequest) -> Result<Created, Error> {
    let frame_bytes = request.format.sample_size() as u32 * u32::from(request.spec.channels);
    let mut props = Props::new();
    props.set(Prop::MediaName, c"roomtone station");
    let params = RecordStreamParams {
        sample_spec: request.spec,
        channel_map: request.map,
        source_name: Some(request.source.clone()),
        buffer_attr: BufferAttr {
            // The server drops what exceeds this; a limit of one fragment would lose sound at every short delay.
            max_length: u32::MAX,
            fragment_size: request.buffer_samples.saturating_mul(frame_bytes),
            ..BufferAttr::default()
        },
        flags: StreamFlags {
            start_corked: true,
            adjust_latency: true,
            // So that a source that vanishes is an error, and not a silent switch to another one.
            no_move: true,
            ..StreamFlags::default()
        },
        props,
        ..RecordStreamParams::default()
    };
    connection.request_with(&Command::CreateRecordStream(params), parse_created)
}

fn parse_created(answer: &mut TagStructReader<'_>) -> Result<Created, ProtocolError> {
    let (channel, stream_index) = (answer.read_u32()?, answer.read_u32()?);
    let (_max_length, fragment_bytes) = (answer.read_u32()?, answer.read_u32()?);
    Ok(Created { channel, stream_index, fragment_bytes })
}
