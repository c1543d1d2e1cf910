//! A record stream: its own connection to the server and its own thread, `pulse-<n>`, which blocks in read and calls
//! the data callback. Nothing is allocated, locked or logged for a block of sound. It does not reconnect and does not
//! follow a default that moves: it says so once, through the error callback, and ends.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use cpal::traits::StreamTrait;
use cpal::{Data, Error, ErrorKind, FrameCount, InputCallbackInfo, InputStreamTimestamp, SampleFormat, StreamInstant};
use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    ChannelMap, Command, CorkStreamParams, LatencyParams, Prop, Props, ProtocolError, RecordLatency,
    RecordStreamParams, SampleSpec, ServerInfo, SubscriptionEventFacility, SubscriptionMask, TagStructReader,
};

use crate::audio::sources::pulse::clock::CaptureClock;
use crate::audio::sources::pulse::connection::{self as wire, Commands, Connection, Place};

/// Sound is handed over in pieces of at most this much, whatever the server sends at once.
const PIECE_BYTES: usize = 64 << 10;

/// Samples of all formats start at multiples of this.
const ALIGNMENT_BYTES: usize = 8;

/// The stream's clock starts here, so that what was captured just before it opened is not before its zero.
const ORIGIN_NANOS: i64 = 3_600_000_000_000;

/// How often the server is asked for its latency, once the first answers are in.
const LATENCY_INTERVAL_NANOS: i64 = 1_000_000_000;

/// And before: the first answers of a source that has just been started are the least true.
const FIRST_LATENCY_INTERVAL_NANOS: i64 = 50_000_000;

/// How many answers count as the first.
const FIRST_LATENCY_ANSWERS: u32 = 4;

/// An answer that took longer leaves too much doubt about when the server gave it.
const LATENCY_DOUBT_NANOS: i64 = 5_000_000;

/// A server that claims to hold more than this back is wrong.
const LATENCY_LIMIT_NANOS: i64 = 10_000_000_000;

/// Nothing for this long means that the source stood still, and its time line is broken.
const GAP_NANOS: i64 = 200_000_000;

/// Which default a stream stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DefaultOf {
    /// The default source: the microphone.
    Source,
    /// The default sink, through its monitor: what the host plays.
    Sink,
}

impl DefaultOf {
    /// The name of the default now, if there is one.
    pub(crate) fn name_in(self, server: &ServerInfo) -> Option<&CStr> {
        let name = match self {
            DefaultOf::Source => server.default_source_name.as_deref(),
            DefaultOf::Sink => server.default_sink_name.as_deref(),
        };
        // PipeWire says `@NONE@` where PulseAudio says nothing.
        name.filter(|name| !name.is_empty() && *name != c"@NONE@")
    }
}

/// What to record.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) source: CString,
    pub(crate) spec: SampleSpec,
    pub(crate) map: ChannelMap,
    /// cpal's name of `spec.format`.
    pub(crate) format: SampleFormat,
    /// Samples per channel in a block.
    pub(crate) buffer_samples: u32,
    /// The default this source was chosen as, and the name that default had.
    pub(crate) follows: Option<(DefaultOf, CString)>,
}

/// A running stream. Dropping it ends the connection at once and waits for nothing.
#[derive(Debug)]
pub struct PulseStream {
    commands: Commands,
    channel: u32,
    buffer_samples: u32,
    epoch: Instant,
    closing: Arc<AtomicBool>,
}

cpal::assert_stream_send!(PulseStream);
cpal::assert_stream_sync!(PulseStream);

