//! The flags of `roomtone` without an errand: their table, and how each is read and checked.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use getopts::{Matches, Options};
use log::LevelFilter;

use crate::audio::encoder::{Application, Encoding};
use crate::audio::sources::device::DeviceChoice;
use crate::os::sd_notify::Supervision;
use crate::signal::messages::IceServer;
use crate::signal::rooms;
use crate::web::http::client_address::TrustedProxies;
use crate::web::http::origin::Origin;
use crate::web::transport::limits::Limits;

use crate::cli::command::Command;
use crate::config::start_error::{ExitCode, StartError};
use crate::config::{Config, LogFile, SourceChoice, StateChoice, TlsChoice};

/// What a command line without an errand asks for.
pub(crate) fn serve(args: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Command, StartError> {
    let options = options();
    let matches = options.parse(args).map_err(|error| usage(error.to_string()))?;
    if let Some(odd) = matches.free.first() {
        return Err(usage(format!("`{odd}` is not a flag")));
    }
    if matches.opt_present("help") {
        return Ok(Command::Print(help(&options)));
    }
    if matches.opt_present("version") {
        return Ok(Command::Print(version()));
    }
    if matches.opt_present("list-devices") {
        return Ok(Command::ListDevices { json: matches.opt_present("json") });
    }
    if matches.opt_present("json") {
        return Err(usage("--json goes with --list-devices"));
    }
    Ok(Command::Serve(config(&matches, env)?))
}

/// Which roomtone this is and what it was built from, so that a report can name it.
fn version() -> String {
    let commit = match env!("ROOMTONE_COMMIT") {
        "" => String::new(),
        commit => format!(" ({commit})"),
    };
    let linked = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
    let sound = match std::env::consts::OS {
        "linux" => "ALSA, PulseAudio",
        "windows" => "WASAPI",
        "macos" => "CoreAudio",
        _ => "none",
    };
    let (version, target) = (env!("CARGO_PKG_VERSION"), env!("ROOMTONE_TARGET"));
    format!("roomtone {version}{commit}\n{target}, {linked}\nfeatures: sound by {sound}; https, WHEP, rooms")
}

fn options() -> Options {
    let mut o = Options::new();
    o.optopt("p", "port", "TCP and UDP port (default 8088; env PORT; 0: any free one)", "N");
    o.optopt("", "bind", "listen on this address only (default: all, IPv4 and IPv6; env HOST)", "ADDR");
    o.optflag("", "sine-wave", "the station is a test tone");
    o.optopt("", "tone", "frequency of the test tone (default 440)", "HZ");
    o.optopt("", "input-device", "the station is this device: index, id, or part of its name", "X");
    o.optflag("", "loopback", "the station is what this host plays");
    o.optflag("", "list-devices", "print the capture devices and end");
    o.optflag("", "json", "with --list-devices: as JSON");
    o.optopt("", "bitrate", "Opus bitrate in bit/s, or with a k (default 128k)", "BPS");
    o.optopt("", "packet-ms", "packet duration: 2.5, 5, 10, 20, 40 or 60 (default 20)", "MS");
    o.optopt("", "application", "what Opus optimises for: audio, voip, lowdelay (default audio)", "A");
    o.optopt("", "complexity", "Opus effort, 0 to 10 (default 10)", "N");
    o.optopt("", "channels", "1 or 2 (default 2)", "N");
    o.optflag("", "fec", "forward error correction, for speech over lossy networks");
    o.optflag("", "no-fec", "no forward error correction (default)");
    o.optflag("", "dtx", "send nothing while the source is silent");
    o.optopt("", "max-listeners", "listeners at the same time (default 4000)", "N");
    o.optopt("", "max-listeners-per-address", "listeners at the same time from one address (default 500)", "N");
    o.optopt("", "rtc-threads", "threads that send to listeners, each on the next UDP port (default 1)", "N");
    o.optopt("", "max-connections", "TCP connections at the same time (default 12000)", "N");
    o.optopt("", "max-connections-per-address", "the same from one address (default 1000)", "N");
    o.optopt("", "connections-per-second", "new TCP connections from one address (default 200; at once 5 times)", "N");
    o.optopt("", "head-bytes", "size of a request's head (default 16384)", "N");
    o.optopt("", "head-seconds", "time for it to arrive (default 10)", "S");
    o.optopt("", "body-bytes", "size of a request's body (default 65536)", "N");
    o.optopt("", "body-seconds", "time for it to arrive (default 10)", "S");
    o.optopt("", "idle-seconds", "time that a connection may wait for the next request (default 60)", "S");
    o.optopt("", "write-seconds", "time for a client to take 16 KiB of an answer (default 10)", "S");
    o.optopt("", "max-peers", "people in all rooms together (default 10000)", "N");
    o.optopt("", "room-size", "people in one room (default 16)", "N");
    o.optmulti(
        "",
        "ice-server",
        "a STUN or TURN server that browsers shall use besides this host; may be repeated",
        "URL[,USER,CREDENTIAL]",
    );
    o.optflag("", "private", "only those come in who were invited, see `roomtone invite --help`");
    o.optmulti("", "allow-origin", "pages of this site may use the rooms and /offer too; may be repeated", "ORIGIN");
    o.optopt("", "tls-cert", "certificate chain for https, PEM; taken up again when it changes", "FILE");
    o.optopt("", "tls-key", "private key of --tls-cert, PEM", "FILE");
    o.optflag("", "tls-self-signed", "https with a certificate made here (default, unless only this host is served)");
    o.optflag("", "no-tls", "no https");
    o.optmulti("", "trust-proxy", "believe X-Forwarded-For and -Proto from these addresses; may be repeated", "CIDR");
    o.optopt("", "public-url", "the address to show to people, as https://meet.example.net", "URL");
    o.optopt("", "www", "serve the pages from this folder, for working on them", "DIR");
    o.optopt("", "state-dir", "keep keys in this folder (default: the user's state folder)", "DIR");
    o.optopt("", "log-file", "log to this file too; `none` for no file (default app.log)", "PATH");
    o.optopt("", "log-level", "error, warn, info, debug or trace (default info)", "LEVEL");
    o.optflag("h", "help", "print this and end");
    o.optflag("V", "version", "print the version and end");
    o
}

fn help(options: &Options) -> String {
    let brief = "roomtone: a place where people meet and listen. Run it, open the page, it works.\n\n\
                 Usage: roomtone [FLAGS]\n       roomtone invite | revoke, see `roomtone invite --help`\n\n\
                 Without a source: Windows plays what the host plays; on a terminal a menu asks;\n\
                 else the default input is used, and if there is none, a test tone.";
    let codes = "\nExit codes: 0 stopped, 1 bug, 2 bad command line, 3 port or address not available,\n\
                 4 no such device, 5 file or folder not usable.";
    options.usage(brief) + codes
}

fn config(matches: &Matches, env: impl Fn(&str) -> Option<String>) -> Result<Config, StartError> {
    let defaults = Config::default();
    let tone_hz = tone(matches)?;
    let port = matches.opt_str("port").map(|v| ("--port", v)).or_else(|| env("PORT").map(|v| ("PORT", v)));
    let bind = matches.opt_str("bind").map(|v| ("--bind", v)).or_else(|| env("HOST").map(|v| ("HOST", v)));
    let rooms = rooms::Limits {
        room_size: number(matches, "room-size", 1..=1_000)?.unwrap_or(defaults.rooms.room_size),
        max_peers: number(matches, "max-peers", 1..=1_000_000)?.unwrap_or(defaults.rooms.max_peers),
        ..defaults.rooms
    };
    Ok(Config {
        port: port.map_or(Ok(defaults.port), |(name, value)| {
            value.parse().map_err(|_| usage(format!("{name} takes a port from 0 to 65535, not `{value}`")))
        })?,
        bind: bind.filter(|(_, value)| !value.is_empty()).map(|(name, value)| address(name, &value)).transpose()?,
        source: source(matches, tone_hz)?,
        tone_hz,
        encoding: encoding(matches)?,
        rtc_threads: number(matches, "rtc-threads", 1..=64)?.unwrap_or(defaults.rtc_threads),
        max_listeners: number(matches, "max-listeners", 1..=1_000_000)?.unwrap_or(defaults.max_listeners),
        rooms,
        ice_servers: matches.opt_strs("ice-server").iter().map(|text| ice_server(text)).collect::<Result<_, _>>()?,
        private: matches.opt_present("private"),
        allowed_origins: matches.opt_strs("allow-origin").iter().map(|text| origin(text)).collect::<Result<_, _>>()?,
        limits: limits(matches)?,
        tls: tls(matches)?,
        proxies: TrustedProxies::parse(&matches.opt_strs("trust-proxy"))
            .map_err(|odd| usage(format!("--trust-proxy takes networks like 10.0.0.0/8 or fd00::/8, not `{odd}`")))?,
        public_url: matches.opt_str("public-url").map(|url| public_url(&url)).transpose()?,
        www: matches.opt_str("www").map(PathBuf::from),
        state_dir: state_dir(matches, &env),
        log_file: match matches.opt_str("log-file") {
            None => LogFile::Default,
            Some(path) if path == "none" => LogFile::Off,
            Some(path) => LogFile::Path(path.into()),
        },
        log_level: one_of(
            matches,
            "log-level",
            &[
                ("error", LevelFilter::Error),
                ("warn", LevelFilter::Warn),
                ("info", LevelFilter::Info),
                ("debug", LevelFilter::Debug),
                ("trace", LevelFilter::Trace),
            ],
        )?
        .unwrap_or(defaults.log_level),
        supervision: Supervision::from_vars(env),
    })
}

/// The XDG Base Directory Specification on Unix, its counterpart on Windows.
pub(crate) fn state_dir(matches: &Matches, env: impl Fn(&str) -> Option<String>) -> StateChoice {
    if let Some(path) = matches.opt_str("state-dir") {
        return StateChoice::Path(path.into());
    }
    // The specification: a relative path is to be ignored.
    let folder = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let parent = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else {
        folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))
    };
    StateChoice::Default(parent.map(|parent| parent.join("roomtone")))
}

