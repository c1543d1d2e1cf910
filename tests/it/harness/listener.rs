//! Somebody who listens: a client of its own engine on a thread of its own, over real sockets, that counts what it hears.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use str0m::change::SdpAnswer;
use str0m::format::CodecConfig;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

use crate::harness::timestamps;

/// No single read or write takes that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// See the head of the file; listens until dropped.
pub struct Ear {
    heard: Arc<Mutex<Heard>>,
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// What the server answered, as the client took it.
    pub answer: String,
    /// The path under which the session is spoken of.
    pub session: String,
}

#[derive(Clone, Debug)]
pub struct Heard {
    /// No packet is counted twice.
    pub packets: u64,
    pub lost: u64,
    /// Between one packet and the next, by the kernel's stamps.
    pub gaps: Vec<Duration>,
    pub last: Instant,
    first_sequence: u64,
    last_sequence: u64,
    /// The host has said goodbye.
    pub dismissed: bool,
}

impl Heard {
    pub fn longest_gap(&self) -> Duration {
        self.gaps.iter().max().copied().unwrap_or_default()
    }

    /// Packets from the first to the last that was heard, with those between that were not.
    pub fn span(&self) -> u64 {
        self.packets + self.lost
    }
}

/// Another way to listen than the plain one.
#[derive(Clone, Copy, Default)]
pub struct Wish {
    /// Ask for packets that are missing.
    pub nack: bool,
    /// Speak to this address instead of the server's.
    pub by_way_of: Option<SocketAddr>,
}

impl Ear {
    /// Connected to nobody yet when this returns, but admitted.
    pub fn listen(port: u16, from: Ipv4Addr) -> Result<Ear, String> {
        Ear::listen_as(Wish::default(), port, from)
    }

    pub fn listen_as(wish: Wish, port: u16, from: Ipv4Addr) -> Result<Ear, String> {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        let now = Instant::now();
        let mut config = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false);
        let mut opus = config.codec_config().params().to_vec();
        opus.iter_mut().for_each(|params| params.set_fb_nack(wish.nack));
        *config.codec_config() = CodecConfig::new_from_payload_params(opus);
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(socket.local_addr().unwrap(), Protocol::Udp).unwrap());
        let mut change = rtc.sdp_api();
        change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        let (offer, pending) = change.apply().unwrap();
        let reply = post_offer(port, from, &offer.to_sdp_string()).map_err(|error| error.to_string())?;
        let (head, answer) = reply.split_once("\r\n\r\n").ok_or("no answer")?;
        if !head.starts_with("HTTP/1.1 201") {
            return Err(reply);
        }
        let session = head.lines().find_map(|line| line.strip_prefix("Location: ")).ok_or("no Location")?.to_owned();
        let answer = wish.by_way_of.map_or(answer.to_owned(), |address| led_to(address, answer));
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap()).unwrap();
        let heard = Heard {
            packets: 0,
            lost: 0,
            gaps: vec![],
            last: now,
            first_sequence: 0,
            last_sequence: 0,
            dismissed: false,
        };
        let heard = Arc::new(Mutex::new(heard));
        let enough = Arc::new(AtomicBool::new(false));
        let (told, stop) = (heard.clone(), enough.clone());
        let thread = thread::spawn(move || hear(rtc, wish.nack, &socket, &told, &stop));
        Ok(Ear { heard, enough, thread: Some(thread), answer, session })
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// The answer with one candidate, which is this address.
fn led_to(address: SocketAddr, answer: &str) -> String {
    let candidate = format!("a=candidate:1 1 udp 2130706431 {} {} typ host\r\n", address.ip(), address.port());
    answer
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("a=candidate:"))
        .map(|line| if line.starts_with("a=end-of-candidates") { candidate.clone() + line } else { line.to_owned() })
        .collect()
}

fn hear(mut rtc: Rtc, nack: bool, socket: &UdpSocket, heard: &Mutex<Heard>, enough: &AtomicBool) {
    let here = socket.local_addr().unwrap();
    timestamps::enable_timestamps(socket);
    let mut arrived = Instant::now();
    let mut bytes = [0; 2_000];
    while !enough.load(Ordering::Relaxed) {
        let deadline = loop {
            match rtc.poll_output().unwrap() {
                Output::Timeout(deadline) => break deadline,
                Output::Transmit(t) => drop(socket.send_to(&t.contents, t.destination)),
                Output::Event(Event::RtpPacket(packet)) => {
                    let mut api = rtc.direct_api();
                    // The engine by itself asks only for what comes again in a stream apart (RFC 4588).
                    if let Some(stream) = api.stream_rx(&packet.header.ssrc) {
                        stream.suppress_nack(!nack);
                    }
                    note(&mut heard.lock().unwrap(), *packet.seq_no, arrived);
                }
                Output::Event(Event::Closed) => {
                    heard.lock().unwrap().dismissed = true;
                    return;
                }
                Output::Event(_) => {}
            }
        };
        let wait = deadline.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), Duration::from_millis(100)))).unwrap();
        let input = match timestamps::receive(socket, &mut bytes) {
            Ok((length, source, at)) => {
                arrived = at;
                let contents = bytes[..length].try_into();
                let Ok(contents) = contents else { continue };
                Input::Receive(Instant::now(), Receive { proto: Protocol::Udp, source, destination: here, contents })
            }
            Err(_) => Input::Timeout(Instant::now()),
        };
        rtc.handle_input(input).unwrap();
    }
}

fn note(heard: &mut Heard, sequence: u64, arrived: Instant) {
    if heard.packets == 0 {
        heard.first_sequence = sequence;
    } else {
        heard.gaps.push(arrived.saturating_duration_since(heard.last));
    }
    heard.packets += 1;
    heard.last = arrived;
    heard.last_sequence = heard.last_sequence.max(sequence);
    heard.lost = (heard.last_sequence - heard.first_sequence + 1).saturating_sub(heard.packets);
}

pub fn post_offer(port: u16, from: Ipv4Addr, offer: &str) -> std::io::Result<String> {
    let mut stream = connect(port, from)?;
    let length = offer.len();
    write!(
        stream,
        "POST /whep HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{offer}"
    )?;
    std::io::read_to_string(stream)
}

pub fn connect(port: u16, from: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Somebody in a room, in plain bytes: what follows is RFC 6455's.
pub fn enter(port: u16, from: Ipv4Addr, room: &str) -> TcpStream {
    let mut stream = connect(port, from).unwrap();
    write!(
        stream,
        "GET /ws?room={room} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream
}

/// splitmix64
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}
