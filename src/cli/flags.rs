//! The table of the server's flags: the only place that lists them. The parser, the help text and the README's table are
//! made from its rows, and the defaults in them from `Config::default()`.
//!
//! Plain data and how each value gets into the configuration; whether a port, file or device can be used is found out later.

use std::path::PathBuf;

use crate::audio::sources::device::DeviceChoice;
use crate::cli::flag::Flag;
use crate::cli::flag_values::{self as values, APPLICATIONS, CHANNELS, COUNT, LEVELS, PACKET_SAMPLES, REQUEST_BYTES};
use crate::config::{Config, LogFile, SourceChoice, StateChoice, TlsChoice};
use crate::web::http::client_address::TrustedProxies;
use crate::web::http::origin::Origin;

/// Every flag, in the order of the help text and of the README.
pub(crate) const FLAGS: &[Flag] = &[
    Flag::value(
        "port",
        "N",
        "TCP and UDP port, one number for both; 0 picks a free one",
        |c| c.net.port.to_string(),
        |c, v| values::port(v).map(|port| c.net.port = port),
    )
    .short("p")
    .env("PORT"),
    Flag::value(
        "bind",
        "ADDR",
        "listen on this address only",
        |_| "all, IPv4 and IPv6".into(),
        |c, v| values::address(v).map(|address| c.net.bind = address),
    )
    .env("HOST"),
    Flag::switch("sine-wave", "the station is a test tone", none, |c| c.station.source = SourceChoice::Sine),
    Flag::value(
        "tone",
        "HZ",
        "frequency of the test tone",
        |c| c.station.tone_hz.to_string(),
        |c, v| values::tone_hz(v).map(|hz| c.station.tone_hz = hz),
    ),
    Flag::value(
        "input-device",
        "X",
        "the station is this device: its index, its id, or part of its name",
        none,
        |c, v| {
            c.station.source = SourceChoice::Device(DeviceChoice::Named(v.into()));
            Ok(())
        },
    ),
    Flag::value(
        "input-channels",
        "L[,R]",
        "take these channels of the device, counted from 1: left and right, or one for both sides",
        |_| "all, by position; the first two if they have none".into(),
        |c, v| values::input_channels(v).map(|channels| c.station.input_channels = Some(channels)),
    ),
    Flag::switch(
        "loopback",
        "the station is what this host plays: on Linux through PulseAudio or PipeWire, on Windows through WASAPI",
        none,
        |c| c.station.source = SourceChoice::Device(DeviceChoice::Loopback),
    ),
    Flag::action("list-devices", "print the capture devices and exit"),
    Flag::action("json", "with `--list-devices`: print them as JSON"),
    Flag::value(
        "bitrate",
        "BPS",
        "Opus bitrate in bit/s, `96000` or `96k`",
        |c| values::shown_bitrate(c.station.encoding.bitrate_bps),
        |c, v| values::bitrate_bps(v).map(|bps| c.station.encoding.bitrate_bps = bps),
    ),
    Flag::value(
        "packet-ms",
        "MS",
        "duration of a packet: 2.5, 5, 10, 20, 40 or 60; shorter is less delay and more overhead",
        |c| values::name_of(c.station.encoding.packet_samples, PACKET_SAMPLES),
        |c, v| values::one_of(v, PACKET_SAMPLES).map(|samples| c.station.encoding.packet_samples = samples),
    ),
    Flag::value(
        "application",
        "A",
        "what Opus optimises for: `audio`, `voip` or `lowdelay`",
        |c| values::name_of(c.station.encoding.application, APPLICATIONS),
        |c, v| values::one_of(v, APPLICATIONS).map(|application| c.station.encoding.application = application),
    ),
    Flag::value(
        "complexity",
        "N",
        "Opus effort, 0 to 10",
        |c| c.station.encoding.complexity.to_string(),
        |c, v| values::number(v, 0..=10).map(|n| c.station.encoding.complexity = n),
    ),
    Flag::value(
        "channels",
        "N",
        "1 or 2",
        |c| c.station.encoding.channels.to_string(),
        |c, v| values::one_of(v, CHANNELS).map(|n| c.station.encoding.channels = n),
    ),
    Flag::switch(
        "fec",
        "forward error correction, for speech over lossy networks",
        |c| on_or_off(c.station.encoding.fec),
        |c| c.station.encoding.fec = true,
    ),
    Flag::switch("no-fec", "no forward error correction", none, |c| c.station.encoding.fec = false),
    Flag::switch(
        "dtx",
        "send nothing while the source is silent",
        |c| on_or_off(c.station.encoding.dtx),
        |c| c.station.encoding.dtx = true,
    ),
    Flag::value(
        "timeline-minutes",
        "N",
        "minutes of its sound that a station keeps in memory, besides what resends need",
        |c| (c.station.timeline.as_secs() / 60).to_string(),
        |c, v| values::minutes(v).map(|time| c.station.timeline = time),
    ),
    Flag::value(
        "room-size",
        "N",
        "peers in one room",
        |c| c.signal.limits.room_size.to_string(),
        |c, v| values::number(v, 1..=1_000).map(|n| c.signal.limits.room_size = n),
    ),
    Flag::value(
        "max-peers",
        "N",
        "peers in all rooms together",
        |c| c.signal.limits.max_peers.to_string(),
        |c, v| values::number(v, COUNT).map(|n| c.signal.limits.max_peers = n),
    ),
    Flag::value(
        "max-peers-per-address",
        "N",
        "peers in all rooms from one address",
        |c| c.signal.limits.max_peers_per_address.to_string(),
        |c, v| values::number(v, COUNT).map(|n| c.signal.limits.max_peers_per_address = n),
    ),
    Flag::value(
        "messages-per-second",
        "N",
        "messages in rooms from all peers of one address, ten times as many at once; more are read later",
        |c| c.signal.limits.address_messages_per_s.to_string(),
        |c, v| values::number(v, 1..=10_000_000).map(|n| c.signal.limits.address_messages_per_s = n),
    ),
    Flag::values(
        "ice-server",
        "URL[,USER,CREDENTIAL]",
        "a STUN or TURN server for the browsers besides this host, which answers STUN on its port",
        none,
        |c, all| {
            all.iter()
                .map(|v| values::ice_server(v))
                .collect::<Result<_, _>>()
                .map(|servers| c.net.ice_servers = servers)
        },
    ),
    Flag::value("tls-cert", "FILE", "certificate chain for https, PEM; read again when it changes", none, |c, v| {
        tls_files(&mut c.web.tls).0.push(v);
        Ok(())
    }),
    Flag::value("tls-key", "FILE", "private key of `--tls-cert`, PEM", none, |c, v| {
        tls_files(&mut c.web.tls).1.push(v);
        Ok(())
    }),
    Flag::switch(
        "tls-self-signed",
        "https with a certificate that roomtone makes",
        |_| "on, unless only this host can reach the port".into(),
        |c| c.web.tls = TlsChoice::SelfSigned,
    ),
    Flag::switch("no-tls", "no https", none, |c| c.web.tls = TlsChoice::Off),
    Flag::values(
        "trust-proxy",
        "CIDR",
        "believe `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix`, or `Forwarded`, from this network or address",
        none,
        |c, all| {
            let wrong = |odd| format!("takes networks like 10.0.0.0/8 or fd00::/8, not `{odd}`");
            TrustedProxies::parse(all).map(|proxies| c.web.proxies = proxies).map_err(wrong)
        },
    ),
    Flag::value(
        "public-url",
        "URL",
        "the address that people open, as `https://meet.example.net` or `https://example.net/meet`",
        |_| "the host's own".into(),
        |c, v| values::public_url(v).map(|url| c.net.public_url = Some(url)),
    ),
    Flag::value(
        "max-listeners",
        "N",
        "listeners at the same time; more are asked to retry later",
        |c| c.rtc.max_listeners.to_string(),
        |c, v| values::number(v, COUNT).map(|n| c.rtc.max_listeners = n),
    ),
    Flag::value(
        "max-listeners-per-address",
        "N",
        "listeners at the same time from one address, and as many streamed responses",
        |c| c.web.limits.max_listeners_per_address.to_string(),
        |c, v| values::number(v, COUNT).map(|n| c.web.limits.max_listeners_per_address = n),
    ),
    Flag::value(
        "offers-per-second",
        "N",
        "new listeners from one address; five times as many at once",
        |c| c.web.limits.offers_per_s.to_string(),
        |c, v| values::number(v, COUNT).map(|n| c.web.limits.offers_per_s = n),
    ),
    Flag::value(
        "rtc-threads",
        "N",
        "threads that send to listeners, each on the next UDP port; no more than there are processors",
        |c| c.rtc.threads.to_string(),
        |c, v| values::number(v, 1..=64).map(|n| c.rtc.threads = n),
    ),
    Flag::value(
        "max-connections",
        "N",
        "TCP connections at the same time, if the limit of open files permits",
        |c| c.web.limits.max_connections.to_string(),
        |c, v| values::number(v, COUNT).map(|n| c.web.limits.max_connections = n),
    ),
    Flag::value(
        "max-connections-per-address",
        "N",
        "TCP connections at the same time from one address; of a trusted proxy's clients, requests",
        |c| c.web.limits.max_connections_per_address.to_string(),
        |c, v| values::number(v, COUNT).map(|n| c.web.limits.max_connections_per_address = n),
    ),
    Flag::value(
        "connections-per-second",
        "N",
        "new TCP connections from one address; five times as many at once",
        |c| c.web.limits.connections_per_s.to_string(),
        |c, v| values::number(v, COUNT).map(|n| c.web.limits.connections_per_s = n),
    ),
    Flag::value(
        "max-streamed-responses",
        "N",
        "streamed responses at the same time; each keeps its connection and a thread",
        |c| c.web.limits.max_streamed_responses.to_string(),
        |c, v| values::number(v, COUNT).map(|n| c.web.limits.max_streamed_responses = n),
    ),
    Flag::value(
        "head-bytes",
        "N",
        "size of a request's head",
        |c| c.web.limits.head_bytes.to_string(),
        |c, v| values::number(v, REQUEST_BYTES).map(|n| c.web.limits.head_bytes = n),
    ),
    Flag::value(
        "head-seconds",
        "S",
        "time for a request's head, a TLS handshake included",
        |c| c.web.limits.head_timeout.as_secs().to_string(),
        |c, v| values::seconds(v).map(|time| c.web.limits.head_timeout = time),
    ),
    Flag::value(
        "body-bytes",
        "N",
        "size of a request's body",
        |c| c.web.limits.body_bytes.to_string(),
        |c, v| values::number(v, REQUEST_BYTES).map(|n| c.web.limits.body_bytes = n),
    ),
    Flag::value(
        "body-seconds",
        "S",
        "time for a request's body",
        |c| c.web.limits.body_timeout.as_secs().to_string(),
        |c, v| values::seconds(v).map(|time| c.web.limits.body_timeout = time),
    ),
    Flag::value(
        "idle-seconds",
        "S",
        "time that a connection may wait for its next request",
        |c| c.web.limits.idle_timeout.as_secs().to_string(),
        |c, v| values::seconds(v).map(|time| c.web.limits.idle_timeout = time),
    ),
    Flag::value(
        "write-seconds",
        "S",
        "time for a client to take 16 KiB of a response",
        |c| c.web.limits.write_timeout.as_secs().to_string(),
        |c, v| values::seconds(v).map(|time| c.web.limits.write_timeout = time),
    ),
    Flag::switch(
        "private",
        "rooms and listening need a link made by `roomtone invite`",
        |c| on_or_off(c.access.is_private),
        |c| c.access.is_private = true,
    ),
    Flag::values(
        "allow-origin",
        "ORIGIN",
        "pages of this site, as `https://example.org`, may use everything here; `'*'` for all sites",
        none,
        |c, all| {
            let wrong = |text| format!("takes an origin such as https://example.org, not `{text}`");
            let named = all.iter().filter(|text| *text != "*");
            let origins = named.map(|text| Origin::parse(text).ok_or_else(|| wrong(text)));
            c.access.allows_all_origins = all.iter().any(|text| text == "*");
            origins.collect::<Result<_, _>>().map(|origins| c.access.allowed_origins = origins)
        },
    ),
    Flag::values(
        "allow-host",
        "NAME",
        "a name of this host, as `music.example.org`, by which clients in its own network may reach it",
        none,
        |c, all| {
            let hosts = all.iter().map(|text| values::host_name(text));
            hosts.collect::<Result<_, _>>().map(|hosts| c.access.allowed_hosts = hosts)
        },
    ),
    Flag::value(
        "www",
        "DIR",
        "serve the pages from this folder, for working on them",
        |_| "built in".into(),
        |c, v| {
            c.web.www = Some(v.into());
            Ok(())
        },
    ),
    Flag::value(
        "state-dir",
        "DIR",
        "keep keys in this folder",
        |_| "the user's own, as `~/.local/state/roomtone`".into(),
        |c, v| {
            c.os.state_dir = StateChoice::Path(v.into());
            Ok(())
        },
    ),
    Flag::value("log-file", "PATH", "log to this file besides the terminal; `none` for no file", log_file, |c, v| {
        c.log.file = if v == "none" { LogFile::Off } else { LogFile::Path(v.into()) };
        Ok(())
    }),
    Flag::value(
        "log-max-bytes",
        "N",
        "rotate the log file at this size; three old ones are kept, `PATH.1` to `PATH.3`",
        |c| c.log.max_bytes.to_string(),
        // The lower bound keeps a few lines in each file.
        |c, v| values::number(v, 4_096..=1_000_000_000_000).map(|n| c.log.max_bytes = n),
    ),
    Flag::value(
        "log-level",
        "LEVEL",
        "`error`, `warn`, `info`, `debug` or `trace`",
        |c| values::name_of(c.log.level, LEVELS),
        |c, v| values::one_of(v, LEVELS).map(|level| c.log.level = level),
    ),
    Flag::action("help", "print this and exit").short("h"),
    Flag::action("version", "print the version, the commit and what is built in, and exit").short("V"),
];