impl PulseStream {
    /// Creates the stream, corked, and starts its thread.
    pub(crate) fn open<D, E>(place: &Place, recording: Recording, data: D, error: E) -> Result<PulseStream, Error>
    where
        D: FnMut(&Data, &InputCallbackInfo) + Send + 'static,
        E: FnMut(Error) + Send + 'static,
    {
        let mut connection = Connection::open(place)?;
        let created = create(&mut connection, &recording)?;
        let watch = match recording.follows {
            Some((which, name)) => Some(Watch::start(&mut connection, which, name)?),
            None => None,
        };
        connection.read_for_ever()?;

        let frame_bytes = recording.format.sample_size() * usize::from(recording.spec.channels);
        let stream = PulseStream {
            commands: connection.commands.another()?,
            channel: created.channel,
            buffer_samples: created.fragment_bytes / frame_bytes as u32,
            epoch: Instant::now(),
            closing: Arc::default(),
        };
        let reader = Reader {
            source: recording.source.to_string_lossy().into_owned(),
            piece: Piece::new(frame_bytes),
            frame_bytes,
            format: recording.format,
            channel: created.channel,
            position_bytes: 0,
            last_sound_nanos: 0,
            clock: CaptureClock::new(u64::from(recording.spec.sample_rate) * frame_bytes as u64),
            question: LatencyQuestion::default(),
            epoch: stream.epoch,
            closing: stream.closing.clone(),
            connection,
            watch,
            data,
        };
        std::thread::Builder::new()
            .name(format!("pulse-{}", created.stream_index))
            .spawn(move || reader.run(error))
            .map_err(|e| {
                Error::with_message(ErrorKind::ResourceExhausted, format!("No thread for the stream: {e}."))
            })?;
        Ok(stream)
    }

    fn cork(&self, cork: bool) -> Result<(), Error> {
        // The answer is a bare yes, or the stream is gone and its thread reports that. Number 0 is no question's.
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
        instant(nanos_since(self.epoch))
    }
}

impl Drop for PulseStream {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        self.commands.hang_up();
    }
}

/// The part of the server's answer that matters. Parsed here, because PipeWire may name no source in it, which the
/// crate's own type takes for an error.
struct Created {
    channel: u32,
    stream_index: u32,
    fragment_bytes: u32,
}

fn create(connection: &mut Connection, recording: &Recording) -> Result<Created, Error> {
    let frame_bytes = recording.format.sample_size() as u32 * u32::from(recording.spec.channels);
    let mut props = Props::new();
    props.set(Prop::MediaName, c"roomtone station");
    let params = RecordStreamParams {
        sample_spec: recording.spec,
        channel_map: recording.map,
        source_name: Some(recording.source.clone()),
        buffer_attr: BufferAttr {
            // What does not fit is dropped by the server; a limit of one fragment loses sound at every hiccup.
            max_length: u32::MAX,
            fragment_size: recording.buffer_samples.saturating_mul(frame_bytes),
            ..BufferAttr::default()
        },
        flags: StreamFlags {
            start_corked: true,
            adjust_latency: true,
            // A source that vanishes is an error then, and not a silent switch to another one.
            no_move: true,
            ..StreamFlags::default()
        },
        props,
        ..RecordStreamParams::default()
    };
    connection.request_with(&Command::CreateRecordStream(params), created)
}

fn created(answer: &mut TagStructReader<'_>) -> Result<Created, ProtocolError> {
    let (channel, stream_index) = (answer.read_u32()?, answer.read_u32()?);
    let (_max_length, fragment_bytes) = (answer.read_u32()?, answer.read_u32()?);
    Ok(Created { channel, stream_index, fragment_bytes })
}

/// Whether the default a stream stands for is still the same.
#[derive(Debug)]
struct Watch {
    which: DefaultOf,
    name: CString,
    asked: u32,
}

impl Watch {
    fn start(connection: &mut Connection, which: DefaultOf, name: CString) -> Result<Watch, Error> {
        connection.request_ack(&Command::Subscribe(SubscriptionMask::SERVER))?;
        let mut watch = Watch { which, name, asked: 0 };
        // It may have moved between being found and being watched.
        watch.ask(connection)?;
        Ok(watch)
    }

    fn ask(&mut self, connection: &mut Connection) -> Result<(), Error> {
        self.asked = connection.next_seq();
        connection.commands.send(self.asked, &Command::GetServerInfo)
    }

