//! A bounded queue from threads of any priority to one thread that must not wait for them.
//!
//! Used by the threads that answer clients and by an rtc thread. A lock-free queue does not serve here: its reader spins while
//! a writer is in the middle of a write, and a writer that the real-time reader has displaced from the processor never
//! finishes. This reader at worst finds the queue locked, goes on, and is woken again, since writers wake it after writing.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, PoisonError, TryLockError};

/// A bounded queue whose reader never waits.
#[derive(Debug)]
pub struct Mailbox<T> {
    /// Held for a push or a swap.
    queue: Mutex<VecDeque<T>>,
    limit: usize,
}

impl<T> Mailbox<T> {
    /// An empty queue of at most `limit` items.
    pub fn new(limit: usize) -> Mailbox<T> {
        Mailbox { queue: Mutex::default(), limit }
    }

    /// Adds an item; false if the queue is full. Wake the reader afterwards.
    #[must_use]
    pub fn put(&self, item: T) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let room = queue.len() < self.limit;
        if room {
            queue.push_back(item);
        }
        room
    }

    /// Takes all items, in order, or none while a writer holds the queue.
    pub fn take(&self) -> VecDeque<T> {
        match self.queue.try_lock() {
            Ok(mut queue) => mem::take(&mut *queue),
            Err(TryLockError::Poisoned(queue)) => mem::take(&mut *queue.into_inner()),
            Err(TryLockError::WouldBlock) => VecDeque::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_taken_once_and_in_order_and_the_limit_holds() {
        let mailbox = Mailbox::new(3);
        assert_eq!([1, 2, 3, 4].map(|n| mailbox.put(n)), [true, true, true, false]);
        assert_eq!(mailbox.take(), [1, 2, 3]);
        assert!(mailbox.put(5));
        assert_eq!(mailbox.take(), [5]);
        assert!(mailbox.take().is_empty());
    }

    #[test]
    fn the_reader_does_not_wait_for_a_stuck_writer() {
        let mailbox = Mailbox::new(3);
        assert!(mailbox.put(1));
        let writing = mailbox.queue.lock().unwrap();
        assert!(mailbox.take().is_empty());
        drop(writing);
        assert_eq!(mailbox.take(), [1]);
    }
}
