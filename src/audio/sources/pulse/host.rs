//! A PulseAudio host behind cpal's traits: sources and monitors of a PulseAudio or PipeWire server, reached by the
//! server's own protocol over a Unix socket or TCP. Linux only. Listing runs on the caller's thread, with time-outs; each
//! stream has a thread of its own. It plays nothing, starts no server, and holds no connection between two calls.
//!
//! cpal's own PulseAudio host is not used because it loses sound with small buffers, does not report that a source has
//! vanished, and can wait for ever for a server that hangs.

use std::ffi::CString;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{
    BufferSize, Data, DeviceDescription, DeviceDescriptionBuilder, DeviceDirection, DeviceId, DeviceType, Error,
    ErrorKind, HostId, InputCallbackInfo, InterfaceType, OutputCallbackInfo, SampleFormat, StreamConfig,
    SupportedBufferSize, SupportedStreamConfig, SupportedStreamConfigRange,
};
use pulseaudio::protocol::{
    self as pulse, ChannelMap, ChannelPosition, Command, SampleSpec, ServerInfo, SourceInfo, SourceInfoList,
};

use crate::audio::layout::{Layout, Position};
use crate::audio::sources::pulse::connection::Connection;
use crate::audio::sources::pulse::default_device::DefaultDevice;
use crate::audio::sources::pulse::server_paths::ServerPaths;
pub use crate::audio::sources::pulse::stream::PulseStream;
use crate::audio::sources::pulse::stream::RecordRequest;

/// The most channels that the server's protocol has.
const CHANNEL_LIMIT: u8 = 32;

/// The formats offered, the best for a station first. The server converts to them.
const FORMATS: [SampleFormat; 3] = [SampleFormat::F32, SampleFormat::I16, SampleFormat::I32];

/// A PulseAudio server, whether it runs or not.
#[derive(Clone, Debug)]
pub struct PulseHost {
    paths: ServerPaths,
}

impl Default for PulseHost {
    fn default() -> PulseHost {
        PulseHost::new()
    }
}

impl PulseHost {
    /// The server of this user, at the paths where PulseAudio's own programs look for it.
    pub fn new() -> PulseHost {
        PulseHost { paths: ServerPaths::from_env() }
    }

    /// The server that listens on `socket`.
    pub fn at(socket: impl Into<PathBuf>) -> PulseHost {
        PulseHost { paths: ServerPaths::of_socket(socket.into()) }
    }

    /// What this machine plays: the monitor of the default sink. A stream on it ends with `DeviceChanged` when another
    /// sink becomes the default.
    ///
    /// # Errors
    /// `HostUnavailable` if no server answers, `DeviceNotAvailable` if it has no sink.
    pub fn loopback_device(&self) -> Result<PulseDevice, Error> {
        let (server, sources) = self.query()?;
        self.default_of(DefaultDevice::Sink, &server, sources)
            .ok_or_else(|| not_available("The sound server has no output device.".to_owned()))
    }

    /// The default source. A stream on it ends with `DeviceChanged` when another one becomes the default. Without a microphone a
    /// server makes a monitor its default, which is never taken for one: what this host plays is sent only if asked for.
    ///
    /// # Errors
    /// `HostUnavailable` if no server answers, `DeviceNotAvailable` if its default is no input.
    pub fn input_device(&self) -> Result<PulseDevice, Error> {
        let (server, sources) = self.query()?;
        let device = self.default_of(DefaultDevice::Source, &server, sources);
        let device = device.ok_or_else(|| not_available("The sound server has no input device.".to_owned()))?;
        if device.is_monitor() {
            let name = device.name();
            return Err(not_available(format!(
                "The sound server's default input is {name}, which is what this host plays; --loopback sends that."
            )));
        }
        Ok(device)
    }

    /// Every source, in the server's order; each knows whether it is the default.
    ///
    /// # Errors
    /// `HostUnavailable` if no server answers.
    pub fn list(&self) -> Result<Vec<PulseDevice>, Error> {
        let (server, sources) = self.query()?;
        let device = |source| {
            let mut device = PulseDevice { paths: self.paths.clone(), source, is_default: false, found_as: None };
            device.is_default =
                device.name_as(DefaultDevice::Source).as_deref() == DefaultDevice::Source.name_in(&server);
            device
        };
        Ok(sources.into_iter().map(device).collect())
    }

    fn query(&self) -> Result<(ServerInfo, Vec<SourceInfo>), Error> {
        let mut connection = Connection::open(&self.paths)?;
        let server = connection.request(&Command::GetServerInfo)?;
        let sources: SourceInfoList = connection.request(&Command::GetSourceInfoList)?;
        Ok((server, sources))
    }

