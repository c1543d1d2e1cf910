//! Floods and nonsense against the running program, from many addresses: whoever listens goes on listening, a newcomer is
//! served within a second, and the memory comes back. One siege at a time, for each needs the machine.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use roomtone::os::file_limits;
use roomtone::os::memory::TRIM_DELAY;
use socket2::{Domain, Socket, Type};
use str0m::Rtc;
use str0m::media::{Direction, MediaKind};

use crate::harness::listener::{Dice, Ear, PATIENCE, connect, enter, post_offer};
use crate::harness::program::Program;
use crate::harness::wait::wait_until;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
/// Where those come from who mean well.
const FRIEND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The program under siege, and one who listens all the while.
pub struct Siege {
    pub program: Program,
    pub listener: Ear,
    rss_before_kib: u64,
    _alone: MutexGuard<'static, ()>,
}

impl Siege {
    pub fn lay(args: &[&str], rehearsing: usize) -> Siege {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // Both ends of thousands of connections; the program raises its own.
        file_limits::raise_limit().unwrap();
        let program = Program::start(&[&["--sine-wave", "--log-file", "none"], args].concat(), None);
        let listener = Ear::listen(program.port, FRIEND).unwrap();
        // A rehearsal: what the C library keeps of a crowd's stacks and heaps is neither lost nor ever more.
        let crowd: Vec<TcpStream> = (0..rehearsing).map(|n| deaf(program.port, source(n))).collect();
        for n in 0..16 {
            post_offer(program.port, source(n), &nonsense(n, &mut Dice(3))).unwrap();
        }
        thread::sleep(Duration::from_secs(2));
        drop(crowd);
        let rss_before_kib = settled_rss_kib(&program);
        Siege { program, listener, rss_before_kib, _alone: alone }
    }

    fn upgraded(&self, n: usize) -> TcpStream {
        enter(self.program.port, source(n), &format!("r{n}"))
    }

    fn connect(&self, n: usize) -> std::io::Result<TcpStream> {
        connect(self.program.port, source(n))
    }

    /// Lets so many come twice. The C library keeps scattered pages of what their answers or sessions lay in, a few KiB for
    /// each; the second crowd finds them again.
    fn withstand_twice(mut self, crowd: u64, attack: impl Fn(&Siege)) {
        const LEFT_BY_EACH_KIB: u64 = 4;
        attack(&self);
        let begun = Instant::now();
        while self.program.status()["rtc"]["sessions"] != 1 {
            assert!(begun.elapsed() < PATIENCE, "sessions that nobody uses are not given up");
            thread::sleep(Duration::from_millis(100));
        }
        let before = std::mem::replace(&mut self.rss_before_kib, settled_rss_kib(&self.program));
        println!("resident {before} KiB before the first {crowd}, {} KiB after", self.rss_before_kib);
        assert!(self.rss_before_kib <= before + LEFT_BY_EACH_KIB * crowd, "the first crowd left too much");
        attack(&self);
        self.withstand();
    }

    /// What must be true when the attackers have gone, or still stand before the door.
    fn withstand(self) {
        let begun = Instant::now();
        let newcomer = Ear::listen(self.program.port, Ipv4Addr::new(127, 0, 0, 3)).unwrap();
        wait_until("a newcomer hears", || newcomer.heard().packets > 0);
        let served = begun.elapsed();
        assert!(served < Duration::from_secs(1), "a newcomer was served after {served:?}");
        let heard = self.listener.heard();
        println!("longest gap {:?}, newcomer served after {served:?}", heard.longest_gap());
        assert!(heard.packets > 0 && heard.lost == 0, "the listener lost {} of {}", heard.lost, heard.packets);
        assert!(heard.last.elapsed() < Duration::from_secs(1), "the listener hears nothing any more");
        let (before, mut after) = (self.rss_before_kib, 0);
        let returned = |after: &mut u64| {
            *after = self.program.rss_kib();
            *after <= before + before / 5
        };
        let begun = Instant::now();
        while !returned(&mut after) && begun.elapsed() < Duration::from_secs(45) {
            thread::sleep(Duration::from_millis(200));
        }
        println!("resident {before} KiB before, {after} KiB {:?} after", begun.elapsed());
        assert!(after <= before + before / 5, "{before} KiB before, {after} KiB after");
    }
}

