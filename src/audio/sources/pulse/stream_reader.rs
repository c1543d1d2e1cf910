//! The thread of a record stream, `pulse-<n>`: blocks in reading the connection and calls the data callback. For sound
//! it does not allocate, lock or log; about once a second it also sends a request for the latency. It does not
//! reconnect: when the stream ends, it calls the error callback once and returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use cpal::{Data, Error, ErrorKind, InputCallbackInfo, InputStreamTimestamp, SampleFormat, StreamInstant};
use pulseaudio::protocol::{Command, Descriptor, LatencyParams, RecordLatency, ServerInfo, SubscriptionEventFacility};

use crate::audio::sources::pulse::clock::CaptureClock;
use crate::audio::sources::pulse::connection::{self, Connection};
use crate::audio::sources::pulse::default_device::DefaultWatch;

/// Sound is delivered in pieces of at most this size, however much the server sends at once.
const PIECE_BYTES: usize = 64 << 10;

/// Every format's samples are aligned to this.
const ALIGNMENT_BYTES: usize = 8;

/// cpal's time of the stream's epoch: one hour, so that sound captured just before the stream was opened does not have
/// a negative time.
const ORIGIN_NANOS: i64 = 3_600_000_000_000;

/// How often the server is asked for its latency, after the first answers.
const LATENCY_INTERVAL_NANOS: i64 = 1_000_000_000;

/// And before: the first answers of a source that has just been started are the least accurate.
const FIRST_LATENCY_INTERVAL_NANOS: i64 = 50_000_000;

/// How many answers count as the first.
const FIRST_LATENCY_ANSWERS: u32 = 4;

/// After a longer round trip it is too uncertain when the server answered.
const LATENCY_ROUND_TRIP_LIMIT_NANOS: i64 = 5_000_000;

/// A higher latency than this is a mistake of the server.
const LATENCY_LIMIT_NANOS: i64 = 10_000_000_000;

/// If nothing arrives for this long, the source has stopped meanwhile, and its clock starts anew.
const GAP_NANOS: i64 = 200_000_000;

/// The latency request that is waiting for its answer, and when the next is due.
#[derive(Debug, Default)]
struct LatencyRequests {
    /// Sequence number, and when it was sent.
    pending: Option<(u32, i64)>,
    due_nanos: i64,
    answers: u32,
}

/// How the samples of a stream are stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamFormat {
    pub(super) sample_format: SampleFormat,
    /// Bytes of one sample of each channel.
    pub(super) frame_bytes: usize,
    pub(super) rate_hz: u32,
}

/// What the thread shares with the stream's handle.
#[derive(Clone, Debug)]
pub(super) struct StreamState {
    /// Zero of the stream's clock.
    epoch: Instant,
    /// The handle was dropped, so that the end of the stream is no error.
    is_closing: Arc<AtomicBool>,
}

impl StreamState {
    pub(super) fn new() -> StreamState {
        StreamState { epoch: Instant::now(), is_closing: Arc::default() }
    }

    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// The present time, for cpal.
    pub(super) fn now(&self) -> StreamInstant {
        stream_instant(self.now_nanos())
    }

    fn now_nanos(&self) -> i64 {
        i64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(i64::MAX - ORIGIN_NANOS)
    }
}

fn stream_instant(nanos: i64) -> StreamInstant {
    let since_origin = u64::try_from(ORIGIN_NANOS.saturating_add(nanos)).unwrap_or(0);
    let time = Duration::from_nanos(since_origin);
    StreamInstant::new(time.as_secs(), time.subsec_nanos())
}

/// Everything that the stream's thread owns.
pub(super) struct StreamReader<D> {
    connection: Connection,
    /// The server's name of the source, for log lines and errors.
    source: String,
    channel: u32,
    format: StreamFormat,
    piece: Piece,
    /// Bytes received since the stream began.
    position_bytes: u64,
    last_sound_nanos: i64,
    clock: CaptureClock,
    latency: LatencyRequests,
    watch: Option<DefaultWatch>,
    state: StreamState,
    data_callback: D,
}

impl<D: FnMut(&Data, &InputCallbackInfo)> StreamReader<D> {
    /// For the stream `channel` of `connection`, which records `source`.
    pub(super) fn new(
        connection: Connection,
        source: String,
        channel: u32,
        format: StreamFormat,
        watch: Option<DefaultWatch>,
        state: StreamState,
        data_callback: D,
    ) -> StreamReader<D> {
        StreamReader {
            connection,
            source,
            channel,
            format,
            piece: Piece::new(format.frame_bytes),
            position_bytes: 0,
            last_sound_nanos: 0,
            clock: CaptureClock::new(u64::from(format.rate_hz) * format.frame_bytes as u64),
            latency: LatencyRequests::default(),
            watch,
            state,
            data_callback,
        }
    }

    /// Reads until the stream ends; then calls `error_callback`, unless the handle was dropped.
    pub(super) fn run(mut self, mut error_callback: impl FnMut(Error)) {
        let end = loop {
            if let Err(end) = self.handle_message() {
                break end;
            }
        };
        // The handle keeps the socket open; shutting it down makes the server delete the stream now.
        self.connection.commands.shut_down();
        if !self.state.is_closing.load(Ordering::Relaxed) {
            error_callback(end);
        }
    }