fn origin(text: &str) -> Result<Origin, StartError> {
    Origin::parse(text)
        .ok_or_else(|| usage(format!("--allow-origin takes an origin such as https://example.org, not `{text}`")))
}

/// RFC 7064 and RFC 7065. What a header field could not carry is refused here, where somebody sees it.
fn ice_server(text: &str) -> Result<IceServer, StartError> {
    let wrong = |why: &str| usage(format!("--ice-server takes URL or URL,USER,CREDENTIAL: {why} in `{text}`"));
    let mut parts = text.splitn(3, ',');
    let url = parts.next().unwrap_or_default();
    let secrets = (parts.next().map(str::to_owned), parts.next().map(str::to_owned));
    let (scheme, host) = url.split_once(':').ok_or_else(|| wrong("no URL"))?;
    if host.is_empty() || host.starts_with('/') || !url.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b)) {
        return Err(wrong("no STUN or TURN URL such as stun:stun.example.net:3478"));
    }
    if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Err(wrong("a character that is not ASCII"));
    }
    match (scheme, &secrets) {
        ("stun" | "stuns", (None, None)) | ("turn" | "turns", (Some(_), Some(_))) => {}
        ("turn" | "turns", _) => return Err(wrong("no user and credential, which TURN needs,")),
        ("stun" | "stuns", _) => return Err(wrong("a user, which STUN has no use for,")),
        _ => return Err(wrong("no scheme of stun, stuns, turn or turns")),
    }
    Ok(IceServer { urls: vec![url.to_owned()], username: secrets.0, credential: secrets.1 })
}

