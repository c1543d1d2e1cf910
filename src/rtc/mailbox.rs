//! A bounded queue from threads of any priority to one that must not wait for them.
//!
//! Called from the threads that answer clients and from an rtc thread. A lock-free queue does not serve here: its reader
//! spins while a writer is in the midst of writing, and a writer that the reader itself has displaced from the processor
//! never gets on. This reader finds the queue locked at worst, goes on, and is called again, since writers ring when they
//! have written.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, PoisonError, TryLockError};

/// See the head of the file.
#[derive(Debug)]
pub struct Mailbox<T> {
    /// Held for a push or a swap.
    queue: Mutex<VecDeque<T>>,
    limit: usize,
}

impl<T> Mailbox<T> {
    /// An empty one that takes up to `limit`.
    pub fn new(limit: usize) -> Mailbox<T> {
        Mailbox { queue: Mutex::default(), limit }
    }

    /// Adds one, unless it is full. Ring afterwards: the reader may have missed it.
    #[must_use]
    pub fn put(&self, item: T) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let room = queue.len() < self.limit;
        if room {
            queue.push_back(item);
        }
        room
    }

    /// Takes all there are, in order, or none while somebody writes.
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
    fn what_was_put_is_taken_once_and_in_order_and_no_more_than_fits() {
        let mailbox = Mailbox::new(3);
        assert_eq!([1, 2, 3, 4].map(|n| mailbox.put(n)), [true, true, true, false]);
        assert_eq!(mailbox.take(), [1, 2, 3]);
        assert!(mailbox.put(5));
        assert_eq!(mailbox.take(), [5]);
        assert!(mailbox.take().is_empty());
    }

    #[test]
    fn the_reader_does_not_wait_for_a_writer_that_got_no_further() {
        let mailbox = Mailbox::new(3);
        assert!(mailbox.put(1));
        let writing = mailbox.queue.lock().unwrap();
        assert!(mailbox.take().is_empty());
        drop(writing);
        assert_eq!(mailbox.take(), [1]);
    }
}
