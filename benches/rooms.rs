//! How long it takes to enter a room and to reach another peer, how much that costs, and how much of it can be had.
//!
//!     cargo bench --bench rooms [-- [--quick] [PEERS]]
//!
//! The server runs in a process of its own, as a whole, so that memory and threads are its own; the browsers are plain
//! sockets, ten to a room, all read by one thread here. A join lasts from `connect` to `init-peers`; a relay from the
//! write of an offer to its arrival at the other peer. Both include this side's wake-up. The last column is the ratio of
//! the median to that of a bare echo over loopback TCP in the same run: one thread there, the same reader here.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use roomtone::app::App;
use roomtone::config::{Config, LogFile};
use roomtone::os::file_limits;
use roomtone::station::runner::Source;
use roomtone::web::transport::limits::Limits;

const ROOM: usize = 10;
/// PeerEvent one offer of the benches has beside its time: about as much as an ICE candidate.
const PADDING: &str = "candidate:1 1 UDP 2130706431 192.0.2.1 50000 typ host generation 0 ufrag abcd network-cost 999";
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|arg| arg == "--serve") {
        return serve();
    }
    // `cargo bench` says --bench; `cargo test` does not, and only wants to see it work.
    let quick = args.iter().any(|arg| arg == "--quick") || !args.iter().any(|arg| arg == "--bench");
    file_limits::raise_limit().expect("a limit");
    println!("rooms of {ROOM}; times in ms");
    let sizes: &[usize] = if quick { &[10, 1_000] } else { &[10, 1_000, 10_000] };
    let asked: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    for &size in if asked.is_empty() { sizes } else { &asked } {
        run(size, quick);
    }
}

/// The other process: a whole server, and a bare echo.
fn serve() {
    let config = Config {
        port: 0,
        bind: Some([127, 0, 0, 1].into()),
        log_file: LogFile::Off,
        // All browsers have one address here, and come as fast as they can.
        limits: Limits { max_connections_per_address: 12_000, connections_per_s: 100_000, ..Limits::default() },
        ..Config::default()
    };
    let app = App::start(config, Source::Sine { tone_hz: 440.0 }).expect("a server");
    let echo = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("ports {} {}", app.port(), echo.local_addr().expect("an address").port());
    thread::spawn(move || {
        let (mut stream, _) = echo.accept().expect("a client");
        stream.set_nodelay(true).expect("an option");
        let mut bytes = [0; 4096];
        while let Ok(count) = stream.read(&mut bytes) {
            if count == 0 || stream.write_all(&bytes[..count]).is_err() {
                return;
            }
        }
    });
    // Until the bench has ended.
    let _ = io::stdin().read_to_end(&mut vec![]);
    app.stop();
}

struct Server {
    child: Child,
    door: SocketAddr,
    echo: SocketAddr,
}

