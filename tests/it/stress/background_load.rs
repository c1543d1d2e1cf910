//! Load that goes on while a test measures something else, and counts what it has done.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::harness::loopback_client::connect;
use crate::stress::hostile_clients::address;

/// Threads that work until it is dropped.
pub struct BackgroundLoad {
    done: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl BackgroundLoad {
    /// Runs `work` on so many threads, with the thread's number, where to count, and when to stop.
    pub fn start(threads: usize, work: impl Fn(usize, &AtomicU64, &AtomicBool) + Send + Sync + 'static) -> Self {
        let (work, done, stopping) = (Arc::new(work), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let threads = (0..threads).map(|n| {
            let (work, done, stopping) = (work.clone(), done.clone(), stopping.clone());
            thread::spawn(move || work(n, &done, &stopping))
        });
        BackgroundLoad { threads: threads.collect(), done, stopping }
    }

    /// Each thread fetches a page over one connection, again and again. Counts pages.
    pub fn pages(port: u16, threads: usize) -> BackgroundLoad {
        BackgroundLoad::start(threads, move |n, done, stopping| {
            let stream = connect(port, address(n)).unwrap();
            let mut responses = BufReader::new(&stream);
            while !stopping.load(Ordering::Relaxed) {
                (&stream).write_all(b"GET /listen HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                read_response(&mut responses);
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Two threads for each processor that only compute.
    pub fn busy_processors() -> BackgroundLoad {
        let threads = 2 * thread::available_parallelism().unwrap().get();
        BackgroundLoad::start(threads, |_, done, stopping| {
            while !stopping.load(Ordering::Relaxed) {
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// What has been done so far, by all threads.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for BackgroundLoad {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let result = thread.join();
            assert!(result.is_ok() || thread::panicking(), "a thread of the load panicked");
        }
    }
}

fn read_response(responses: &mut impl BufRead) {
    let (mut line, mut length) = (String::new(), 0);
    responses.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    while line != "\r\n" {
        line.clear();
        responses.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    std::io::copy(&mut responses.take(length), &mut std::io::sink()).unwrap();
}