    fn handle_message(&mut self) -> Result<(), Error> {
        let header = self.connection.read_header()?;
        if connection::is_control(&header) {
            self.handle_control(&header)
        } else if header.channel == self.channel {
            self.handle_sound(header.length as usize)
        } else {
            self.connection.skip(header.length)
        }
    }

    fn handle_sound(&mut self, mut length: usize) -> Result<(), Error> {
        if !length.is_multiple_of(self.format.frame_bytes) {
            let why = format!("The sound server sent an incomplete sample: {length} bytes of sound.");
            return Err(Error::with_message(ErrorKind::StreamInvalidated, why));
        }
        while length > 0 {
            let piece_bytes = length.min(self.piece.capacity_bytes);
            self.connection.read_sound(self.piece.bytes(piece_bytes))?;
            self.deliver(piece_bytes);
            length -= piece_bytes;
        }
        self.request_latency_if_due()
    }

    fn deliver(&mut self, piece_bytes: usize) {
        let now = self.state.now_nanos();
        if now - self.last_sound_nanos > GAP_NANOS {
            self.clock.forget();
            self.latency.due_nanos = now;
        }
        self.last_sound_nanos = now;

        // Until the server has told its latency: assume that it captured the last sample just now.
        let duration = self.clock.nanos_of(piece_bytes as u64);
        let captured = self.clock.captured_nanos(self.position_bytes).unwrap_or(now - duration).min(now);
        self.position_bytes += piece_bytes as u64;

        let timestamp = InputStreamTimestamp { callback: stream_instant(now), capture: stream_instant(captured) };
        let samples = piece_bytes / self.format.sample_format.sample_size();
        let start = self.piece.bytes(piece_bytes).as_mut_ptr().cast();
        // SAFETY: `start` points to `samples` initialised samples, aligned for every format, in a buffer that nothing
        // else reads or writes until the callback returns; every bit pattern is a valid F32, I16 and I32.
        let data = unsafe { Data::from_parts(start, samples, self.format.sample_format) };
        (self.data_callback)(&data, &InputCallbackInfo::new(timestamp));
    }

    fn request_latency_if_due(&mut self) -> Result<(), Error> {
        let now = self.state.now_nanos();
        if self.latency.pending.is_some() || now < self.latency.due_nanos {
            return Ok(());
        }
        let seq = self.connection.next_seq();
        self.latency.pending = Some((seq, now));
        // The server returns this time in its answer; the time that counts is kept with the request.
        let params = LatencyParams { channel: self.channel, now: SystemTime::UNIX_EPOCH };
        self.connection.commands.send(seq, &Command::GetRecordLatency(params))
    }

    fn handle_control(&mut self, header: &Descriptor) -> Result<(), Error> {
        let (seq, command, body) = self.connection.read_control(header)?;
        match command {
            Some(Command::Reply) if self.latency.is_pending(seq) => {
                let latency = connection::parse::<RecordLatency>(body)?;
                self.handle_latency(&latency);
            }
            Some(Command::Reply) => {
                if let Some(watch) = self.watch.as_ref().filter(|watch| watch.is_answer(seq)) {
                    watch.check(&connection::parse::<ServerInfo>(body)?)?;
                }
            }
            Some(Command::Error(_)) if self.latency.is_pending(seq) => {
                // A server that cannot tell its latency is not asked again; the assumption in `deliver` has to do.
                self.latency = LatencyRequests { due_nanos: i64::MAX, ..LatencyRequests::default() };
            }
            Some(Command::SubscribeEvent(event)) if event.event_facility == SubscriptionEventFacility::Server => {
                if let Some(watch) = &mut self.watch {
                    watch.request(&mut self.connection)?;
                }
            }
            Some(Command::RecordStreamKilled(channel)) if channel == self.channel => {
                let why = format!("The sound server removed {}.", self.source);
                return Err(Error::with_message(ErrorKind::DeviceNotAvailable, why));
            }
            // Despite its name, `stream_index` is the channel.
            Some(Command::RecordStreamSuspended(event)) if event.stream_index == self.channel => {
                // No error: the stream goes on when the source is resumed.
                let change = if event.suspended { "suspended, silent until it is resumed" } else { "resumed" };
                log::info!("{}: {change} (by the sound server)", self.source);
                self.clock.forget();
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_latency(&mut self, latency: &RecordLatency) {
        let Some((_, asked)) = self.latency.pending.take() else { return };
        let now = self.state.now_nanos();
        let is_known = self.clock.captured_nanos(self.position_bytes).is_some();
        self.latency.answers += 1;
        let is_first = self.latency.answers < FIRST_LATENCY_ANSWERS;
        self.latency.due_nanos = now + if is_first { FIRST_LATENCY_INTERVAL_NANOS } else { LATENCY_INTERVAL_NANOS };
        if !latency.playing || (is_known && now - asked > LATENCY_ROUND_TRIP_LIMIT_NANOS) {
            return;
        }
        // The server sends its messages in order. So the sound that it had sent when it answered is the sound that has
        // been received, and what it had queued beyond that comes next.
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

impl LatencyRequests {
    fn is_pending(&self, seq: u32) -> bool {
        self.pending.is_some_and(|(pending, _)| pending == seq)
    }
}

/// A buffer in which samples are aligned, so that cpal may show them as a slice of their type.
#[derive(Debug)]
struct Piece {
    buffer: Vec<u8>,
    start: usize,
    /// A whole number of frames.
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
