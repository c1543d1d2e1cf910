//! What a capture reports, and the sender that its thread and both of cpal's callbacks share. Sending never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Sender, TrySendError};

use crate::audio::pcm::{CaptureBlock, CaptureFormat};
use crate::audio::sources::device_entry::DeviceEntry;

/// What happened to the device. Ignore all events that follow `Failed`.
#[derive(Debug)]
pub enum CaptureEvent {
    /// The device is open; blocks follow.
    Opened {
        /// Which device it is.
        entry: DeviceEntry,
        /// The format of the blocks.
        format: CaptureFormat,
    },
    /// Sound.
    Block(CaptureBlock),
    /// The device could not be opened, or it is gone. Sent once.
    Failed {
        /// Why, in a sentence.
        reason: String,
    },
}

/// Sends events, and `Failed` only once, whichever clone reports it first.
#[derive(Clone, Debug)]
pub(crate) struct EventSender {
    events: Sender<CaptureEvent>,
    has_failed: Arc<AtomicBool>,
}

impl EventSender {
    pub(crate) fn new(events: Sender<CaptureEvent>) -> EventSender {
        EventSender { events, has_failed: Arc::default() }
    }

    pub(crate) fn send_opened(&self, entry: DeviceEntry, format: CaptureFormat) {
        // The queue has room for it, see `capture::EVENT_QUEUE_LENGTH`; if not, the receiver is gone.
        let _ = self.events.try_send(CaptureEvent::Opened { entry, format });
    }

    pub(crate) fn send_failed(&self, reason: String) {
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            // As for `Opened`.
            let _ = self.events.try_send(CaptureEvent::Failed { reason });
        }
    }

    /// Sends a block, or returns it. The audio thread calls this: no allocation, lock or log.
    pub(crate) fn try_send_block(&self, block: CaptureBlock) -> Result<(), TrySendError<CaptureBlock>> {
        match self.events.try_send(CaptureEvent::Block(block)) {
            Err(TrySendError::Full(CaptureEvent::Block(block))) => Err(TrySendError::Full(block)),
            Err(TrySendError::Disconnected(CaptureEvent::Block(block))) => Err(TrySendError::Disconnected(block)),
            // Sent: the error of a block always returns the block.
            _ => Ok(()),
        }
    }
}