/// When whoever came has left, and memory has been given back.
fn settled_rss_kib(program: &Program) -> u64 {
    wait_until("they have left", || program.status()["door"]["connections"].as_u64().unwrap() < 10);
    thread::sleep(TRIM_DELAY + Duration::from_secs(1));
    program.rss_kib()
}

/// One of many addresses, each used by a few hundred connections at the most.
pub fn source(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (n / 250 % 250) as u8, (n % 250) as u8 + 1)
}

const GET: &[u8] = b"GET /room.css HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn get(port: u16, from: Ipv4Addr) -> std::io::Result<String> {
    let mut stream = connect(port, from)?;
    stream.write_all(GET)?;
    std::io::read_to_string(stream)
}

/// Asks for much and reads none of it.
fn deaf(port: u16, from: Ipv4Addr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.write_all(&b"GET /room.css HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20)).unwrap();
    stream
}

/// An offer of 64 KiB that is none, or hardly one.
fn nonsense(n: usize, dice: &mut Dice) -> String {
    let text: String = match n % 4 {
        0 => dice.bytes(64 * 1024).iter().map(|b| char::from(b' ' + b % 94)).collect(),
        1 => an_offer() + &"a=candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\n".repeat(1_300),
        2 => an_offer() + &"a=fmtp:111 x=y\r\n".repeat(3_500),
        _ => "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".repeat(1_800),
    };
    text.chars().take(64 * 1024).collect()
}

/// An offer as good as any, made once.
fn an_offer() -> String {
    let mut rtc = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false).build(Instant::now());
    let mut change = rtc.sdp_api();
    change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    change.apply().unwrap().0.to_sdp_string()
}

#[test]
fn three_thousand_slow_heads() {
    let siege = Siege::lay(&[], 400);
    let mut slow: Vec<TcpStream> = (0..3_000).map(|n| siege.connect(n).unwrap()).collect();
    for (n, stream) in slow.iter_mut().enumerate() {
        stream.write_all(&b"GET / HTTP/1.1\r\nHost"[..1 + n % 19]).unwrap();
    }
    assert!(siege.program.status()["door"]["connections"].as_u64().unwrap() >= 3_000);
    // They are still at it while a newcomer comes; their heads' time ends later.
    siege.withstand();
    for stream in &mut slow {
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.contains(" 408 "), "{reply}");
    }
}

#[test]
fn three_thousand_slow_readers() {
    Siege::lay(&["--write-seconds", "3"], 400).withstand_twice(3_000, stand_deaf);
}

