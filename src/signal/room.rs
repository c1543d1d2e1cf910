//! One room: its members in order, its lock, and the chat that is kept for newcomers. Pure; it sends nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::ids::peer::PeerId;
use crate::signal::limits::RoomLimits;
use crate::signal::server_message::ServerMessage;

/// A room with at least one peer.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// In the order in which they joined. Short: a room's size is limited.
    pub members: Vec<PeerId>,
    /// Newcomers are refused, except moderators.
    pub locked: bool,
    chat: VecDeque<ChatMessage>,
    chat_bytes: usize,
    last_seq: u64,
}

#[derive(Debug)]
struct ChatMessage {
    seq: u64,
    sender: PeerId,
    sender_name: String,
    text: String,
    received: Instant,
}

impl Room {
    /// Adds a chat message to the history of one of so many rooms, and returns it as it is sent. The oldest messages are
    /// forgotten as the limits say.
    pub fn add_chat(
        &mut self,
        sender: PeerId,
        sender_name: String,
        text: String,
        limits: &RoomLimits,
        rooms: usize,
        now: Instant,
    ) -> Arc<str> {
        self.last_seq += 1;
        let message = ChatMessage { seq: self.last_seq, sender, sender_name, text, received: now };
        let json = message.to_json(now);
        self.chat_bytes += message.text.len();
        self.chat.push_back(message);
        let max_bytes = limits.chat_bytes.min(limits.chat_bytes_in_all / rooms.max(1));
        while self.chat.len() > limits.chat_messages || self.chat_bytes > max_bytes {
            let Some(oldest) = self.chat.pop_front() else { break };
            self.chat_bytes -= oldest.text.len();
        }
        json
    }

    /// The chat history as it is sent to a newcomer, oldest first.
    pub fn chat_history(&self, now: Instant) -> impl Iterator<Item = Arc<str>> {
        self.chat.iter().map(move |message| message.to_json(now))
    }
}

impl ChatMessage {
    fn to_json(&self, now: Instant) -> Arc<str> {
        let age_ms = u64::try_from(now.saturating_duration_since(self.received).as_millis()).unwrap_or(u64::MAX);
        let ChatMessage { seq, sender, sender_name, text, .. } = self;
        ServerMessage::Chat { seq: *seq, sender_id: *sender, name: sender_name, text, age_ms }.to_json()
    }
}
