//! The running program while it is attacked, a listener that receives all the while, and what must hold afterwards: the
//! listener has lost nothing, a new listener is served within a second, and memory has been given back.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use roomtone::os::file_limits;
use roomtone::os::memory::TRIM_DELAY;

use crate::harness::listener::Listener;
use crate::harness::loopback_client::{IO_TIMEOUT, connect, join_room, post_offer};
use crate::harness::program::Program;
use crate::harness::random::Random;
use crate::harness::wait::wait_until;
use crate::stress::hostile_clients::{address, oversized_offer, stalled_reader};

/// Each of these tests needs the whole machine.
pub static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Connections at the beginning, for tests that look at memory.
pub const WARM_UP_CONNECTIONS: usize = 400;

pub const LISTENER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
pub const NEW_LISTENER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// A running server with one listener.
pub struct ServerUnderLoad {
    pub program: Program,
    pub listener: Listener,
    rss_before_kib: u64,
    _exclusive: MutexGuard<'static, ()>,
}

impl ServerUnderLoad {
    /// Starts the program and the listener, then opens and closes so many connections: what the C library keeps of their
    /// threads' stacks and heaps is kept once, and counts as memory before the attack.
    pub fn start(args: &[&str], warm_up_connections: usize) -> ServerUnderLoad {
        let exclusive = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // This process has the other ends of thousands of connections. The program raises its own limit.
        file_limits::raise_limit().unwrap();
        let program = Program::start(&[&["--sine-wave", "--log-file", "none"], args].concat(), None);
        let listener = Listener::start(program.port, LISTENER_ADDRESS).unwrap();
        let connections: Vec<TcpStream> =
            (0..warm_up_connections).map(|n| stalled_reader(program.port, address(n))).collect();
        for n in 0..16 {
            post_offer(program.port, address(n), &oversized_offer(n, &mut Random(3))).unwrap();
        }
        thread::sleep(Duration::from_secs(2));
        drop(connections);
        let rss_before_kib = rss_when_idle_kib(&program);
        ServerUnderLoad { program, listener, rss_before_kib, _exclusive: exclusive }
    }

    /// Connects the n-th attacker.
    pub fn connect(&self, n: usize) -> TcpStream {
        connect(self.program.port, address(n)).unwrap()
    }

    /// Puts the n-th attacker into a room of its own.
    pub fn join_room(&self, n: usize) -> TcpStream {
        join_room(self.program.port, address(n), &format!("r{n}"))
    }

    /// TCP connections that the server has accepted and not closed.
    pub fn connections(&self) -> u64 {
        connections(&self.program)
    }

    /// Runs an attack by so many clients twice, and checks after the second. The C library keeps scattered pages of what the
    /// responses or sessions of the first lay in, a few KiB for each client; the second uses them again.
    pub fn assert_recovers_twice(mut self, clients: u64, attack: impl Fn(&ServerUnderLoad)) {
        const KEPT_FOR_EACH_KIB: u64 = 4;
        attack(&self);
        let begun = Instant::now();
        while self.program.status()["rtc"]["sessions"] != 1 {
            assert!(begun.elapsed() < IO_TIMEOUT, "unused sessions do not end");
            thread::sleep(Duration::from_millis(100));
        }
        let before = std::mem::replace(&mut self.rss_before_kib, rss_when_idle_kib(&self.program));
        println!("resident {before} KiB before the first {clients}, {} KiB after", self.rss_before_kib);
        assert!(self.rss_before_kib <= before + KEPT_FOR_EACH_KIB * clients, "the first attack left too much behind");
        attack(&self);
        self.assert_recovers();
    }

    /// Checks what must hold after an attack, or while idle attackers are still connected.
    pub fn assert_recovers(self) {
        let begun = Instant::now();
        let new_listener = Listener::start(self.program.port, NEW_LISTENER_ADDRESS).unwrap();
        wait_until("a packet for the new listener", || new_listener.received().packets > 0);
        let served_after = begun.elapsed();
        assert!(served_after < Duration::from_secs(1), "a new listener was served after {served_after:?}");
        let received = self.listener.received();
        println!("longest gap {:?}, new listener served after {served_after:?}", received.longest_gap());
        let (packets, lost) = (received.packets, received.lost);
        assert!(packets > 0 && lost == 0, "the listener received {packets} packets and lost {lost}");
        assert!(received.last_arrival.elapsed() < Duration::from_secs(1), "the listener receives nothing any more");
        memory_returns(&self.program, self.rss_before_kib).unwrap();
    }
}

/// Waits until the program uses hardly more resident memory than before an attack.
///
/// # Errors
/// It still uses more; the numbers.
pub fn memory_returns(program: &Program, before_kib: u64) -> Result<(), String> {
    let limit = before_kib + before_kib / 5;
    let begun = Instant::now();
    let mut after = program.rss_kib();
    while after > limit && begun.elapsed() < Duration::from_secs(45) {
        thread::sleep(Duration::from_millis(200));
        after = program.rss_kib();
    }
    println!("resident {before_kib} KiB before, {after} KiB {:?} after", begun.elapsed());
    if after <= limit { Ok(()) } else { Err(format!("{before_kib} KiB before, {after} KiB after")) }
}

fn connections(program: &Program) -> u64 {
    program.status()["door"]["connections"].as_u64().unwrap()
}

/// Resident memory once the clients have left and the server has given memory back.
pub fn rss_when_idle_kib(program: &Program) -> u64 {
    wait_until("the clients to leave", || connections(program) < 10);
    thread::sleep(TRIM_DELAY + Duration::from_secs(1));
    program.rss_kib()
}