/// Until each of them has been dropped.
fn stand_deaf(siege: &Siege) {
    let mut crowd: Vec<TcpStream> = (0..3_000).map(|n| deaf(siege.program.port, source(n))).collect();
    let connections = || siege.program.status()["door"]["connections"].as_u64().unwrap();
    assert!(connections() >= 3_000);
    // Not until each has been given what fits between here and there, which takes a slow machine a while.
    let begun = Instant::now();
    while connections() > 100 {
        assert!(begun.elapsed() < Duration::from_secs(150), "they are not dropped");
        thread::sleep(Duration::from_millis(100));
    }
    for stream in &mut crowd {
        let _ = stream.set_read_timeout(Some(PATIENCE));
        // What was on its way, then the end.
        match stream.read_to_end(&mut vec![]) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

#[test]
fn a_hundred_thousand_who_come_and_go() {
    let siege = Siege::lay(&[], 400);
    let port = siege.program.port;
    let crowds: Vec<_> = (0..4)
        .map(|crowd| {
            thread::spawn(move || {
                for n in 0..25_000 {
                    let Ok(stream) = connect(port, source(crowd * 6_000 + n % 6_000)) else { continue };
                    // A reset, so that no port stays in use for minutes.
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                }
            })
        })
        .collect();
    for crowd in crowds {
        crowd.join().unwrap();
    }
    let accepted = siege.program.status()["door"]["accepted"].as_u64().unwrap();
    assert!(accepted > 50_000, "only {accepted} got as far as the door");
    siege.withstand();
}

#[test]
fn a_head_of_a_gibibyte() {
    let siege = Siege::lay(&[], 400);
    for n in 0..4 {
        let mut stream = siege.connect(n).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let piece = [b"X: ".as_slice(), &[b'a'; 64 * 1024], b"\r\n"].concat();
        let mut sent = 0;
        while sent < 1 << 30 {
            match stream.write_all(&piece) {
                Ok(()) => sent += piece.len(),
                Err(_) => break,
            }
        }
        assert!(sent < 64 << 20, "{sent} bytes of a head were taken");
    }
    siege.withstand();
}

#[test]
fn garbage_and_half_a_hello() {
    let siege = Siege::lay(&[], 400);
    let mut dice = Dice(7);
    let mut held = vec![];
    for n in 0..1_000 {
        let mut stream = siege.connect(n).unwrap();
        // A TLS record (RFC 8446 §5.1) that announces more than comes, or nonsense altogether.
        let length = 1 + dice.next() as usize % 300;
        let mut bytes = match n % 3 {
            0 => vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
            1 => vec![0x16, 3, 1],
            _ => vec![],
        };
        bytes.extend(dice.bytes(length));
        let _ = stream.write_all(&bytes);
        match n % 4 {
            0 => held.push(stream),
            1 => drop(stream.shutdown(Shutdown::Write)),
            _ => {}
        }
    }
    siege.withstand();
}

#[test]
fn websockets_that_break_every_rule() {
    let siege = Siege::lay(&[], 400);
    let frames: [(&str, Vec<u8>); 7] = [
        ("not masked", vec![0x81, 5, b'h', b'e', b'l', b'l', b'o']),
        ("reserved bits", vec![0xf1, 0x80, 0, 0, 0, 0]),
        ("an unknown opcode", vec![0x83, 0x80, 0, 0, 0, 0]),
        ("a length of 2^63", vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a long control frame", [&[0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0][..], &[0; 256]].concat()),
        ("a continuation of nothing", vec![0x80, 0x80, 0, 0, 0, 0]),
        ("a lone byte of a close code", vec![0x88, 0x81, 0, 0, 0, 0, 3]),
    ];
    for round in 0..300 {
        let (what, frame) = &frames[round % frames.len()];
        let mut stream = siege.upgraded(round);
        stream.write_all(frame).unwrap();
        let mut rest = vec![];
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.is_empty(), "{what}: no word of goodbye");
    }
    let port = siege.program.port;
    let floods: Vec<_> = (0..4)
        .map(|n| {
            let mut stream = siege.upgraded(1_000 + n);
            thread::spawn(move || {
                // Fragments without end, or pings without end whose answers nobody reads.
                let piece = if n % 2 == 0 { [0x00, 0x81, 0, 0, 0, 0, b'a'] } else { [0x89, 0x81, 0, 0, 0, 0, b'p'] };
                if n % 2 == 0 {
                    stream.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'a']).unwrap();
                }
                let many = piece.repeat(1_000);
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(3) && stream.write_all(&many).is_ok() {}
                get(port, source(2_000 + n)).unwrap()
            })
        })
        .collect();
    for flood in floods {
        assert!(flood.join().unwrap().contains(" 200 "));
    }
    siege.withstand();
}

#[test]
fn a_flood_of_offers() {
    Siege::lay(&[], 400).withstand_twice(2_000, flood_with_offers);
}

fn flood_with_offers(siege: &Siege) {
    let (port, offer) = (siege.program.port, Arc::new(an_offer()));
    let begun = Instant::now();
    let floods: Vec<_> = (0..4)
        .map(|flood| {
            let offer = offer.clone();
            thread::spawn(move || {
                let (mut posted, mut statuses) = (0, std::collections::BTreeMap::<String, usize>::new());
                // 500 a second from each of four, as well as the machine can.
                while begun.elapsed() < Duration::from_secs(5) {
                    if posted > begun.elapsed().as_millis() as usize / 2 {
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    posted += 1;
                    let reply = post_offer(port, source(flood), &offer).unwrap_or_default();
                    *statuses.entry(reply.split(' ').nth(1).unwrap_or("none").to_owned()).or_default() += 1;
                }
                (posted, statuses)
            })
        })
        .collect();
    let floods: Vec<_> = floods.into_iter().map(|flood| flood.join().unwrap()).collect();
    println!("{floods:?} in {:?}", begun.elapsed());
}

#[test]
fn offers_of_64_kib_of_nonsense() {
    let siege = Siege::lay(&[], 400);
    let mut dice = Dice(11);
    for n in 0..100 {
        let reply = post_offer(siege.program.port, source(n), &nonsense(n, &mut dice)).unwrap();
        assert!([" 400 ", " 201 "].iter().any(|status| reply[..20].contains(status)), "{}", &reply[..200]);
    }
    siege.withstand();
}

#[test]
fn fifty_thousand_datagrams_a_second_from_a_thousand_addresses() {
    const PER_SECOND: u64 = 50_000;
    const SECONDS: u64 = 5;
    let siege = Siege::lay(&[], 400);
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, siege.program.port));
    let sockets: Vec<UdpSocket> = (0..1_000).map(|n| UdpSocket::bind((source(n), 0)).unwrap()).collect();
    let mut dice = Dice(5);
    let nonsense: Vec<Vec<u8>> = (0..1_000).map(|n| datagram(n, &mut dice)).collect();
    let begun = Instant::now();
    let mut sent = 0;
    while sent < PER_SECOND * SECONDS {
        let due = begun.elapsed().as_micros() as u64 * PER_SECOND / 1_000_000;
        if sent >= due {
            thread::sleep(Duration::from_micros(500));
            continue;
        }
        for _ in sent..due {
            let n = dice.next() as usize;
            // A full buffer of its own is the attacker's loss.
            let _ = sockets[n % 1_000].send_to(&nonsense[n / 1_000 % 1_000], server);
        }
        sent = due;
    }
    println!("{sent} datagrams in {:?}", begun.elapsed());
    let rtc = siege.program.status()["rtc"].clone();
    println!("{rtc}");
    assert!(rtc["datagrams_in"].as_u64().unwrap() > sent / 2, "{rtc}");
    siege.withstand();
}