    fn default_of(&self, which: DefaultDevice, server: &ServerInfo, sources: Vec<SourceInfo>) -> Option<PulseDevice> {
        let name = which.name_in(server)?;
        let devices = sources.into_iter().map(|source| PulseDevice {
            paths: self.paths.clone(),
            source,
            is_default: which == DefaultDevice::Source,
            found_as: Some(which),
        });
        devices.into_iter().find(|device| device.name_as(which).as_deref() == Some(name))
    }
}

impl HostTrait for PulseHost {
    type Devices = std::vec::IntoIter<PulseDevice>;
    type Device = PulseDevice;

    fn is_available() -> bool {
        Connection::open(&ServerPaths::from_env()).is_ok()
    }

    fn devices(&self) -> Result<Self::Devices, Error> {
        self.list().map(Vec::into_iter)
    }

    fn default_input_device(&self) -> Option<PulseDevice> {
        self.input_device().ok()
    }

    fn default_output_device(&self) -> Option<PulseDevice> {
        None
    }
}

/// A source of the server, as it was when it was listed.
#[derive(Clone)]
pub struct PulseDevice {
    paths: ServerPaths,
    source: SourceInfo,
    is_default: bool,
    /// The default for which it was found; a stream on it ends when that default changes.
    found_as: Option<DefaultDevice>,
}

impl PulseDevice {
    /// The server's name for the source: stable, and unique on this machine.
    pub fn name(&self) -> String {
        self.source.name.to_string_lossy().into_owned()
    }

    /// Whether this records what a sink plays.
    pub fn is_monitor(&self) -> bool {
        self.source.monitor_of_sink_name.is_some()
    }

    /// Whether this was the server's default source.
    pub fn is_default(&self) -> bool {
        self.is_default
    }

    /// The name by which the server names this source if it is that default: of a monitor, its sink.
    fn name_as(&self, which: DefaultDevice) -> Option<CString> {
        match which {
            DefaultDevice::Source => Some(self.source.name.clone()),
            DefaultDevice::Sink => self.source.monitor_of_sink_name.clone(),
        }
    }

    fn channels(&self) -> u8 {
        self.source.sample_spec.channels.clamp(1, CHANNEL_LIMIT)
    }

    fn channel_map(&self) -> ChannelMap {
        ChannelMap::new(self.source.channel_map.into_iter().take(usize::from(self.channels())))
    }

    /// Where its channels are.
    pub(crate) fn layout(&self) -> Layout {
        Layout::of(self.source.channel_map.into_iter().map(position_of))
    }

    /// From one millisecond, the shortest that a server accepts, to two seconds.
    fn buffer_range(&self) -> SupportedBufferSize {
        let rate = self.source.sample_spec.sample_rate;
        SupportedBufferSize::Range { min: (rate / 1000).max(1), max: rate.saturating_mul(2).max(1) }
    }

    fn native_format(&self) -> SampleFormat {
        use pulse::SampleFormat as Pulse;
        match self.source.sample_spec.format {
            Pulse::U8 | Pulse::Alaw | Pulse::Ulaw | Pulse::S16Le | Pulse::S16Be => SampleFormat::I16,
            Pulse::S32Le | Pulse::S32Be => SampleFormat::I32,
            _ => SampleFormat::F32,
        }
    }

    fn record_request(&self, config: &StreamConfig, format: SampleFormat) -> Result<RecordRequest, Error> {
        let source = &self.source.sample_spec;
        let Some(pulse_format) = pulse_format(format) else {
            return Err(unsupported(format!("{format} is not offered; F32, I16 and I32 are.")));
        };
        if config.channels != u16::from(self.channels()) || config.sample_rate != source.sample_rate {
            let (rate, channels) = (source.sample_rate, self.channels());
            return Err(unsupported(format!("{} is offered only at {rate} Hz with {channels} channels.", self.name())));
        }
        let buffer_samples = match config.buffer_size {
            BufferSize::Default => source.sample_rate / 100,
            BufferSize::Fixed(samples) => samples,
        };
        Ok(RecordRequest {
            source: self.source.name.clone(),
            spec: SampleSpec { format: pulse_format, channels: self.channels(), sample_rate: source.sample_rate },
            map: self.channel_map(),
            format,
            buffer_samples: buffer_samples.max(1),
            default: self.found_as.and_then(|which| Some((which, self.name_as(which)?))),
        })
    }
}

fn position_of(position: ChannelPosition) -> Position {
    use ChannelPosition as P;
    match position {
        P::FrontLeft => Position::FrontLeft,
        P::FrontRight => Position::FrontRight,
        P::Mono | P::FrontCenter | P::TopFrontCenter => Position::Centre,
        P::Lfe => Position::Lfe,
        P::RearCenter | P::TopCenter | P::TopRearCenter => Position::RearCentre,
        P::RearLeft | P::SideLeft | P::FrontLeftOfCenter | P::TopFrontLeft | P::TopRearLeft => Position::SideLeft,
        P::RearRight | P::SideRight | P::FrontRightOfCenter | P::TopFrontRight | P::TopRearRight => Position::SideRight,
        _ => Position::Aux,
    }
}

