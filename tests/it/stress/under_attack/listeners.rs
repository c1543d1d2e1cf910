//! A hundred listeners of the running program while it is attacked, with newcomers all the while: what they notice, compared
//! with a quiet time before in the same run. No tests here.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use roomtone::os::file_limits;

use crate::harness::listener::{Listener, Received};
use crate::harness::loopback_client::{delete_session, post_offer, session_path};
use crate::harness::program::Program;
use crate::harness::random::Random;
use crate::harness::wait::wait_until;
use crate::stress::hostile_clients::{address, oversized_offer};
use crate::stress::server_under_load::{ONE_AT_A_TIME, memory_returns, rss_when_idle_kib};
use crate::stress::wake_up_probe::WakeUpProbe;

const LISTENERS: usize = 100;
/// Packets have 20 ms. Browsers hide a gap of two missing ones.
const MAX_GAP: Duration = Duration::from_millis(60);
const NEWCOMER_INTERVAL: Duration = Duration::from_millis(300);
/// From the offer to the first packet.
const MAX_NEWCOMER_WAIT: Duration = Duration::from_secs(1);
const QUIET_TIME: Duration = Duration::from_secs(4);
/// After an attack, so that a gap it caused is over and counted.
const SETTLING_TIME: Duration = Duration::from_secs(1);

/// The running program with its listeners.
pub struct ListenersUnderAttack {
    pub program: Program,
    listeners: Vec<Listener>,
    quiet: Measurement,
    rss_before_kib: u64,
    _exclusive: MutexGuard<'static, ()>,
}

/// What listeners and newcomers noticed during some time.
#[derive(Debug)]
pub struct Measurement {
    /// The longest time from one packet to the next, over all listeners, by the kernel's time stamps.
    pub longest_gap: Duration,
    /// Packets that did not arrive, over all listeners.
    pub lost: u64,
    /// For each newcomer the time from its offer to its first packet.
    pub newcomer_waits: Vec<Duration>,
    /// Responses to newcomers that were not admitted.
    pub refusals: Vec<String>,
    /// The most resident memory.
    pub max_rss_kib: u64,
    /// How late a thread woke up that only sleeps, at most: what the machine does by itself.
    pub machine_delay: Duration,
}

impl ListenersUnderAttack {
    /// Starts the program with these flags and its listeners, each at an address in a network of its own, and measures a
    /// quiet time.
    pub fn start(args: &[&str]) -> ListenersUnderAttack {
        assert!(std::env::var_os("ROOMTONE_BINARY").is_some(), "ROOMTONE_BINARY names a release build");
        let exclusive = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        file_limits::raise_limit().unwrap();
        let program = Program::start(&[&["--sine-wave", "--log-file", "none"], args].concat(), None);
        let listeners: Vec<Listener> =
            (0..LISTENERS).map(|n| Listener::start(program.port, listener_address(n)).unwrap()).collect();
        warm_up(program.port);
        wait_until("packets for all listeners", || listeners.iter().all(|each| each.received().packets > 0));
        let quiet = measure(&program, &listeners, || thread::sleep(QUIET_TIME));
        wait_until("the newcomers to leave", || program.status()["rtc"]["sessions"] == LISTENERS);
        let rss_before_kib = rss_when_idle_kib(&program);
        println!("quiet, resident {rss_before_kib} KiB: {quiet}");
        ListenersUnderAttack { program, listeners, quiet, rss_before_kib, _exclusive: exclusive }
    }

    /// Runs an attack on this thread, and measures until a moment after it.
    pub fn measure(&self, attack: impl FnOnce()) -> Measurement {
        measure(&self.program, &self.listeners, || {
            attack();
            thread::sleep(SETTLING_TIME);
        })
    }

    /// Runs an attack, and checks that listeners and newcomers hardly notice it and that its memory is given back.
    pub fn assert_withstands(&self, attack: impl FnOnce()) {
        let measured = self.measure(attack);
        println!("attack: {measured}");
        let mut faults = vec![];
        if measured.longest_gap > self.max_gap(&measured) {
            faults.push(format!("a listener received nothing for {:.1?}", measured.longest_gap));
        }
        if measured.lost > 0 {
            faults.push(format!("{} packets were lost", measured.lost));
        }
        let longest_wait = measured.longest_wait();
        if measured.newcomer_waits.is_empty() || longest_wait > MAX_NEWCOMER_WAIT {
            faults.push(format!("a newcomer waited {longest_wait:.1?}"));
        }
        faults.extend(measured.refusals.iter().map(|response| format!("a newcomer was refused: {response}")));
        faults.extend(memory_returns(&self.program, self.rss_before_kib).err());
        assert!(faults.is_empty(), "{}", faults.join("; "));
    }

