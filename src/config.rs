//! All settings of the program as plain structs, one for each folder that is set up with them. Their `Default` is the only
//! place where default values stand; the help text and the README show them from here.
//!
//! Nothing is read, checked or decided here.

pub mod start_error;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use crate::audio::encoder::Encoding;
use crate::audio::sources::device::{DeviceChoice, InputChannels};
use crate::net::ice_server::IceServer;
use crate::os::sd_notify;
use crate::signal::limits::RoomLimits;
use crate::web::http::base_url::BaseUrl;
use crate::web::http::client_address::TrustedProxies;
use crate::web::http::origin::Origin;
use crate::web::transport::limits::Limits;

/// All settings of the program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Ports, addresses, STUN and TURN servers.
    pub net: NetConfig,
    /// HTTP, TLS and the pages.
    pub web: WebConfig,
    /// The WebRTC sessions.
    pub rtc: RtcConfig,
    /// The station's sound.
    pub station: StationConfig,
    /// The rooms.
    pub signal: SignalConfig,
    /// Permissions.
    pub access: AccessConfig,
    /// The log.
    pub log: LogConfig,
    /// The state folder and the service manager.
    pub os: OsConfig,
}

/// Ports, addresses, STUN and TURN servers.
#[derive(Clone, Debug, PartialEq)]
pub struct NetConfig {
    /// The TCP port and the first UDP port; 0 lets the system choose.
    pub port: u16,
    /// The one address to listen on; all addresses if None.
    pub bind: Option<IpAddr>,
    /// The address by which people open the pages, if this host cannot know it: a proxy's.
    pub public_url: Option<BaseUrl>,
    /// STUN and TURN servers besides this host, for peers and listeners.
    pub ice_servers: Vec<IceServer>,
}

/// HTTP, TLS and the pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebConfig {
    /// What connections and requests may cost.
    pub limits: Limits,
    /// Whether TLS is served, and with which certificate.
    pub tls: TlsChoice,
    /// Proxies whose `X-Forwarded-*` fields are believed.
    pub proxies: TrustedProxies,
    /// A folder to serve the pages from instead of those inside the binary.
    pub www: Option<PathBuf>,
}

/// The WebRTC sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtcConfig {
    /// Threads that send to listeners; each but the first has a UDP port of its own, the next in order.
    pub threads: usize,
    /// Listeners at the same time.
    pub max_listeners: usize,
}

/// The station's sound.
#[derive(Clone, Debug, PartialEq)]
pub struct StationConfig {
    /// Where the sound comes from.
    pub source: SourceChoice,
    /// The channels that are taken of a device; all of them if None.
    pub input_channels: Option<InputChannels>,
    /// Frequency of the test tone, if the source is one.
    pub tone_hz: f64,
    /// How it is encoded.
    pub encoding: Encoding,
    /// How much of its sound a station keeps in memory, besides what resends need.
    pub timeline: Duration,
}

/// The rooms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignalConfig {
    /// How many peers, and how much each may send.
    pub limits: RoomLimits,
}

/// Permissions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessConfig {
    /// Rooms and listening need a link.
    pub is_private: bool,
    /// Pages of every other site may use this server.
    pub allows_all_origins: bool,
    /// Pages of these sites may.
    pub allowed_origins: Vec<Origin>,
    /// Names of this server that it does not know by itself, in lower case.
    pub allowed_hosts: Vec<String>,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The file besides the terminal.
    pub file: LogFile,
    /// The size at which the file is rotated.
    pub max_bytes: u64,
    /// The lowest level that is logged.
    pub level: LevelFilter,
    /// Whether levels are coloured if standard error is a terminal.
    pub is_colored: bool,
}

/// The state folder and the service manager.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OsConfig {
    /// Where keys are kept.
    pub state_dir: StateChoice,
    /// The service manager to notify.
    pub sd_notify: sd_notify::Settings,
}

/// Where the station's sound comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceChoice {
    /// Not specified: a menu on a terminal, else the default input, else the tone.
    Unspecified,
    /// A test tone.
    Sine,
    /// A capture device, or what the host plays.
    Device(DeviceChoice),
}

/// Whether TLS is served, and with which certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsChoice {
    /// Not specified: with a self-signed certificate, unless only this host can reach the port.
    #[default]
    Unspecified,
    /// No TLS.
    Off,
    /// With a certificate that this program makes.
    SelfSigned,
    /// With this certificate.
    Files {
        /// The chain, leaf first, in PEM.
        cert: PathBuf,
        /// The leaf's private key, in PEM.
        key: PathBuf,
    },
}

/// The folder of what outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateChoice {
    /// The user's own (XDG Base Directory Specification), if it can be written; None if the environment names none.
    Default(Option<PathBuf>),
    /// This folder, or the program does not start.
    Path(PathBuf),
}

/// The log's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// [`LogFile::DEFAULT_PATH`] in the working directory, if it can be written.
    Default,
    /// This file, or the program does not start.
    Path(PathBuf),
    /// None.
    Off,
}

impl LogFile {
    /// The file of [`LogFile::Default`].
    pub const DEFAULT_PATH: &str = "app.log";
}

impl Default for NetConfig {
    fn default() -> Self {
        NetConfig { port: 8088, bind: None, public_url: None, ice_servers: vec![] }
    }
}

impl Default for RtcConfig {
    fn default() -> Self {
        RtcConfig { threads: 1, max_listeners: 4_000 }
    }
}

impl Default for StationConfig {
    fn default() -> Self {
        StationConfig {
            source: SourceChoice::Unspecified,
            input_channels: None,
            tone_hz: 440.0,
            encoding: Encoding::default(),
            timeline: Duration::ZERO,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig { file: LogFile::Default, max_bytes: 10_000_000, level: LevelFilter::Info, is_colored: false }
    }
}

impl Default for StateChoice {
    fn default() -> Self {
        StateChoice::Default(None)
    }
}