/// Of each group one flag at most.
pub(crate) const EXCLUSIVE: &[&[&str]] = &[
    &["input-device", "loopback", "sine-wave"],
    // A tone has no channels to choose from.
    &["input-channels", "sine-wave"],
    &["fec", "no-fec"],
    &["tls-cert", "tls-self-signed", "no-tls"],
];

/// The paths of the certificate and of its key, which two flags set.
fn tls_files(choice: &mut TlsChoice) -> (&mut PathBuf, &mut PathBuf) {
    if !matches!(choice, TlsChoice::Files { .. }) {
        *choice = TlsChoice::Files { cert: PathBuf::new(), key: PathBuf::new() };
    }
    match choice {
        TlsChoice::Files { cert, key } => (cert, key),
        _ => unreachable!("it was set just now"),
    }
}

fn log_file(defaults: &Config) -> String {
    match &defaults.log.file {
        LogFile::Default => LogFile::DEFAULT_PATH.into(),
        LogFile::Path(path) => path.display().to_string(),
        LogFile::Off => "none".into(),
    }
}

fn on_or_off(is_on: bool) -> String {
    if is_on { "on".into() } else { "off".into() }
}

/// For flags whose absence needs no explanation.
fn none(_: &Config) -> String {
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table that the README must have.
    fn readme_table() -> String {
        let rows: Vec<String> = FLAGS.iter().map(Flag::readme_row).collect();
        format!("| flag | meaning | default |\n|---|---|---|\n{}\n", rows.join("\n"))
    }

    #[test]
    fn the_readme_shows_the_table_of_flags() {
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(readme).unwrap().replace("\r\n", "\n");
        let section = readme.split("\n## Flags\n").nth(1).expect("a section Flags").split("\n## ").next().unwrap();
        let table: String = section.lines().filter(|line| line.starts_with('|')).map(|l| format!("{l}\n")).collect();
        assert!(table == readme_table(), "put this table into the README's section Flags:\n{}", readme_table());
    }

    #[test]
    fn no_flag_is_in_the_table_twice() {
        for (n, flag) in FLAGS.iter().enumerate() {
            assert!(FLAGS[..n].iter().all(|before| before.name != flag.name), "{}", flag.name);
        }
        assert!(EXCLUSIVE.iter().flat_map(|group| group.iter()).all(|name| FLAGS.iter().any(|f| f.name == *name)));
    }
}
