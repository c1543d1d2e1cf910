//! Reads and checks the values of flags. Each function's error continues a sentence that begins with the flag's name:
//! "takes 1 to 64, not `0`". Pure.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;

use crate::audio::encoder::Application;
use crate::audio::layout::MAX_CHANNELS;
use crate::audio::sources::device::InputChannels;
use crate::net::authority::Authority;
use crate::net::ice_server::IceServer;
use crate::web::http::base_url::BaseUrl;

/// Numbers of clients, rooms, connections.
pub(crate) const COUNT: RangeInclusive<usize> = 1..=1_000_000;
/// No browser's head fits into less than a kilobyte, and none needs more than a few megabytes.
pub(crate) const REQUEST_BYTES: RangeInclusive<usize> = 1_024..=16_777_216;

/// The durations of Opus packets in samples per channel at 48 kHz (RFC 6716 §2.1.4).
pub(crate) const PACKET_SAMPLES: &[(&str, u32)] =
    &[("2.5", 120), ("5", 240), ("10", 480), ("20", 960), ("40", 1_920), ("60", 2_880)];

/// What Opus optimises for.
pub(crate) const APPLICATIONS: &[(&str, Application)] =
    &[("audio", Application::Audio), ("voip", Application::Voip), ("lowdelay", Application::LowDelay)];

/// Mono and stereo.
pub(crate) const CHANNELS: &[(&str, u16)] = &[("1", 1), ("2", 2)];

/// The levels of the log.
pub(crate) const LEVELS: &[(&str, LevelFilter)] = &[
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

/// Reads a number of this range.
pub(crate) fn number<T: FromStr + PartialOrd + Display>(text: &str, range: RangeInclusive<T>) -> Result<T, String> {
    (text.parse().ok().filter(|n| range.contains(n)))
        .ok_or_else(|| format!("takes {} to {}, not `{text}`", range.start(), range.end()))
}

/// Reads one channel, or two with a comma.
pub(crate) fn input_channels(text: &str) -> Result<InputChannels, String> {
    let (left, right) = text.split_once(',').unwrap_or((text, text));
    let channel = |text: &str| number(text.trim(), 1..=MAX_CHANNELS as u16);
    Ok(InputChannels { left: channel(left)?, right: channel(right)? })
}

/// Reads a time in seconds, of an hour at most.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    number(text, 1..=3_600).map(Duration::from_secs)
}

/// Reads a time in minutes, of a day at most; 0 is one.
pub(crate) fn minutes(text: &str) -> Result<Duration, String> {
    number(text, 0..=1_440).map(|minutes: u64| Duration::from_secs(60 * minutes))
}

/// Finds the value of a name.
pub(crate) fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    (choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value))
        .ok_or_else(|| format!("takes one of {}, not `{text}`", names.join(", ")))
}

/// Finds the name of a value.
pub(crate) fn name_of<T: Copy + PartialEq>(value: T, choices: &[(&str, T)]) -> String {
    let name = choices.iter().find(|(_, one)| *one == value).map(|(name, _)| *name);
    name.unwrap_or_default().to_owned()
}

/// Reads a port; 0 is one.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("takes a port from 0 to 65535, not `{text}`"))
}

/// Reads an address of this host, in brackets or without; None if the text is empty.
pub(crate) fn address(text: &str) -> Result<Option<IpAddr>, String> {
    match text.trim_start_matches('[').trim_end_matches(']') {
        "" if text.is_empty() => Ok(None),
        "localhost" => Ok(Some(IpAddr::from([127, 0, 0, 1]))),
        bare => bare.parse().map(Some).map_err(|_| format!("takes an IP address of this host, not `{text}`")),
    }
}

/// Reads the tone's frequency.
pub(crate) fn tone_hz(text: &str) -> Result<f64, String> {
    (text.parse::<f64>().ok().filter(|hz| (20.0..=20_000.0).contains(hz)))
        .ok_or_else(|| format!("takes 20 to 20000 Hz, not `{text}`"))
}

/// Reads a bitrate. libopus takes 500 to 512,000 bit/s; below 6,000 the sound is not intelligible.
pub(crate) fn bitrate_bps(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => (text, 1),
    };
    (digits.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)).filter(|bps| (6_000..=510_000).contains(bps)))
        .ok_or_else(|| format!("takes 6000 to 510000 (6k to 510k), not `{text}`"))
}

/// Shows a bitrate as a person writes it: `128k`.
pub(crate) fn shown_bitrate(bps: u32) -> String {
    if bps.is_multiple_of(1_000) { format!("{}k", bps / 1_000) } else { bps.to_string() }
}

/// Reads a STUN or TURN URL (RFC 7064, RFC 7065) with its credentials. Characters that a header field cannot carry are
/// refused here, where the person who wrote them sees it.
pub(crate) fn ice_server(text: &str) -> Result<IceServer, String> {
    let wrong = |why: &str| format!("takes URL or URL,USER,CREDENTIAL: {why} in `{text}`");
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

/// Reads the address of the pages, with or without a slash behind it.
pub(crate) fn public_url(text: &str) -> Result<BaseUrl, String> {
    // People are to open it: a port that is 0 or missing behind its colon, or a name with `_`, is a typing error.
    let authority = text.split('/').nth(2).unwrap_or_default();
    let is_usable = Authority::parse(authority).is_some_and(|Authority { host, port }| {
        port != Some(0) && !authority.ends_with(':') && !host.as_str().contains('_')
    });
    let message =
        || format!("takes an address like https://meet.example.net or https://example.net/meet, not `{text}`");
    BaseUrl::parse(text).filter(|_| is_usable).ok_or_else(message)
}

/// Reads a host's name without a port, with or without the dot of the root behind it.
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let is_name = |it: &Authority| it.port.is_none() && !text.ends_with(':') && it.host.ip().is_none();
    let name = Authority::parse(text).filter(is_name).map(|authority| authority.host.name().to_owned());
    name.ok_or_else(|| format!("takes a name like music.example.org, in ASCII and without a port, not `{text}`"))
}