    fn compare(&self, server: &ServerInfo) -> Result<(), Error> {
        match self.which.name_in(server) {
            Some(now) if now != self.name.as_c_str() => {
                let why = format!("The default device is now {}.", now.to_string_lossy());
                Err(Error::with_message(ErrorKind::DeviceChanged, why))
            }
            _ => Ok(()),
        }
    }
}

/// The question about latency that is on its way.
#[derive(Debug, Default)]
struct LatencyQuestion {
    asked: Option<(u32, i64)>,
    due_nanos: i64,
    answers: u32,
}

/// What the stream's thread owns.
struct Reader<D> {
    connection: Connection,
    source: String,
    channel: u32,
    format: SampleFormat,
    frame_bytes: usize,
    piece: Piece,
    /// Bytes received since the stream began.
    position_bytes: u64,
    last_sound_nanos: i64,
    clock: CaptureClock,
    question: LatencyQuestion,
    watch: Option<Watch>,
    epoch: Instant,
    closing: Arc<AtomicBool>,
    data: D,
}

impl<D: FnMut(&Data, &InputCallbackInfo)> Reader<D> {
    fn run(mut self, mut error: impl FnMut(Error)) {
        let end = loop {
            if let Err(end) = self.handle_message() {
                break end;
            }
        };
        // The handle keeps the socket open; the server is to forget the stream now.
        self.connection.commands.hang_up();
        if !self.closing.load(Ordering::Relaxed) {
            error(end);
        }
    }

    fn handle_message(&mut self) -> Result<(), Error> {
        let head = self.connection.read_head()?;
        if wire::is_control(&head) {
            self.handle_control(&head)
        } else if head.channel == self.channel {
            self.handle_sound(head.length as usize)
        } else {
            self.connection.skip(head.length)
        }
    }

    fn handle_sound(&mut self, mut length: usize) -> Result<(), Error> {
        if !length.is_multiple_of(self.frame_bytes) {
            let why = format!("The sound server sent a part of a sample: {length} bytes.");
            return Err(Error::with_message(ErrorKind::StreamInvalidated, why));
        }
        while length > 0 {
            let piece_bytes = length.min(self.piece.capacity_bytes);
            self.connection.read_sound(self.piece.bytes(piece_bytes))?;
            self.deliver(piece_bytes);
            length -= piece_bytes;
        }
        self.ask_latency()
    }

    fn deliver(&mut self, piece_bytes: usize) {
        let now = nanos_since(self.epoch);
        if now - self.last_sound_nanos > GAP_NANOS {
            self.clock.forget();
            self.question.due_nanos = now;
        }
        self.last_sound_nanos = now;

        // Until the server has said better: its last sample was captured just now.
        let duration = self.clock.nanos_of(piece_bytes as u64);
        let captured = self.clock.captured_nanos(self.position_bytes).unwrap_or(now - duration).min(now);
        self.position_bytes += piece_bytes as u64;

        let timestamp = InputStreamTimestamp { callback: instant(now), capture: instant(captured) };
        let samples = piece_bytes / self.format.sample_size();
        let start = self.piece.bytes(piece_bytes).as_mut_ptr().cast();
        // SAFETY: `start` points to `samples` initialised samples, aligned for every format, in a buffer that nobody
        // else touches until the callback returns; every bit pattern is a valid F32, I16 and I32.
        let data = unsafe { Data::from_parts(start, samples, self.format) };
        (self.data)(&data, &InputCallbackInfo::new(timestamp));
    }

    fn ask_latency(&mut self) -> Result<(), Error> {
        let now = nanos_since(self.epoch);
        if self.question.asked.is_some() || now < self.question.due_nanos {
            return Ok(());
        }
        let seq = self.connection.next_seq();
        self.question.asked = Some((seq, now));
        // The server echoes this time; ours is remembered with the question.
        let params = LatencyParams { channel: self.channel, now: SystemTime::UNIX_EPOCH };
        self.connection.commands.send(seq, &Command::GetRecordLatency(params))
    }

