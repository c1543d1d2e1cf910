//! A headless listener: connects by WHEP, decodes the sound, and prints a report once a second.
//!
//!     cargo run --release --example listen -- http://127.0.0.1:8088/whep --seconds 5 [--json]
//!
//! The report has the level and the dominant frequency of each channel, and jitter and packet loss. With `--json` each
//! report is one line with a JSON object. Exits with 1 if no packet was received.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use getopts::Options;
use realfft::RealFftPlanner;
use serde::Serialize;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, Input, Output, Rtc};

const RATE_HZ: usize = 48_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::new();
    options.optopt("", "seconds", "how long to listen (default: until interrupted)", "N");
    options.optflag("", "json", "print JSON lines");
    let matches = options.parse(std::env::args().skip(1))?;
    let url = matches.free.first().cloned().unwrap_or("http://127.0.0.1:8088/whep".into());
    let seconds = matches.opt_get_default("seconds", u64::MAX / 2_000_000_000)?;
    let packets = listen(&url, Duration::from_secs(seconds), matches.opt_present("json"))?;
    if packets == 0 {
        return Err("no packet was received".into());
    }
    Ok(())
}

/// Listens and prints; returns the number of packets received.
fn listen(url: &str, duration: Duration, json: bool) -> Result<u64, Box<dyn Error>> {
    let address = url.strip_prefix("http://").ok_or("the address must begin with http://")?;
    let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    // TCP and UDP take the same route to the server, so both use the same local address.
    let local = TcpStream::connect(host)?.local_addr()?.ip();
    let socket = UdpSocket::bind((local, 0))?;
    let own_address = socket.local_addr()?;
    let start = Instant::now();
    let mut rtc = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false).build(start);
    rtc.add_local_candidate(Candidate::host(own_address, Protocol::Udp)?);
    let mut change = rtc.sdp_api();
    change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    let (offer, pending) = change.apply().ok_or("str0m made no offer")?;
    let (head, answer) = http(host, "POST", path, "application/sdp", &offer.to_sdp_string())?;
    if !head.starts_with("HTTP/1.1 201") {
        return Err(format!("the server refused: {} {answer}", head.lines().next().unwrap_or_default()).into());
    }
    rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;

    let mut meter = Meter::new()?;
    let mut next_report = start + Duration::from_secs(1);
    while start.elapsed() < duration {
        let deadline = drain(&mut rtc, &socket, &mut meter)?;
        receive(&mut rtc, &socket, own_address, deadline.min(next_report))?;
        if Instant::now() >= next_report {
            next_report += Duration::from_secs(1);
            let report = meter.report();
            match json {
                true => println!("{}", serde_json::to_string(&report)?),
                false => println!("{report}"),
            }
        }
    }
    let session = head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case("location")));
    if let Some((_, location)) = session {
        // A reference from the address that was asked (RFC 3986 §5.2).
        let folder = if location.trim().starts_with('/') { "" } else { &path[..=path.rfind('/').unwrap_or(0)] };
        http(host, "DELETE", &format!("{folder}{}", location.trim()), "", "")?;
    }
    Ok(meter.packets)
}

fn http(host: &str, method: &str, path: &str, kind: &str, body: &str) -> Result<(String, String), Box<dyn Error>> {
    let mut stream = TcpStream::connect(host)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("the response is not HTTP")?;
    Ok((head.into(), body.into()))
}

/// Sends and handles all output of str0m. Returns when to call it next.
fn drain(rtc: &mut Rtc, socket: &UdpSocket, meter: &mut Meter) -> Result<Instant, Box<dyn Error>> {
    loop {
        match rtc.poll_output()? {
            Output::Timeout(deadline) => return Ok(deadline),
            Output::Transmit(t) => drop(socket.send_to(&t.contents, t.destination)),
            Output::Event(Event::RtpPacket(packet)) => meter.add(&packet)?,
            Output::Event(Event::Closed) => return Err("the server ended the session".into()),
            Output::Event(_) => {}
        }
    }
}

fn receive(rtc: &mut Rtc, socket: &UdpSocket, own_address: SocketAddr, until: Instant) -> Result<(), Box<dyn Error>> {
    let wait = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    socket.set_read_timeout(Some(wait))?;
    let mut bytes = [0; 2_000];
    let input = match socket.recv_from(&mut bytes) {
        Ok((length, source)) => {
            let contents = bytes[..length].try_into()?;
            let receive = Receive { proto: Protocol::Udp, source, destination: own_address, contents };
            Input::Receive(Instant::now(), receive)
        }
        Err(_) => Input::Timeout(Instant::now()),
    };
    Ok(rtc.handle_input(input)?)
}