    /// Runs an attack by many clients twice, and checks after the second as [`Self::assert_withstands`] does. The C library
    /// keeps scattered pages of what the sessions or connections of the first lay in; the second uses them again.
    pub fn assert_withstands_twice(mut self, attack: impl Fn()) {
        println!("first attack: {}", self.measure(&attack));
        wait_until("the first attackers to leave", || self.program.status()["rtc"]["sessions"] == LISTENERS);
        let before = std::mem::replace(&mut self.rss_before_kib, rss_when_idle_kib(&self.program));
        println!("resident {before} KiB before the first, {} KiB after", self.rss_before_kib);
        assert!(self.rss_before_kib <= before + before / 2, "the first attack left too much behind");
        self.assert_withstands(attack);
    }

    /// The limit for gaps, on a machine that delays threads by itself: what it took from the quiet listeners, or from a
    /// thread that only sleeps, is not the attack's doing.
    fn max_gap(&self, measured: &Measurement) -> Duration {
        let machine_delay = measured.machine_delay.max(self.quiet.machine_delay);
        MAX_GAP.max(self.quiet.longest_gap + MAX_GAP / 3) + machine_delay.saturating_sub(Duration::from_millis(5))
    }
}

impl Measurement {
    pub fn longest_wait(&self) -> Duration {
        self.newcomer_waits.iter().max().copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Measurement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Measurement { longest_gap, lost, newcomer_waits, refusals, max_rss_kib, machine_delay } = self;
        let longest_wait = self.longest_wait();
        write!(
            f,
            "longest gap {longest_gap:.1?}, lost {lost}, {} newcomers served within {longest_wait:.1?}, {} refused, at most \
             {max_rss_kib} KiB, the machine's own delay {machine_delay:.1?}",
            newcomer_waits.len(),
            refusals.len()
        )
    }
}

/// What the C library keeps of large requests is kept once, and counts as memory before the attack.
fn warm_up(port: u16) {
    let clients: Vec<_> = (0..16)
        .map(|n| {
            thread::spawn(move || {
                let response = post_offer(port, address(n), &oversized_offer(n, &mut Random(3))).unwrap();
                if let Some(location) = response.lines().find_map(|line| line.strip_prefix("Location: ")) {
                    delete_session(port, address(n), &session_path(location)).unwrap();
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

/// Listeners, newcomers and attackers (127.1.0.0/16, 127.2.0.0/16) are in different networks, as people are.
fn listener_address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 10 + n as u8, 0, 2)
}

fn newcomer_address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 120 + (n % 100) as u8, 0, 2)
}

fn measure(program: &Program, listeners: &[Listener], work: impl FnOnce()) -> Measurement {
    let before: Vec<Received> = listeners.iter().map(Listener::received).collect();
    let stopping = AtomicBool::new(false);
    let probe = WakeUpProbe::start();
    let (max_rss_kib, (newcomer_waits, refusals)) = thread::scope(|scope| {
        let rss = scope.spawn(|| max_rss_kib(program, &stopping));
        let newcomers = scope.spawn(|| newcomers(program.port, &stopping));
        // Stops the threads if the work panics, too.
        let stop = StopOnDrop(&stopping);
        work();
        drop(stop);
        (rss.join().unwrap(), newcomers.join().unwrap())
    });
    let machine_delay = probe.stop();
    let after = listeners.iter().map(Listener::received);
    let mut measurement =
        Measurement { longest_gap: Duration::ZERO, lost: 0, newcomer_waits, refusals, max_rss_kib, machine_delay };
    for (before, after) in before.iter().zip(after) {
        assert!(!after.is_closed, "a listener's session was closed");
        let gaps = after.gaps[before.gaps.len()..].iter().copied();
        let longest = gaps.chain([after.last_arrival.elapsed()]).max().unwrap_or_default();
        measurement.longest_gap = measurement.longest_gap.max(longest);
        measurement.lost += after.lost - before.lost;
    }
    measurement
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn max_rss_kib(program: &Program, stopping: &AtomicBool) -> u64 {
    let mut max = 0;
    while !stopping.load(Ordering::Relaxed) {
        max = max.max(program.rss_kib());
        thread::sleep(Duration::from_millis(50));
    }
    max
}

/// Connects one newcomer after another. Returns how long each waited for its first packet, and the refusals.
fn newcomers(port: u16, stopping: &AtomicBool) -> (Vec<Duration>, Vec<String>) {
    let (mut waits, mut refusals) = (vec![], vec![]);
    for from in (0..).map(newcomer_address) {
        if stopping.load(Ordering::Relaxed) {
            break;
        }
        let begun = Instant::now();
        match Listener::start(port, from) {
            Ok(newcomer) => {
                wait_until("a packet for a newcomer", || newcomer.received().packets > 0);
                waits.push(begun.elapsed());
                delete_session(port, from, &newcomer.session_path).unwrap();
            }
            Err(response) => refusals.push(response),
        }
        thread::sleep(NEWCOMER_INTERVAL.saturating_sub(begun.elapsed()));
    }
    (waits, refusals)
}