fn source(matches: &Matches, tone_hz: f64) -> Result<SourceChoice, StartError> {
    let device = matches.opt_str("input-device").map(|name| SourceChoice::Device(DeviceChoice::Named(name)));
    let loopback = matches.opt_present("loopback").then_some(SourceChoice::Device(DeviceChoice::Loopback));
    let sine = matches.opt_present("sine-wave").then_some(SourceChoice::Sine { tone_hz });
    let mut chosen = [device, loopback, sine].into_iter().flatten();
    let first = chosen.next().unwrap_or(SourceChoice::Unsaid);
    match chosen.next() {
        None => Ok(first),
        Some(_) => Err(usage("choose one of --input-device, --loopback and --sine-wave")),
    }
}

fn encoding(matches: &Matches) -> Result<Encoding, StartError> {
    let defaults = Encoding::default();
    if matches.opt_present("fec") && matches.opt_present("no-fec") {
        return Err(usage("choose one of --fec and --no-fec"));
    }
    let durations =
        [("2.5", 120), ("5", 240), ("10", 480), ("20", 960), ("40", 1_920), ("60", 2_880)].map(|(ms, n)| (ms, n));
    let applications =
        [("audio", Application::Audio), ("voip", Application::Voip), ("lowdelay", Application::LowDelay)];
    Ok(Encoding {
        channels: one_of(matches, "channels", &[("1", 1), ("2", 2)])?.unwrap_or(defaults.channels),
        bitrate_bps: bitrate(matches)?.unwrap_or(defaults.bitrate_bps),
        packet_samples: one_of(matches, "packet-ms", &durations)?.unwrap_or(defaults.packet_samples),
        application: one_of(matches, "application", &applications)?.unwrap_or(defaults.application),
        complexity: number(matches, "complexity", 0..=10)?.map_or(defaults.complexity, |n| n as u8),
        fec: matches.opt_present("fec"),
        dtx: matches.opt_present("dtx"),
    })
}

/// libopus takes 500 to 512,000 bit/s; below 6,000 nothing is worth hearing.
fn bitrate(matches: &Matches) -> Result<Option<u32>, StartError> {
    let Some(text) = matches.opt_str("bitrate") else { return Ok(None) };
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => (text.as_str(), 1),
    };
    (digits.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)).filter(|bps| (6_000..=510_000).contains(bps)))
        .map(Some)
        .ok_or_else(|| usage(format!("--bitrate takes 6000 to 510000 (6k to 510k), not `{text}`")))
}

