//! Everything the program can be told, as plain structs. Nothing is read or checked here.

pub mod start_error;

use std::net::IpAddr;
use std::path::PathBuf;

use log::LevelFilter;

use crate::audio::encoder::Encoding;
use crate::audio::sources::device::DeviceChoice;
use crate::os::sd_notify::Supervision;
use crate::signal::messages::IceServer;
use crate::signal::rooms;
use crate::web::http::client_address::TrustedProxies;
use crate::web::http::origin::Origin;
use crate::web::transport::limits::Limits;

/// Where the station's sound shall come from.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceChoice {
    /// Nobody said: a menu on a terminal, else the default input, else the tone.
    Unsaid,
    /// A test tone.
    Sine {
        /// In Hz.
        tone_hz: f64,
    },
    /// A capture device, or what the host plays.
    Device(DeviceChoice),
}

/// Everything the program can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// TCP and UDP port of the door; 0 lets the system choose.
    pub port: u16,
    /// The one address to listen on; every address, if none.
    pub bind: Option<IpAddr>,
    /// Where the sound comes from.
    pub source: SourceChoice,
    /// Frequency of the test tone, should it come to that.
    pub tone_hz: f64,
    /// How it is encoded.
    pub encoding: Encoding,
    /// Threads that send to listeners; each but the first has a UDP port of its own, the next in order.
    pub rtc_threads: usize,
    /// Sessions in all.
    pub max_listeners: usize,
    /// What rooms put up with.
    pub rooms: rooms::Limits,
    /// STUN and TURN servers besides this host, for peers and listeners.
    pub ice_servers: Vec<IceServer>,
    /// Only those come in who were invited.
    pub private: bool,
    /// Pages of other sites that may use the rooms and `/offer`.
    pub allowed_origins: Vec<Origin>,
    /// What strangers may cost.
    pub limits: Limits,
    /// How the door speaks TLS.
    pub tls: TlsChoice,
    /// Proxies whose word about clients counts.
    pub proxies: TrustedProxies,
    /// The address to show to people, `http://` or `https://`, without a slash at its end.
    pub public_url: Option<String>,
    /// A folder to serve the pages from instead of the ones inside the binary.
    pub www: Option<PathBuf>,
    /// Where keys and the like are kept.
    pub state_dir: StateChoice,
    /// Where the log goes besides the terminal.
    pub log_file: LogFile,
    /// What is logged.
    pub log_level: LevelFilter,
    /// Who wants to know how the house is doing.
    pub supervision: Supervision,
}

/// How the door speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsChoice {
    /// Nobody said: with a certificate of this host's own making, if others than this host can reach the door.
    Unsaid,
    /// Not at all.
    Off,
    /// With a certificate of this host's own making.
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
    /// `app.log` in the working directory, if it can be written.
    Default,
    /// This file, or the program does not start.
    Path(PathBuf),
    /// None.
    Off,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            port: 8088,
            bind: None,
            source: SourceChoice::Unsaid,
            tone_hz: 440.0,
            encoding: Encoding::default(),
            rtc_threads: 1,
            max_listeners: 4_000,
            rooms: rooms::Limits::default(),
            ice_servers: vec![],
            private: false,
            allowed_origins: vec![],
            limits: Limits::default(),
            tls: TlsChoice::Unsaid,
            proxies: TrustedProxies::default(),
            public_url: None,
            www: None,
            state_dir: StateChoice::Default(None),
            log_file: LogFile::Default,
            log_level: LevelFilter::Info,
            supervision: Supervision::default(),
        }
    }
}