impl Server {
    fn start() -> Server {
        let exe = std::env::current_exe().expect("a path");
        let mut command = Command::new(exe);
        let mut child = (command.arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped())).spawn().expect("a child");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let port = |nth| line.split_whitespace().nth(nth).and_then(|port| port.parse::<u16>().ok()).expect("a port");
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Server { child, door: at(port(1)), echo: at(port(2)) }
    }

    /// Resident memory in KiB and threads, if the system tells.
    fn weight(&self) -> Option<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some((field("VmRSS:")?, field("Threads:")?))
    }

    /// Processor time so far, in hundredths of a second.
    fn ticks(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn run(size: usize, quick: bool) {
    let server = Server::start();
    thread::sleep(Duration::from_millis(500));
    let mut crowd = Crowd::new();
    let rounds = if quick { 500 } else { 3_000 };
    let echo = crowd.connect(server.echo, b"").0;
    let bare = crowd.one_at_a_time(rounds, |_, _| (echo, stamp_line()));
    let before = server.weight();
    println!("{size} peers");
    print_row("  bare: loopback TCP echo", &bare, &bare);

    let mut joins = histogram();
    for nth in 0..size {
        joins.saturating_record(crowd.join(server.door, nth / ROOM));
    }
    print_row("  join: connect to init-peers", &joins, &bare);
    thread::sleep(Duration::from_secs(1));
    if let (Some((before, few)), Some((after, many))) = (before, server.weight()) {
        let per_peer = after.saturating_sub(before) as f64 / size as f64;
        println!("  idle: {per_peer:.1} KiB resident and {:.2} threads a peer", (many - few) as f64 / size as f64);
    }
    if let Some(ticks) = server.ticks() {
        let time = Duration::from_secs(if quick { 3 } else { 10 });
        thread::sleep(time);
        let used = server.ticks().unwrap_or(ticks) - ticks;
        println!("  idle: {:.1} % of a core, the test tone's encoder in it", used as f64 / time.as_secs_f64());
    }

    let one = crowd.one_at_a_time(rounds, |crowd, round| crowd.offer(round * 7919 % size));
    print_row("  relay, one at a time", &one, &bare);
    let per_s = (size * 40).min(10_000);
    let busy = crowd.paced(per_s, Duration::from_secs(if quick { 2 } else { 5 }));
    print_row(&format!("  relay, all speak, {per_s}/s"), &busy, &bare);
    // Whatever a bucket of 500 still holds after that.
    let each = if quick { 100 } else { 200 };
    let (count, time) = crowd.as_fast_as_can_be(each);
    println!("  relayed as fast as can be: {:.0} messages/s ({count} in {:.2} s)", count as f64 / time, time);
}

/// All browsers, and the thread that reads for them.
struct Crowd {
    registry: Registry,
    to_reader: Sender<(usize, Arc<TcpStream>)>,
    heard: Receiver<Heard>,
    streams: Vec<Arc<TcpStream>>,
    /// Peers only, with their ids.
    peers: Vec<(usize, String)>,
}

/// PeerEvent the reader tells.
enum Heard {
    /// `init-peers`: whose, its id.
    In(usize, String),
    /// An offer or echo arrived so many nanoseconds after it was sent.
    Relayed(u64),
    Closed,
}

impl Crowd {
    fn new() -> Crowd {
        let poll = Poll::new().expect("a poll");
        let registry = poll.registry().try_clone().expect("a registry");
        let ((to_reader, streams), (tell, heard)) = (unbounded(), unbounded());
        thread::spawn(move || Reader { poll, streams, tell, conns: HashMap::new() }.run());
        Crowd { registry, to_reader, heard, streams: vec![], peers: vec![] }
    }

    fn connect(&mut self, address: SocketAddr, request: &[u8]) -> (usize, Instant) {
        let begin = Instant::now();
        let stream = std::net::TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        (&stream).write_all(request).expect("a write");
        stream.set_nonblocking(true).expect("an option");
        let mut stream = TcpStream::from_std(stream);
        let number = self.streams.len();
        self.registry.register(&mut stream, Token(number), Interest::READABLE).expect("a place");
        let stream = Arc::new(stream);
        self.streams.push(Arc::clone(&stream));
        self.to_reader.send((number, stream)).expect("a reader");
        (number, begin)
    }

    /// Nanoseconds from `connect` to `init-peers`.
    fn join(&mut self, door: SocketAddr, room: usize) -> u64 {
        let request = format!(
            "GET /ws?room=r{room} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let (_, begin) = self.connect(door, request.as_bytes());
        match self.hear() {
            Heard::In(number, id) => self.peers.push((number, id)),
            _ => panic!("something else than init-peers"),
        }
        begin.elapsed().as_nanos() as u64
    }

    fn hear(&mut self) -> Heard {
        let heard = self.heard.recv_timeout(PATIENCE).expect("the server answers");
        assert!(!matches!(heard, Heard::Closed), "the server closed a connection");
        heard
    }

    /// An offer of one peer to the next in its room, and the socket to write it to.
    fn offer(&self, from: usize) -> (usize, Vec<u8>) {
        let first = from / ROOM * ROOM;
        let size = ROOM.min(self.peers.len() - first);
        let (_, target) = &self.peers[first + (from - first + 1) % size];
        let text = format!(
            r#"{{"type":"offer","targetId":"{target}","payload":{{"sdp":"{:020}","more":"{PADDING}"}}}}"#,
            now_ns()
        );
        (self.peers[from].0, frame(0x81, text.as_bytes()))
    }

    fn one_at_a_time(&mut self, rounds: usize, next: impl Fn(&Crowd, usize) -> (usize, Vec<u8>)) -> Histogram<u64> {
        let mut times = histogram();
        for round in 0..rounds {
            let (number, bytes) = next(self, round);
            write_all(&self.streams[number], &bytes);
            if let Heard::Relayed(nanos) = self.hear() {
                times.saturating_record(nanos);
            }
            // PeerEvent comes now and then finds everybody asleep; a loop without a pause would not.
            thread::sleep(Duration::from_micros(300));
        }
        times
    }

    /// Everybody in turn, so many a second in all.
    fn paced(&mut self, per_s: usize, time: Duration) -> Histogram<u64> {
        let (begin, mut times, mut sent, mut got) = (Instant::now(), histogram(), 0, 0);
        let total = (per_s as f64 * time.as_secs_f64()) as usize;
        while got < total {
            let due = (begin.elapsed().as_secs_f64() * per_s as f64) as usize;
            while sent < due.min(total) {
                // 7919 is prime: neighbours do not speak one after another.
                let (number, bytes) = self.offer(sent * 7919 % self.peers.len());
                write_all(&self.streams[number], &bytes);
                sent += 1;
            }
            while !self.heard.is_empty() {
                if let Heard::Relayed(nanos) = self.hear() {
                    got += 1;
                    times.saturating_record(nanos);
                }
            }
            assert!(begin.elapsed() < time + PATIENCE, "{got} of {total} arrived");
            thread::sleep(Duration::from_micros(500));
        }
        times
    }

    /// Messages relayed, and the seconds that took.
    fn as_fast_as_can_be(&mut self, each: usize) -> (usize, f64) {
        // As many as keep the server busy; with more, it is the scheduler that is measured.
        let speakers = self.peers.len().min(1_000);
        let frames: Vec<(usize, Vec<u8>)> = (0..speakers).map(|from| self.offer(from)).collect();
        let begin = Instant::now();
        // Not more under way than an outbox holds: nobody is to be closed as too slow.
        const AT_ONCE: usize = 50;
        let (mut got, mut sent) = (0, 0);
        for _ in 0..each / AT_ONCE {
            for (number, bytes) in &frames {
                write_all(&self.streams[*number], &bytes.repeat(AT_ONCE));
                sent += AT_ONCE;
            }
            while got < sent {
                got += usize::from(matches!(self.hear(), Heard::Relayed(_)));
            }
        }
        (got, begin.elapsed().as_secs_f64())
    }
}

/// The thread that reads for everybody and answers pings.
struct Reader {
    poll: Poll,
    streams: Receiver<(usize, Arc<TcpStream>)>,
    tell: Sender<Heard>,
    conns: HashMap<usize, (Arc<TcpStream>, Vec<u8>)>,
}

impl Reader {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut bytes = vec![0; 64 * 1024];
        loop {
            self.poll.poll(&mut events, None).expect("events");
            for event in &events {
                let Token(number) = event.token();
                while !self.conns.contains_key(&number) {
                    let Ok((number, stream)) = self.streams.recv() else { return };
                    self.conns.insert(number, (stream, vec![]));
                }
                if self.read(number, &mut bytes).is_err() {
                    return;
                }
            }
        }
    }

    fn read(&mut self, number: usize, bytes: &mut [u8]) -> Result<(), crossbeam_channel::SendError<Heard>> {
        let Some((stream, inbox)) = self.conns.get_mut(&number) else { return Ok(()) };
        loop {
            match (&**stream).read(bytes) {
                Ok(0) => return self.tell.send(Heard::Closed),
                Ok(count) => inbox.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return self.tell.send(Heard::Closed),
            }
        }
        let mut at = 0;
        while let Some(length) = understand(number, stream, &inbox[at..], &self.tell)? {
            at += length;
        }
        inbox.drain(..at);
        Ok(())
    }
}

/// One line of an echo, one HTTP head or one frame (RFC 6455 §5.2); its length.
fn understand(
    number: usize,
    stream: &TcpStream,
    bytes: &[u8],
    tell: &Sender<Heard>,
) -> Result<Option<usize>, crossbeam_channel::SendError<Heard>> {
    if bytes.starts_with(b"echo") {
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else { return Ok(None) };
        tell.send(Heard::Relayed(now_ns() - digits(&bytes[5..])))?;
        return Ok(Some(end + 1));
    }
    if bytes.starts_with(b"HTTP/1.1 101") {
        return Ok(bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4));
    }
    let [first, length, rest @ ..] = bytes else { return Ok(None) };
    let (head, length) = match (length, rest) {
        (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        (126, _) => return Ok(None),
        (length, _) => (2, usize::from(*length)),
    };
    let Some(payload) = bytes.get(head..head + length) else { return Ok(None) };
    if *first == 0x89 {
        write_all(stream, &frame(0x8a, payload));
    } else if *first == 0x81 && payload.starts_with(br#"{"type":"init-peers","payload":{"id":""#) {
        let id = String::from_utf8_lossy(&payload[38..70]).into_owned();
        tell.send(Heard::In(number, id))?;
    } else if *first == 0x81 && payload.starts_with(br#"{"type":"offer""#) {
        // Behind the sender's id.
        let at = payload.windows(7).position(|seven| seven == br#""sdp":""#).expect("an offer of ours") + 7;
        tell.send(Heard::Relayed(now_ns() - digits(&payload[at..])))?;
    }
    Ok(Some(head + length))
}

/// As a browser sends it, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..=125) => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend((payload.len() as u16).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

fn stamp_line() -> Vec<u8> {
    format!("echo {:020} {PADDING}{PADDING}\n", now_ns()).into_bytes()
}

fn digits(bytes: &[u8]) -> u64 {
    bytes[..20].iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// Since the first call.
fn now_ns() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

fn write_all(mut stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            // The reader sees it too, and says so.
            Err(_) => return,
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds that hdrhistogram takes")
}

fn print_row(name: &str, times: &Histogram<u64>, bare: &Histogram<u64>) {
    let ms = |nanos: u64| nanos as f64 / 1e6;
    println!(
        "{name:<34} n {:>6}   p50 {:>7.3}   p99 {:>7.3}   max {:>8.3}   {:>6.1} x bare",
        times.len(),
        ms(times.value_at_quantile(0.5)),
        ms(times.value_at_quantile(0.99)),
        ms(times.max()),
        times.value_at_quantile(0.5) as f64 / bare.value_at_quantile(0.5).max(1) as f64,
    );
}