fn tone(matches: &Matches) -> Result<f64, StartError> {
    let Some(text) = matches.opt_str("tone") else { return Ok(Config::default().tone_hz) };
    (text.parse::<f64>().ok().filter(|hz| (20.0..=20_000.0).contains(hz)))
        .ok_or_else(|| usage(format!("--tone takes 20 to 20000 Hz, not `{text}`")))
}

fn limits(matches: &Matches) -> Result<Limits, StartError> {
    let defaults = Limits::default();
    let count = |flag, default| number(matches, flag, 1..=1_000_000).map(|n| n.unwrap_or(default));
    // Less than a kilobyte is no head of a browser's, more than a few megabytes nobody's.
    let bytes = |flag, default| number(matches, flag, 1_024..=16_777_216).map(|n| n.unwrap_or(default));
    let time =
        |flag, default| number(matches, flag, 1..=3_600).map(|n| n.map_or(default, |s| Duration::from_secs(s as u64)));
    Ok(Limits {
        max_connections: count("max-connections", defaults.max_connections)?,
        max_connections_per_address: count("max-connections-per-address", defaults.max_connections_per_address)?,
        connections_per_s: count("connections-per-second", defaults.connections_per_s)?,
        max_listeners_per_address: count("max-listeners-per-address", defaults.max_listeners_per_address)?,
        head_bytes: bytes("head-bytes", defaults.head_bytes)?,
        head_timeout: time("head-seconds", defaults.head_timeout)?,
        body_bytes: bytes("body-bytes", defaults.body_bytes)?,
        body_timeout: time("body-seconds", defaults.body_timeout)?,
        idle_timeout: time("idle-seconds", defaults.idle_timeout)?,
        write_timeout: time("write-seconds", defaults.write_timeout)?,
        ..defaults
    })
}

fn tls(matches: &Matches) -> Result<TlsChoice, StartError> {
    let file = |flag| matches.opt_str(flag).map(PathBuf::from);
    let files = match (file("tls-cert"), file("tls-key")) {
        (Some(cert), Some(key)) => Some(TlsChoice::Files { cert, key }),
        (None, None) => None,
        _ => return Err(usage("--tls-cert and --tls-key go together")),
    };
    let own = matches.opt_present("tls-self-signed").then_some(TlsChoice::SelfSigned);
    let off = matches.opt_present("no-tls").then_some(TlsChoice::Off);
    let mut chosen = [files, own, off].into_iter().flatten();
    let first = chosen.next().unwrap_or(TlsChoice::Unsaid);
    match chosen.next() {
        None => Ok(first),
        Some(_) => Err(usage("choose one of --tls-cert, --tls-self-signed and --no-tls")),
    }
}

/// An origin (RFC 6454 §4), with or without a slash behind it.
fn public_url(text: &str) -> Result<String, StartError> {
    let origin = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let authority = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme)).unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':').filter(|_| !authority.ends_with(']')) {
        Some((host, port)) => (host, port.parse::<u16>().is_ok_and(|port| port != 0)),
        None => (authority, true),
    };
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'),
    };
    let message = || usage(format!("--public-url takes an address like https://meet.example.net, not `{text}`"));
    (host && port).then_some(origin).ok_or_else(message)
}

fn address(name: &str, text: &str) -> Result<IpAddr, StartError> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match bare {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        _ => bare.parse().map_err(|_| usage(format!("{name} takes an IP address of this host, not `{text}`"))),
    }
}

fn number(matches: &Matches, flag: &str, range: std::ops::RangeInclusive<usize>) -> Result<Option<usize>, StartError> {
    let Some(text) = matches.opt_str(flag) else { return Ok(None) };
    (text.parse().ok().filter(|n| range.contains(n)))
        .map(Some)
        .ok_or_else(|| usage(format!("--{flag} takes {} to {}, not `{text}`", range.start(), range.end())))
}

fn one_of<T: Clone>(matches: &Matches, flag: &str, choices: &[(&str, T)]) -> Result<Option<T>, StartError> {
    let Some(text) = matches.opt_str(flag) else { return Ok(None) };
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    (choices.iter().find(|(name, _)| *name == text).map(|(_, value)| Some(value.clone())))
        .ok_or_else(|| usage(format!("--{flag} takes one of {}, not `{text}`", names.join(", "))))
}

fn usage(message: impl Into<String>) -> StartError {
    StartError::new(ExitCode::Usage, format!("{}. See roomtone --help.", message.into()))
}