fn not_available(why: String) -> Error {
    Error::with_message(ErrorKind::DeviceNotAvailable, why)
}

fn unsupported(why: String) -> Error {
    Error::with_message(ErrorKind::UnsupportedConfig, why)
}

/// The server's name for a format in this machine's byte order.
fn pulse_format(format: SampleFormat) -> Option<pulse::SampleFormat> {
    use pulse::SampleFormat as Pulse;
    let little = cfg!(target_endian = "little");
    Some(match format {
        SampleFormat::F32 if little => Pulse::Float32Le,
        SampleFormat::F32 => Pulse::Float32Be,
        SampleFormat::I16 if little => Pulse::S16Le,
        SampleFormat::I16 => Pulse::S16Be,
        SampleFormat::I32 if little => Pulse::S32Le,
        SampleFormat::I32 => Pulse::S32Be,
        _ => return None,
    })
}

impl DeviceTrait for PulseDevice {
    type SupportedInputConfigs = std::vec::IntoIter<SupportedStreamConfigRange>;
    type SupportedOutputConfigs = std::vec::IntoIter<SupportedStreamConfigRange>;
    type Stream = PulseStream;

    fn description(&self) -> Result<DeviceDescription, Error> {
        let name = match &self.source.description {
            Some(description) if !description.is_empty() => description.to_string_lossy().into_owned(),
            _ => self.name(),
        };
        let mut description = DeviceDescriptionBuilder::new(name).driver(self.name()).direction(DeviceDirection::Input);
        if self.is_monitor() {
            description = description.device_type(DeviceType::Virtual).interface_type(InterfaceType::Virtual);
        }
        Ok(description.build())
    }

    fn id(&self) -> Result<DeviceId, Error> {
        Ok(DeviceId::new(HostId::Custom, self.name()))
    }

    fn supported_input_configs(&self) -> Result<Self::SupportedInputConfigs, Error> {
        let (rate, channels) = (self.source.sample_spec.sample_rate, u16::from(self.channels()));
        let config = |format| SupportedStreamConfigRange::new(channels, rate, rate, self.buffer_range(), format);
        Ok(Vec::from(FORMATS.map(config)).into_iter())
    }

    fn supported_output_configs(&self) -> Result<Self::SupportedOutputConfigs, Error> {
        Ok(Vec::new().into_iter())
    }

    fn default_input_config(&self) -> Result<SupportedStreamConfig, Error> {
        let (rate, channels) = (self.source.sample_spec.sample_rate, u16::from(self.channels()));
        Ok(SupportedStreamConfig::new(channels, rate, self.buffer_range(), self.native_format()))
    }

    fn default_output_config(&self) -> Result<SupportedStreamConfig, Error> {
        Err(no_output())
    }

    fn build_input_stream_raw<D, E>(
        &self,
        config: StreamConfig,
        sample_format: SampleFormat,
        data_callback: D,
        error_callback: E,
        _timeout: Option<Duration>,
    ) -> Result<PulseStream, Error>
    where
        D: FnMut(&Data, &InputCallbackInfo) + Send + 'static,
        E: FnMut(Error) + Send + 'static,
    {
        let request = self.record_request(&config, sample_format)?;
        PulseStream::open(&self.paths, request, data_callback, error_callback)
    }

    fn build_output_stream_raw<D, E>(
        &self,
        _config: StreamConfig,
        _sample_format: SampleFormat,
        _data_callback: D,
        _error_callback: E,
        _timeout: Option<Duration>,
    ) -> Result<PulseStream, Error>
    where
        D: FnMut(&mut Data, &OutputCallbackInfo) + Send + 'static,
        E: FnMut(Error) + Send + 'static,
    {
        Err(no_output())
    }
}

fn no_output() -> Error {
    Error::with_message(ErrorKind::UnsupportedOperation, "A source cannot play sound.")
}

// Two devices are equal if their sources have the same name; other properties may change between two lists.
impl PartialEq for PulseDevice {
    fn eq(&self, other: &PulseDevice) -> bool {
        self.paths == other.paths && self.source.name == other.source.name
    }
}

impl Eq for PulseDevice {}

impl Hash for PulseDevice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.name.hash(state);
    }
}

impl fmt::Display for PulseDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description().map_err(|_| fmt::Error)?.name())
    }
}

impl fmt::Debug for PulseDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PulseDevice").field(&self.source.name).finish()
    }
}