/// Random, or what looks like STUN, DTLS, RTP or RTCP (RFC 7983), whole or cut off.
fn datagram(n: usize, dice: &mut Dice) -> Vec<u8> {
    let mut bytes: Vec<u8> = match n % 6 {
        0 => vec![],
        // A Binding request with a USERNAME of nobody's.
        1 => [&[0, 1, 0, 16, 0x21, 0x12, 0xa4, 0x42][..], &dice.bytes(12), &[0, 6, 0, 9], b"abcd:efgh\0\0\0"].concat(),
        2 => [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &dice.bytes(12)].concat(),
        3 => [&[0x16, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 1, 0, 0, 88][..], &dice.bytes(96)].concat(),
        4 => [&[0x80, 111][..], &dice.bytes(60)].concat(),
        _ => [&[0x80, 201, 0, 7][..], &dice.bytes(40)].concat(),
    };
    let length = dice.next() as usize % 200;
    if n.is_multiple_of(6) {
        bytes = dice.bytes(length);
    } else if n.is_multiple_of(5) {
        bytes.truncate(length % (bytes.len() + 1));
    }
    bytes
}

/// RFC 5746 and what came of it: a second handshake within a connection is not made here (TLS 1.2; 1.3 knows none).
#[test]
fn nobody_renegotiates() {
    let siege = Siege::lay(&["--tls-self-signed"], 400);
    for n in 0..5 {
        let mut client = Command::new("openssl")
            .args(["s_client", "-tls1_2", "-connect", &format!("127.0.0.1:{}", siege.program.port)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut orders = client.stdin.take().unwrap();
        // `R` at the beginning of a line makes it ask for a new handshake.
        orders.write_all(b"R\n").unwrap();
        thread::sleep(Duration::from_millis(200));
        let _ = orders.write_all(b"R\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        thread::sleep(Duration::from_millis(200));
        drop(orders);
        let output = client.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("no renegotiation"), "{n}: {said}");
    }
    siege.withstand();
}

#[test]
fn who_is_told_to_stop_stops_with_a_house_full_of_guests() {
    let siege = Siege::lay(&[], 400);
    let mut peers: Vec<TcpStream> = (0..50).map(|n| siege.upgraded(n)).collect();
    let stuck: Vec<TcpStream> = (0..50).map(|n| siege.connect(n).unwrap()).collect();
    let Siege { mut program, listener, .. } = siege;
    let (begun, port) = (Instant::now(), program.port);
    program.signal("-TERM");
    wait_until("newcomers are refused", || {
        connect(port, FRIEND).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    assert_eq!(program.wait(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "stopped after {:?}", begun.elapsed());
    for peer in &mut peers {
        let mut rest = vec![];
        let _ = peer.read_to_end(&mut rest);
        let told = String::from_utf8_lossy(&rest);
        assert!(told.contains("\"going-away\""), "{told}");
    }
    wait_until("the listener's goodbye", || listener.heard().dismissed);
    drop(stuck);
}

/// The listener's own address is never one of the attackers'.
#[test]
fn attackers_and_friends_have_different_addresses() {
    assert!((0..70_000).all(|n| IpAddr::from(source(n)) != IpAddr::from(FRIEND)));
}
