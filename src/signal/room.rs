//! PeerEvent one room and one peer in it are to [`Rooms`](super::Rooms): the talk that is kept for latecomers, who sits where,
//! what waits for those who are away, and how much each may say. Pure; it sends nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::ids::names::RoomName;
use crate::ids::peer::PeerId;
use crate::signal::messages::{PeerState, ServerMessage};

use super::{Limits, Link};

#[derive(Debug, Default)]
pub(super) struct Room {
    /// In the order they came. Short: a room's size is limited.
    pub members: Vec<PeerId>,
    pub chat: VecDeque<Chat>,
    chat_bytes: usize,
    pub said: u64,
    /// Newcomers stay outside, except hosts.
    pub locked: bool,
}

#[derive(Debug)]
pub(super) struct Chat {
    pub seq: u64,
    pub sender: PeerId,
    pub name: String,
    pub text: String,
    pub at: Instant,
}

#[derive(Debug)]
pub(super) struct Seat {
    pub room: RoomName,
    pub place: Place,
    /// PeerEvent it last said of itself. None for a client that knows the first few messages only.
    pub state: Option<PeerState>,
    pub allowance: Allowance,
    /// It came in with an admin's token, on its present connection.
    pub host: bool,
    /// A host has turned its microphone off, and it has not said yet that it is.
    pub silenced: bool,
}

#[derive(Debug)]
pub(super) enum Place {
    Here(Link),
    Away { until: Instant, mailbox: VecDeque<(PeerId, Arc<str>)>, bytes: usize },
}

/// PeerEvent a peer may still say: a token bucket.
#[derive(Debug)]
pub(super) struct Allowance {
    pub messages: f64,
    pub at: Instant,
}

impl Allowance {
    pub fn take(&mut self, limits: &Limits, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(limits.messages_per_s);
        self.messages = (self.messages + earned).min(f64::from(limits.burst));
        self.at = now;
        let allowed = self.messages >= 1.0;
        self.messages -= if allowed { 1.0 } else { 0.0 };
        allowed
    }
}

impl Room {
    pub fn keep(&mut self, chat: Chat, limits: &Limits) {
        self.chat_bytes += chat.text.len();
        self.chat.push_back(chat);
        while self.chat.len() > limits.chat_kept || self.chat_bytes > limits.chat_bytes {
            let Some(oldest) = self.chat.pop_front() else { break };
            self.chat_bytes -= oldest.text.len();
        }
    }
}

impl Chat {
    pub fn text(&self, now: Instant) -> Arc<str> {
        let age_ms = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        let Chat { seq, sender, name, text, .. } = self;
        ServerMessage::Chat { seq: *seq, sender_id: *sender, name, text, age_ms }.text()
    }
}