    fn handle_control(&mut self, head: &pulseaudio::protocol::Descriptor) -> Result<(), Error> {
        let (seq, command, body) = self.connection.read_control(head)?;
        match command {
            Some(Command::Reply) if self.question.asked.is_some_and(|(asked, _)| asked == seq) => {
                let latency = wire::parse::<RecordLatency>(body)?;
                self.handle_latency(&latency);
            }
            Some(Command::Reply) if self.watch.as_ref().is_some_and(|watch| watch.asked == seq) => {
                let server = wire::parse::<ServerInfo>(body)?;
                self.watch.as_ref().map_or(Ok(()), |watch| watch.compare(&server))?;
            }
            Some(Command::Error(_)) if self.question.asked.is_some_and(|(asked, _)| asked == seq) => {
                // A server that cannot say its latency is not asked again; the guess has to do.
                self.question = LatencyQuestion { due_nanos: i64::MAX, ..LatencyQuestion::default() };
            }
            Some(Command::SubscribeEvent(event)) if event.event_facility == SubscriptionEventFacility::Server => {
                if let Some(watch) = &mut self.watch {
                    watch.ask(&mut self.connection)?;
                }
            }
            Some(Command::RecordStreamKilled(channel)) if channel == self.channel => {
                let why = format!("The sound server took {} away.", self.source);
                return Err(Error::with_message(ErrorKind::DeviceNotAvailable, why));
            }
            Some(Command::RecordStreamSuspended(event)) if event.stream_index == self.channel => {
                // No error: the stream lives on and speaks again when the source is resumed.
                let now = if event.suspended { "suspended, silent until it is resumed" } else { "resumed" };
                log::info!("{}: {now} by the sound server", self.source);
                self.clock.forget();
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_latency(&mut self, latency: &RecordLatency) {
        let Some((_, asked)) = self.question.asked.take() else { return };
        let now = nanos_since(self.epoch);
        let known = self.clock.captured_nanos(self.position_bytes).is_some();
        self.question.answers += 1;
        let first = self.question.answers < FIRST_LATENCY_ANSWERS;
        self.question.due_nanos = now + if first { FIRST_LATENCY_INTERVAL_NANOS } else { LATENCY_INTERVAL_NANOS };
        if !latency.playing || (known && now - asked > LATENCY_DOUBT_NANOS) {
            return;
        }
        // The server answers in the order of its messages, so what it had sent when it answered is what has been
        // received, and what it had queued beyond that comes next.
        let queued = u64::try_from(latency.write_offset.saturating_sub(latency.read_offset)).unwrap_or(0);
        let source = i64::try_from(latency.source_usec.saturating_mul(1000)).unwrap_or(i64::MAX);
        let age = self.clock.nanos_of(queued).saturating_add(source);
        if age > LATENCY_LIMIT_NANOS {
            return;
        }
        let answered = asked + (now - asked) / 2;
        let captured = answered - age;
        self.clock.correct(self.position_bytes, captured);
    }
}

/// A buffer whose samples are aligned, so that cpal may show them as a slice of their type.
#[derive(Debug)]
struct Piece {
    buffer: Vec<u8>,
    start: usize,
    /// A whole number of samples of all channels.
    capacity_bytes: usize,
}

impl Piece {
    fn new(frame_bytes: usize) -> Piece {
        let buffer = vec![0; PIECE_BYTES + ALIGNMENT_BYTES];
        let start = buffer.as_ptr().align_offset(ALIGNMENT_BYTES).min(ALIGNMENT_BYTES);
        Piece { buffer, start, capacity_bytes: PIECE_BYTES - PIECE_BYTES % frame_bytes }
    }

    fn bytes(&mut self, length: usize) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + length]
    }
}

fn nanos_since(epoch: Instant) -> i64 {
    i64::try_from(epoch.elapsed().as_nanos()).unwrap_or(i64::MAX - ORIGIN_NANOS)
}

fn instant(nanos: i64) -> StreamInstant {
    let since_origin = u64::try_from(ORIGIN_NANOS.saturating_add(nanos)).unwrap_or(0);
    let time = Duration::from_nanos(since_origin);
    StreamInstant::new(time.as_secs(), time.subsec_nanos())
}
