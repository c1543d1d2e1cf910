//! A busy house: pages are fetched as fast as they can be had and hundreds chatter in rooms, while somebody listens. What
//! the threads' priorities are, and what they are good for.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::harness::listener::{Heard, connect, enter};
use crate::harness::program::Program;
use crate::harness::sound_server::SoundServer;
use crate::harness::wait::wait_until;
use crate::stress::attacks::{Siege, source};

const PEERS: usize = 500;
const ROOM: usize = 10;
/// Each peer writes to the nine others so often.
const PER_PEER_PER_SECOND: usize = 4;
const SCHED_RR: i32 = 2;

/// Something that goes on until it is dropped, and counts what it does.
struct Bustle {
    done: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Bustle {
    fn begin(threads: usize, run: impl Fn(usize, &AtomicU64, &AtomicBool) + Send + Sync + 'static) -> Bustle {
        let (run, done, enough) = (Arc::new(run), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let threads = (0..threads).map(|n| {
            let (run, done, enough) = (run.clone(), done.clone(), enough.clone());
            thread::spawn(move || run(n, &done, &enough))
        });
        Bustle { threads: threads.collect(), done, enough }
    }

    /// Each thread fetches a page over one connection, again and again.
    fn of_pages(port: u16, threads: usize) -> Bustle {
        Bustle::begin(threads, move |n, done, enough| {
            let stream = connect(port, source(n)).unwrap();
            let mut answers = BufReader::new(&stream);
            while !enough.load(Ordering::Relaxed) {
                (&stream).write_all(b"GET /listen HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                read_answer(&mut answers);
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Nothing but work, on each processor twice.
    fn of_processors() -> Bustle {
        let threads = 2 * thread::available_parallelism().unwrap().get();
        Bustle::begin(threads, |_, done, enough| {
            while !enough.load(Ordering::Relaxed) {
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Peers in rooms of ten; counts what they hear.
    fn of_chatter(port: u16) -> Bustle {
        let mut peers: Vec<mio::net::TcpStream> = (0..PEERS)
            .map(|n| {
                let stream = enter(port, source(n), &format!("bustle{}", n / ROOM));
                stream.set_nonblocking(true).unwrap();
                mio::net::TcpStream::from_std(stream)
            })
            .collect();
        let poll = Poll::new().unwrap();
        for (n, peer) in peers.iter_mut().enumerate() {
            poll.registry().register(peer, Token(n), Interest::READABLE).unwrap();
        }
        let parts = std::sync::Mutex::new(Some((peers, poll)));
        Bustle::begin(1, move |_, done, enough| {
            let (peers, poll) = parts.lock().unwrap().take().unwrap();
            chatter(peers, poll, done, enough);
        })
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for Bustle {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the bustle came to a bad end");
        }
    }
}

fn read_answer(answers: &mut impl BufRead) {
    let (mut line, mut length) = (String::new(), 0);
    answers.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    while line != "\r\n" {
        line.clear();
        answers.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    std::io::copy(&mut answers.take(length), &mut std::io::sink()).unwrap();
}

fn chatter(mut peers: Vec<mio::net::TcpStream>, mut poll: Poll, heard: &AtomicU64, enough: &AtomicBool) {
    let words = br#"{"type":"chat","payload":{"text":"Has anybody seen my umbrella?"}}"#;
    // RFC 6455 §5.2: a whole text message, masked with nothing.
    let message = [&[0x81, 0x80 | words.len() as u8, 0, 0, 0, 0], &words[..]].concat();
    let mut unread = vec![vec![]; peers.len()];
    let mut events = Events::with_capacity(256);
    let (begun, mut said) = (Instant::now(), 0);
    while !enough.load(Ordering::Relaxed) {
        poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
        for event in events.iter() {
            let (peer, unread) = (&mut peers[event.token().0], &mut unread[event.token().0]);
            match peer.read_to_end(unread) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => panic!("the server has left: {other:?}"),
            }
            heard.fetch_add(take_messages(unread), Ordering::Relaxed);
        }
        let due = begun.elapsed().as_millis() as usize * PEERS * PER_PEER_PER_SECOND / 1000;
        for n in said..due {
            // A full buffer would be a server that does not read for seconds.
            peers[n % PEERS].write_all(&message).unwrap();
        }
        said = due;
    }
}

/// Counts and removes the whole WebSocket messages at the beginning (RFC 6455 §5.2).
fn take_messages(bytes: &mut Vec<u8>) -> u64 {
    let (mut count, mut taken) = (0, 0);
    while let [_, short, rest @ ..] = &bytes[taken..] {
        let (head, length) = match (short, rest) {
            (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            (0..126, _) => (2, usize::from(*short)),
            _ => break,
        };
        if bytes.len() < taken + head + length {
            break;
        }
        taken += head + length;
        count += 1;
    }
    bytes.drain(..taken);
    count
}

/// What the listener heard of the last `time`.
fn listen(siege: &Siege, time: Duration) -> Heard {
    let before = siege.listener.heard();
    thread::sleep(time);
    let mut heard = siege.listener.heard();
    heard.packets -= before.packets;
    heard.lost -= before.lost;
    heard.gaps.drain(..before.gaps.len());
    heard.gaps.sort_unstable();
    heard
}

fn print_gaps(what: &str, heard: &Heard) {
    let ms = |quantile: f64| heard.gaps[(heard.gaps.len() as f64 * quantile) as usize].as_secs_f64() * 1e3;
    let longest = heard.longest_gap().as_secs_f64() * 1e3;
    let (p50, p99) = (ms(0.5), ms(0.99));
    println!("{what:<50} gaps: p50 {p50:>5.1} ms  p99 {p99:>5.1}  max {longest:>6.1}  lost {}", heard.lost);
}

#[test]
fn pages_and_chatter_take_no_sound_from_anybody() {
    let siege = Siege::lay(&[], 0);
    let quiet = listen(&siege, Duration::from_secs(2));
    print_gaps("quiet", &quiet);
    let chatter = Bustle::of_chatter(siege.program.port);
    let pages = Bustle::of_pages(siege.program.port, 8);
    let heard = listen(&siege, Duration::from_secs(8));
    let (fetched, said) = (pages.done() / 8, chatter.done() / 8);
    print_gaps(&format!("{fetched} pages/s, {said} messages/s"), &heard);
    assert!(fetched > 10 && said > 10, "this is no bustle");
    assert_eq!(heard.lost, 0);
    assert!(heard.packets > 0 && heard.last.elapsed() < Duration::from_secs(1), "the sound has stopped");
}

/// Whoever may raise threads may also ask for a negative nice value; this asks for neither and looks at what came of it.
#[test]
fn what_sound_passes_through_goes_first_and_pages_go_last() {
    let sound = SoundServer::start();
    let program = Program::start(&["--loopback"], Some(&sound));
    let mut threads = vec![];
    wait_until("the source is open", || {
        threads = program.threads();
        threads.iter().any(|(name, ..)| name.starts_with("pulse-"))
    });
    let rank = |prefix: &str| {
        let found = threads.iter().find(|(name, ..)| name.starts_with(prefix));
        found.map(|(_, policy, nice)| (*policy, *nice)).unwrap_or_else(|| panic!("no {prefix} in {threads:?}"))
    };
    let ordinary = rank("hub");
    let raised = if rank("rtc").0 == SCHED_RR { (SCHED_RR, ordinary.1) } else { (ordinary.0, -10) };
    let is_warned = program.log().matches("Sound has no precedence here").count();
    for name in ["rtc", "enc-main", "pulse-"] {
        assert_eq!(rank(name), if is_warned == 0 { raised } else { ordinary }, "{name} in {threads:?}");
    }
    assert!(is_warned < 2, "{}", program.log());
    for name in ["roomtone", "accept", "cap-main"] {
        assert_eq!(rank(name), ordinary, "{name} in {threads:?}");
    }
    let behind = (ordinary.0, (ordinary.1 + 5).min(19));
    assert_eq!(rank("http-"), behind, "{threads:?}");
    let _waiting = connect(program.port, source(0)).unwrap();
    wait_until("a connection has a thread, and that goes last", || {
        program.threads().iter().any(|(name, policy, nice)| name.starts_with("conn-") && (*policy, *nice) == behind)
    });
}

/// A thread of the station's own priority that has nothing to do but wake up in time: what it has to wait for is the
/// machine, one that is only rented say.
struct Witness {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Witness {
    fn begin() -> Witness {
        let enough = Arc::<AtomicBool>::default();
        let stop = enough.clone();
        let thread = thread::spawn(move || {
            roomtone::os::priority::raise();
            let mut latest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                thread::sleep(Duration::from_millis(1));
                latest = latest.max(begun.elapsed().saturating_sub(Duration::from_millis(1)));
            }
            latest
        });
        Witness { enough, thread }
    }

    /// The latest it ever was.
    fn latest(self) -> Duration {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// cargo test --release --test it bustle -- --ignored --nocapture
///
/// To compare with no permission to raise threads, the same under `setpriv --bounding-set -sys_nice`.
#[test]
#[ignore = "figures, to be measured by hand with a release build and wrk"]
fn figures_of_a_bustle() {
    const TIME: Duration = Duration::from_secs(20);
    let siege = Siege::lay(&["--max-connections-per-address", "1000"], 0);
    let port = siege.program.port;
    println!("{:?}", siege.program.threads().iter().find(|(name, ..)| name == "rtc"));
    let figures = |name: &str| {
        let witness = Witness::begin();
        let heard = listen(&siege, TIME);
        print_gaps(name, &heard);
        println!("{:50} the machine itself kept a thread of that priority waiting for {:?}", "", witness.latest());
        heard
    };
    figures("quiet");
    {
        let _busy = Bustle::of_processors();
        figures("every processor busy twice");
    }
    let chatter = Bustle::of_chatter(port);
    let seconds = format!("{}s", TIME.as_secs() + 2);
    let url = format!("http://127.0.0.1:{port}/listen");
    let wrk = thread::spawn(move || Command::new("wrk").args(["-t2", "-c64", "-d", &seconds, &url]).output());
    thread::sleep(Duration::from_secs(1));
    let before = chatter.done();
    let heard = figures("wrk and messages");
    let messages = (chatter.done() - before) / TIME.as_secs();
    let told = String::from_utf8(wrk.join().unwrap().expect("wrk is installed").stdout).unwrap();
    let requests = told.lines().find_map(|line| line.strip_prefix("Requests/sec:")).expect(&told).trim();
    println!("{:50} {requests} pages/s, {messages} messages/s", "");
    let _busy = Bustle::of_processors();
    figures("messages, and every processor busy twice");
    assert!(heard.packets > 0);
}