/// Decodes the packets and measures their sound and timing.
struct Meter {
    decoder: opus::Decoder,
    /// The last second of sound, left and right.
    sound: [Vec<f32>; 2],
    packets: u64,
    first_sequence: Option<u64>,
    last_sequence: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1): smoothed difference between the spacing of arrivals and of RTP times, in
    /// samples.
    jitter: f64,
    /// Arrival time minus RTP time of the previous packet, in samples.
    transit: Option<f64>,
    start: Instant,
}

#[derive(Serialize)]
struct Report {
    left_dbfs: f32,
    right_dbfs: f32,
    left_hz: f32,
    right_hz: f32,
    jitter_ms: f64,
    packets: u64,
    lost: u64,
}

impl Meter {
    fn new() -> Result<Meter, opus::Error> {
        Ok(Meter {
            decoder: opus::Decoder::new(RATE_HZ as u32, opus::Channels::Stereo)?,
            sound: [vec![], vec![]],
            packets: 0,
            first_sequence: None,
            last_sequence: 0,
            jitter: 0.0,
            transit: None,
            start: Instant::now(),
        })
    }

    fn add(&mut self, packet: &RtpPacket) -> Result<(), opus::Error> {
        let mut samples = [0f32; 2 * 5_760];
        let count = self.decoder.decode_float(&packet.payload, &mut samples, false)?;
        for pair in samples[..2 * count].chunks_exact(2) {
            self.sound[0].push(pair[0]);
            self.sound[1].push(pair[1]);
        }
        for channel in &mut self.sound {
            let surplus = channel.len().saturating_sub(RATE_HZ);
            channel.drain(..surplus);
        }
        self.packets += 1;
        self.first_sequence.get_or_insert(*packet.seq_no);
        self.last_sequence = self.last_sequence.max(*packet.seq_no);
        let arrival = packet.timestamp.saturating_duration_since(self.start).as_secs_f64() * RATE_HZ as f64;
        let transit = arrival - f64::from(packet.header.timestamp);
        if let Some(before) = self.transit.replace(transit) {
            self.jitter += ((transit - before).abs() - self.jitter) / 16.0;
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let expected = self.first_sequence.map_or(0, |first| self.last_sequence - first + 1);
        let [left, right] = &self.sound;
        Report {
            left_dbfs: level_dbfs(left),
            right_dbfs: level_dbfs(right),
            left_hz: dominant_hz(left),
            right_hz: dominant_hz(right),
            jitter_ms: self.jitter * 1_000.0 / RATE_HZ as f64,
            packets: self.packets,
            lost: expected.saturating_sub(self.packets),
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "left {:6.1} dBFS {:7.1} Hz   right {:6.1} dBFS {:7.1} Hz   jitter {:4.1} ms   lost {} of {}",
            self.left_dbfs,
            self.left_hz,
            self.right_dbfs,
            self.right_hz,
            self.jitter_ms,
            self.lost,
            self.lost + self.packets
        )
    }
}

/// Root mean square level: a full-scale sine is −3 dBFS, silence −120.
fn level_dbfs(samples: &[f32]) -> f32 {
    let power = samples.iter().map(|v| v * v).sum::<f32>() / samples.len().max(1) as f32;
    10.0 * power.max(1e-12).log10()
}

/// The strongest frequency, interpolated between FFT bins by a parabola through the strongest and its neighbours (in
/// dB); 0 in silence.
fn dominant_hz(samples: &[f32]) -> f32 {
    if samples.len() < RATE_HZ / 10 || level_dbfs(samples) < -80.0 {
        return 0.0;
    }
    let size = samples.len();
    let fft = RealFftPlanner::<f32>::new().plan_fft_forward(size);
    let mut windowed: Vec<f32> = (samples.iter().enumerate())
        .map(|(n, v)| v * (0.5 - 0.5 * (std::f32::consts::TAU * n as f32 / size as f32).cos()))
        .collect();
    let mut spectrum = fft.make_output_vec();
    if fft.process(&mut windowed, &mut spectrum).is_err() {
        return 0.0;
    }
    let db: Vec<f32> = spectrum.iter().map(|bin| 10.0 * bin.norm_sqr().max(1e-20).log10()).collect();
    let peak = (1..db.len() - 1).max_by(|a, b| db[*a].total_cmp(&db[*b])).unwrap_or(1);
    let (before, at, after) = (db[peak - 1], db[peak], db[peak + 1]);
    let shift = 0.5 * (before - after) / (before - 2.0 * at + after);
    (peak as f32 + shift) * RATE_HZ as f32 / size as f32
}
