//! A bounded queue of log lines, from threads of any priority to one thread that writes them. No writer ever waits: neither
//! for the reader nor for another writer.
//!
//! That is why it is neither a mutex nor one of crossbeam's queues. Real-time threads log too, and the thread that they
//! would wait for may be an ordinary one that they themselves have displaced from the processor: with a mutex a writer
//! waits for its holder, and a lock-free ring spins when it meets a slot that the reader is in the middle of emptying.
//! Here a writer first reserves room by a counter that the reader lowers only after it has emptied a slot, so that the slot
//! it then gets is free for certain. The mutex in each slot is never contended; it is there so that no unsafe code is.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The end of the threads that log.
pub(super) struct Writer<T>(Arc<Shared<T>>);

/// The end of the thread that writes lines out.
pub(super) struct Reader<T> {
    shared: Arc<Shared<T>>,
    /// The ticket of the next line.
    head: usize,
}

struct Shared<T> {
    slots: Box<[Slot<T>]>,
    max_bytes: usize,
    /// Slots that are reserved or filled.
    lines: AtomicUsize,
    /// The size of what is in them.
    bytes: AtomicUsize,
    /// The next ticket; a line's slot is its ticket modulo the number of slots.
    tail: AtomicUsize,
}

struct Slot<T> {
    /// Set by the writer once the line is in, reset by the reader once it is out.
    is_filled: AtomicBool,
    line: Mutex<Option<(T, usize)>>,
}

/// An empty queue of up to `max_lines`, a power of two, of `max_bytes` together.
pub(super) fn line_queue<T>(max_lines: usize, max_bytes: usize) -> (Writer<T>, Reader<T>) {
    // So that tickets may overflow.
    assert!(max_lines.is_power_of_two());
    let slot = |_| Slot { is_filled: AtomicBool::new(false), line: Mutex::new(None) };
    let shared = Arc::new(Shared {
        slots: (0..max_lines).map(slot).collect(),
        max_bytes,
        lines: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        tail: AtomicUsize::new(0),
    });
    (Writer(shared.clone()), Reader { shared, head: 0 })
}

impl<T> Writer<T> {
    /// Adds a line of this size. False if there is no room: the line is lost. Wake the reader afterwards.
    pub fn push(&self, line: T, bytes: usize) -> bool {
        let shared = &self.0;
        if !reserve(&shared.lines, 1, shared.slots.len()) {
            return false;
        }
        if !reserve(&shared.bytes, bytes, shared.max_bytes) {
            shared.lines.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        // At most as many tickets are out as there are slots, so the slot's line of the round before has been taken.
        let ticket = shared.tail.fetch_add(1, Ordering::AcqRel);
        let slot = &shared.slots[ticket % shared.slots.len()];
        *slot.line.lock().unwrap_or_else(PoisonError::into_inner) = Some((line, bytes));
        slot.is_filled.store(true, Ordering::Release);
        true
    }

    /// How many lines were ever added.
    pub fn added(&self) -> usize {
        self.0.tail.load(Ordering::Acquire)
    }
}

/// Adds `n` unless that exceeds `limit`. Repeated only when another thread has changed the counter, so it never waits.
fn reserve(counter: &AtomicUsize, n: usize, limit: usize) -> bool {
    let reserved = |value: usize| value.checked_add(n).filter(|sum| *sum <= limit);
    counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, reserved).is_ok()
}

impl<T> Reader<T> {
    /// Takes the next line. None if there is none, or if its writer has not finished: that one wakes the reader later.
    pub fn pop(&mut self) -> Option<T> {
        let shared = &self.shared;
        let slot = &shared.slots[self.head % shared.slots.len()];
        if !slot.is_filled.load(Ordering::Acquire) {
            return None;
        }
        let taken = slot.line.lock().unwrap_or_else(PoisonError::into_inner).take();
        slot.is_filled.store(false, Ordering::Release);
        self.head = self.head.wrapping_add(1);
        let (line, bytes) = taken.expect("a filled slot has a line");
        shared.bytes.fetch_sub(bytes, Ordering::AcqRel);
        shared.lines.fetch_sub(1, Ordering::AcqRel);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn lines_come_out_in_order_and_no_more_than_fit() {
        let (writer, mut reader) = line_queue(4, 100);
        for round in 0..10 {
            assert_eq!([0, 1, 2, 3, 4].map(|n| writer.push(10 * round + n, 1)), [true, true, true, true, false]);
            assert_eq!(reader.pop(), Some(10 * round));
            assert!(writer.push(10 * round + 5, 1));
            assert_eq!(
                [(); 5].map(|()| reader.pop()),
                [1, 2, 3, 5].map(|n| Some(10 * round + n)).into_iter().chain([None]).collect::<Vec<_>>()[..]
            );
        }
        assert_eq!(writer.added(), 50);
    }

    #[test]
    fn lines_are_bounded_by_their_size_too() {
        let (writer, mut reader) = line_queue(8, 100);
        assert_eq!([60, 41, 40, 1].map(|bytes| writer.push(bytes, bytes)), [true, false, true, false]);
        assert_eq!(reader.pop(), Some(60));
        assert!(writer.push(60, 60) && !writer.push(1, 1) && !writer.push(usize::MAX, usize::MAX));
        assert_eq!([(); 3].map(|()| reader.pop()), [Some(40), Some(60), None]);
        assert_eq!([100, 1].map(|bytes| writer.push(bytes, bytes)), [true, false]);
    }

    #[test]
    fn a_writer_that_got_no_further_stops_neither_writers_nor_the_reader() {
        let (writer, mut reader) = line_queue(4, 100);
        // As a writer that was displaced after it had its ticket.
        assert!(reserve(&writer.0.lines, 1, 4));
        let ticket = writer.0.tail.fetch_add(1, Ordering::AcqRel);
        assert_eq!([1, 2, 3, 4].map(|n| writer.push(n, 1)), [true, true, true, false]);
        assert_eq!(reader.pop(), None, "in order, so the first is waited for");
        let slot = &writer.0.slots[ticket];
        *slot.line.lock().unwrap() = Some((0, 0));
        slot.is_filled.store(true, Ordering::Release);
        assert_eq!([(); 5].map(|()| reader.pop()), [Some(0), Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn every_line_of_many_writers_is_either_refused_or_read_once_and_in_its_writers_order() {
        const WRITERS: usize = 4;
        const LINES: usize = 20_000;
        let (writer, mut reader) = line_queue(64, 1_000_000);
        let (mut read, mut last) = (0, [None; WRITERS]);
        let added: usize = thread::scope(|scope| {
            let writer = &writer;
            let run = |w: usize| move || (0..LINES).filter(|n| writer.push((w, *n), 8)).count();
            let threads: Vec<_> = (0..WRITERS).map(|w| scope.spawn(run(w))).collect();
            let mut take = |reader: &mut Reader<(usize, usize)>| {
                while let Some((w, n)) = reader.pop() {
                    assert!(last[w] < Some(n), "writer {w}: {n} after {:?}", last[w]);
                    last[w] = Some(n);
                    read += 1;
                }
            };
            while !threads.iter().all(|thread| thread.is_finished()) {
                take(&mut reader);
            }
            let added = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            take(&mut reader);
            added
        });
        assert_eq!((read, writer.added()), (added, added));
        assert!(added >= 64);
    }
}
